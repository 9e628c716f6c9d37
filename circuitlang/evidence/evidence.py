"""Measurements of one plan."""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from circuitlang.evidence.frozen import Frozen
from circuitlang.evidence.provenance import Provenance
from circuitlang.evidence.self_check import SelfCheck


class DrawnPair(Frozen):
    """One of a file's prompt pairs, in the order of drawing.

    ``number`` counts from 1; measured pairs of evidence from before it was kept have 0.
    """

    number: int = 0
    template: int
    clean: str
    corrupt: str
    answer: str
    distractor: str


class PromptRecord(DrawnPair):
    """A prompt pair as the model saw it; ``tokens`` are the clean prompt's, readable."""

    tokens: tuple[str, ...]


class Misalignment(StrEnum):
    """Why the two prompts of a pair cannot be set against each other, token by token.

    LENGTH: they differ in length. OUTSIDE: a position falls outside the prompt. POSITION: a
    position or a slot is on other tokens. ANSWER: a word that the metric compares is not one token.
    SET: a set of words that the metric compares is empty, or has a word of the other one.
    LAYOUT: the positions are not those of most prompts that a mean is taken over.
    """

    LENGTH = "length"
    OUTSIDE = "outside"
    POSITION = "position"
    ANSWER = "answer"
    SET = "set"
    LAYOUT = "layout"


class SkippedPair(DrawnPair):
    """A prompt pair that was not measured, and why.

    The numbers of measured and skipped pairs together are 1, 2, ..., so that none can be lost.
    """

    reason: Misalignment


class Evidence(Frozen):
    """The metric per prompt in every world, in the metric's own unit.

    ``clean``, ``corrupt`` and each entry of ``patched`` (keyed by experiment id) have one value a
    prompt; a value that was not finite is None. ``answered`` tells whether the answer was the most
    likely of all tokens, and is false for `kl`, which has none. ``errors`` holds experiments that
    could not be measured and why. ``readings`` are what was read of the clean run, one value a
    prompt, and ``scores`` what was read on random tokens, one value a sequence; both are keyed by
    the reading's id, as ``errors`` may be. ``skipped`` are the misaligned pairs, which no column
    has a value for. ``looks`` is the number of stages that were planned, each with its share of the
    level. ``searched`` are the numbers of the pairs on which a greedy search chose what to measure
    next; experiments that it tried have no value on the others, and what it found is judged on the
    others alone. ``swept`` are the numbers of the pairs that sweeps were made on, where those are
    not all; a sweep's own experiments have no value on the others. ``layout`` says what stands at
    each token of every prompt, and is empty where layouts differ.
    """

    schema_version: Literal[1] = 1
    circuit: str
    plan_id: str
    prompts: tuple[PromptRecord, ...]
    skipped: tuple[SkippedPair, ...] = ()
    clean: tuple[float | None, ...]
    corrupt: tuple[float | None, ...]
    answered: tuple[bool, ...]
    patched: dict[str, tuple[float | None, ...]]
    readings: dict[str, tuple[float | None, ...]] = Field(default_factory=dict)
    scores: dict[str, tuple[float | None, ...]] = Field(default_factory=dict)
    errors: dict[str, str]
    looks: int = 1
    searched: tuple[int, ...] = ()
    swept: tuple[int, ...] = ()
    self_checks: tuple[SelfCheck, ...]
    notes: tuple[str, ...]
    provenance: Provenance
    complete: bool
    layout: tuple[str, ...] = ()

    @property
    def drawn(self) -> int:
        """Pairs that were drawn, measured or not."""
        return len(self.prompts) + len(self.skipped)
