"""Whether a design can reach a verdict at all, and at what cost, known before anything runs."""

import math
from collections import Counter
from dataclasses import replace

from circuitlang.circuit import Circuit, Correction, expand, template_in_words
from circuitlang.plan.circuit_design import circuit_test_problems
from circuitlang.plan.looks import Look, looks_of
from circuitlang.source import Diagnostic, Severity, Span
from circuitlang.statistics.permutations import limited_by_resamples, smallest_p

MIN_PER_TEMPLATE = 4
MAX_RESAMPLES = 1_000_000
MAX_DRAWS = 1_000_000_000
"""Prompts x resamples: what takes a minute."""
MAX_MEANS = 250_000_000
"""Claims x resamples: each is a number to compute, and a tenth of them to hold."""


def check_design(circuit: Circuit) -> tuple[Diagnostic, ...]:
    """Reasons why no claim of this file could ever pass, or its judging not end.

    A template with too few prompts to show how they vary; fewer prompts, copies counted once, than
    the smallest sign-flip p-value 2**-n needs; fewer resamples than the corrected level needs; more
    resampling than a machine can do. A test of the circuit that can pass only as the last claim of
    its family is a warning. A file of sweeps alone judges nothing: one pair is enough for it.
    """
    if not circuit.all_claims:
        return _of_sweeps_alone(circuit)
    settings, prompts = circuit.settings, circuit.prompts
    claims = max(1, len(circuit.all_claims))
    family = claims if settings.correction is Correction.HOLM else 1
    level = settings.significance / family
    found: list[tuple[str, str]] = []
    tests: list[Diagnostic] = []
    count, templates = prompts.sample, len(prompts.templates)
    fewest = min(prompts.shares)
    needed = math.ceil(math.log2(1 / level))
    if fewest < MIN_PER_TEMPLATE:
        hint = f"sample at least {max(MIN_PER_TEMPLATE * templates, needed)}"
        if prompts.data is not None:
            hint = f"it needs {MIN_PER_TEMPLATE}: leave `sample` out, or give the file more rows"
        found.append((f"a template gets {fewest} of {count} prompts", hint))
    elif count < needed:
        share = f"that {claims} claims share" if family > 1 else "of a claim"
        message = f"{count} prompts cannot reach the level {level:.2g} {share}"
        found.append((message, f"sample at least {needed}"))
    elif few := _too_few_differ(circuit, needed, level):
        found.append(few)
    elif smallest_p(count, settings.resamples) > level:
        message = f"{settings.resamples:,} resamples are too coarse for the level {level:.2g}"
        found.append((message, _more(level)))
    # What follows from it for tests of the circuit is not said a second time.
    too_few = bool(found)
    if count * settings.resamples > MAX_DRAWS:
        found.append(_too_long(circuit))
    if claims * settings.resamples > MAX_MEANS:
        message = f"{settings.resamples:,} resamples of {claims:,} claims would take too long"
        found.append((message, f"at most {MAX_MEANS:,} claims x resamples are computed"))
    if not too_few:
        smallest = smallest_p(count, settings.resamples)
        # With looks the last one has all prompts, and only its share of the level.
        last = looks_of(circuit)[-1].level
        tests += circuit_test_problems(circuit, last / family, last, smallest, MIN_PER_TEMPLATE)
    if not found and not any(test.severity is Severity.ERROR for test in tests):
        found += _idle_look(circuit, family)
    general = (Diagnostic("CL229", Span(0, 0), message, hint) for message, hint in found)
    return (*general, *tests)


def _of_sweeps_alone(circuit: Circuit) -> tuple[Diagnostic, ...]:
    settings, found = circuit.settings, list[tuple[str, str]]()
    if settings.looks > 1:
        found.append(
            ("looks end a run once every claim is decided, and there is none", "`looks 1`")
        )
    if circuit.prompts.sample * settings.resamples > MAX_DRAWS:
        found.append(_too_long(circuit))
    return tuple(Diagnostic("CL229", Span(0, 0), *words) for words in found)


