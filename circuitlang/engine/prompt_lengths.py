"""Whether a model reads prompts as long as a file's. No torch here."""

from collections.abc import Iterable, Iterator

from circuitlang.circuit import Circuit
from circuitlang.source import Diagnostic, counted


def too_long(
    circuit: Circuit, lengths: Iterable[tuple[int, int]], context: int | None
) -> Iterator[Diagnostic]:
    """One complaint a template; ``lengths`` are (template, tokens) of prompts.

    ``context`` is the most tokens that the model reads, None where that is not known.
    """
    longest: dict[int, int] = {}
    for template, tokens in lengths:
        longest[template] = max(tokens, longest.get(template, 0))
    hint = "write shorter prompts, or take a model that reads more"
    if circuit.prompts.generator is not None:
        hint = "take a shorter copy or fewer repeats, or a model that reads more"
    for template, tokens in sorted(longest.items()):
        if context is not None and tokens > context:
            span = circuit.prompts.templates[template].span
            message = f"a prompt has {counted(tokens, 'token')}, and the model reads {context}"
            yield Diagnostic("CL326", span, message, hint)
