"""Whether a design can reach a verdict at all, known before anything runs."""

import math
from collections import Counter

from circuitlang.circuit import Circuit, Correction
from circuitlang.source import Diagnostic, Span

MIN_PER_TEMPLATE = 4


def check_design(circuit: Circuit) -> tuple[Diagnostic, ...]:
    """Reasons why no claim of this file could ever pass.

    Three are known beforehand: a template with too few prompts to show how they vary; fewer
    prompts than the smallest sign-flip p-value 2**-n needs; and fewer bootstrap resamples than
    their smallest p-value 1 / (resamples + 1) needs at the corrected level.
    """
    settings, found = circuit.settings, []
    claims = max(1, len(circuit.all_claims))
    family = claims if settings.correction is Correction.HOLM else 1
    level = settings.significance / family
    templates = Counter(i % len(circuit.prompts.templates) for i in range(circuit.prompts.sample))
    fewest = min(templates.get(i, 0) for i in range(len(circuit.prompts.templates)))
    if fewest < MIN_PER_TEMPLATE:
        message = f"a template gets {fewest} of {circuit.prompts.sample} prompts"
        hint = f"sample at least {MIN_PER_TEMPLATE * len(circuit.prompts.templates)}"
        found.append(Diagnostic("CL229", Span(0, 0), message, hint))
    needed = math.ceil(math.log2(1 / level))
    if circuit.prompts.sample < needed:
        message = (
            f"{circuit.prompts.sample} prompts cannot reach the level {level:.2g} that "
            f"{claims} claims share"
        )
        found.append(Diagnostic("CL229", Span(0, 0), message, f"sample at least {needed}"))
    if 1 / (settings.resamples + 1) > level / 2:
        message = f"{settings.resamples:,} resamples are too coarse for the level {level:.2g}"
        hint = f"`resamples {math.ceil(10 / level)}`"
        found.append(Diagnostic("CL229", Span(0, 0), message, hint))
    return tuple(found)