def _too_long(circuit: Circuit) -> tuple[str, str]:
    resamples, count = circuit.settings.resamples, circuit.prompts.sample
    message = f"{resamples:,} resamples of {count:,} prompts would take too long"
    return message, f"at most {MAX_DRAWS:,} prompts x resamples are drawn"


def _too_few_differ(circuit: Circuit, needed: int, level: float) -> tuple[str, str] | None:
    """What is wrong where words are so few that prompts repeat; copies are counted once."""
    each = _different(circuit, needed)
    number, fewest = min(enumerate(each, 1), key=lambda template: template[1])
    if sum(each) < needed:
        message = f"only {sum(each)} of {circuit.prompts.sample} prompts differ, which cannot reach"
        more = "add rows" if circuit.prompts.data is not None else "give the slots more words"
        hint = f"{more}: {needed} different prompts are needed"
        return f"{message} the level {level:.2g} of the first claim", hint
    if fewest < MIN_PER_TEMPLATE:
        hint = f"give its slots more words: {MIN_PER_TEMPLATE} different prompts are needed"
        name = template_in_words(circuit.prompts.templates, number)
        if circuit.prompts.data is not None:
            hint = f"add rows to it: {MIN_PER_TEMPLATE} different prompts are needed"
        return f"{name} has only {fewest} different prompts", hint
    return None


def _different(circuit: Circuit, enough: int) -> list[int]:
    """Different prompts of each template; more than ``enough`` of them are not looked for."""
    count, templates = circuit.prompts.sample, len(circuit.prompts.templates)
    # Pairs repeat only when the words have run out, so the first few tell in nearly all files.
    for first in (min(count, max(enough, MIN_PER_TEMPLATE) * templates), count):
        pairs = expand(replace(circuit.prompts, sample=first), circuit.metric)
        each = Counter(pair.template for pair in set(pairs))
        if each.total() >= enough and min(each.values()) >= MIN_PER_TEMPLATE:
            break
    return [each[template] for template in range(templates)]


def _idle_look(circuit: Circuit, family: int) -> list[tuple[str, str]]:
    """A look that could decide nothing: it would spend its part of the level in vain."""
    settings = circuit.settings
    idle = _first_idle(circuit, settings.looks, family)
    if settings.looks == 1 or idle is None:
        return []
    fewer = range(settings.looks - 1, 1, -1)
    fits = next((k for k in fewer if _first_idle(circuit, k, family) is None), 1)
    level = f"{idle.level / family:.2g}"
    look = f"look {idle.number} of {settings.looks}"
    if idle.prompts < MIN_PER_TEMPLATE * len(circuit.prompts.templates):
        few = f"fewer than {MIN_PER_TEMPLATE} of a template"
        return [(f"{look} has {idle.prompts} prompts, {few}", f"`looks {fits}`, or more prompts")]
    if limited_by_resamples(idle.prompts):
        message = f"{settings.resamples:,} resamples are too coarse for the level {level} of {look}"
        return [(message, f"`looks {fits}`, or {_more(idle.level / family)}")]
    message = f"{look} has {idle.prompts} prompts, too few for its level {level}"
    return [(message, f"`looks {fits}`, or more prompts")]


def _first_idle(circuit: Circuit, looks: int, family: int) -> Look | None:
    settings, templates = circuit.settings, len(circuit.prompts.templates)
    for look in looks_of(replace(circuit, settings=replace(settings, looks=looks))):
        level = look.level / family
        enough = smallest_p(look.prompts, settings.resamples) <= level
        if look.prompts < MIN_PER_TEMPLATE * templates or not enough:
            return look
    return None


def _more(level: float) -> str:
    """How many resamples reach a level, if they may be so many."""
    resamples = math.ceil(1 / level)
    if resamples <= MAX_RESAMPLES:
        return f"`resamples {resamples}`"
    return "no number of resamples reaches it: claim less, or raise `significance`"
