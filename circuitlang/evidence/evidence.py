"""Measurements of one plan."""

from typing import Literal

from circuitlang.evidence.frozen import Frozen
from circuitlang.evidence.provenance import Provenance
from circuitlang.evidence.self_check import SelfCheck


class PromptRecord(Frozen):
    """One prompt pair as the model saw it; ``tokens`` are the clean prompt's, readable."""

    template: int
    clean: str
    corrupt: str
    answer: str
    distractor: str
    tokens: tuple[str, ...]


class Evidence(Frozen):
    """The metric per prompt in every world, unit: the metric's own (logits).

    ``clean``, ``corrupt`` and each entry of ``patched`` (keyed by experiment id) have one value a
    prompt; a value that was not finite is None. ``answered`` tells whether the answer was the most
    likely of all tokens. ``errors`` holds experiments that could not be measured and why.
    """

    schema_version: Literal[1] = 1
    circuit: str
    plan_id: str
    prompts: tuple[PromptRecord, ...]
    clean: tuple[float | None, ...]
    corrupt: tuple[float | None, ...]
    answered: tuple[bool, ...]
    patched: dict[str, tuple[float | None, ...]]
    errors: dict[str, str]
    self_checks: tuple[SelfCheck, ...]
    notes: tuple[str, ...]
    provenance: Provenance
    complete: bool
