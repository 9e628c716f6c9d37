"""Whether the circuit-level tests of a file can pass, known before anything runs."""

from collections.abc import Iterator

from circuitlang.circuit import Circuit, CircuitTest, CircuitTestClaim
from circuitlang.plan.circuit_tests import Experiments, draws_later
from circuitlang.plan.greedy import searches_of
from circuitlang.plan.looks import looks_of
from circuitlang.source import Diagnostic
from circuitlang.statistics.pairs import fewest_pairs, pairs_for_independence
from circuitlang.statistics.permutations import limited_by_resamples, smallest_p
from circuitlang.statistics.proportion import equivalence_p, trials_for_equivalence
from circuitlang.statistics.ranking import fewest_draws, fewest_of

_POWER = 0.8


def circuit_test_problems(
    circuit: Circuit, first: float, last: float, smallest: float, per_template: int
) -> Iterator[Diagnostic]:
    """Tests of the circuit that can never pass, and those that can only once others are decided.

    ``first`` is the level of the family's first claim, ``last`` that of its last, the most lenient
    that a test can be held against. ``smallest`` is the smallest p-value that the resamples of a
    mean can have, and ``per_template`` are the fewest prompts of a template that can be judged.
    """
    for claim in circuit.claims:
        if not isinstance(claim, CircuitTestClaim):
            continue
        never = tuple(_problems(claim, circuit, last, smallest, per_template))
        for message, hint in never:
            yield Diagnostic("CL229", claim.span, message, hint)
        if never:
            continue
        for message, hint in _problems(claim, circuit, first, smallest, per_template):
            late = f"{message}; it can pass as the last claim that is decided, at {last:.2g}"
            yield Diagnostic("CL240", claim.span, late, hint)


def _problems(
    claim: CircuitTestClaim, circuit: Circuit, level: float, smallest: float, per_template: int
) -> Iterator[tuple[str, str]]:
    prompts, low = circuit.prompts.sample, claim.bound.low or 0.0
    match claim.test:
        case CircuitTest.COMPLETENESS if searches_of(Experiments(claim, circuit)):
            yield from _searched(circuit, level, per_template)
        case CircuitTest.EQUIVALENT if equivalence_p(prompts / 2, prompts) > level:
            fewest = trials_for_equivalence(level, 0.0)
            likely = trials_for_equivalence(level, _POWER)
            yield (
                f"`equivalent` cannot pass with {prompts} prompts at the level {level:.2g}: as "
                "many above the model as below it would not show it",
                f"sample at least {fewest}; with {likely} it passes 4 times in 5 when circuit and "
                "model are equal",
            )
        case CircuitTest.INDEPENDENT:
            limit = claim.bound.high or 0.0
            if prompts < fewest_pairs(limit, level):
                yield (
                    f"`independent` cannot pass with {prompts} prompts at the level {level:.2g}",
                    f"sample about {pairs_for_independence(limit, level)}",
                )
        case CircuitTest.SUFFICIENT:
            fewest = fewest_draws(low, level)
            if circuit.settings.random_circuits < fewest:
                yield (
                    f"`sufficient` cannot pass with {circuit.settings.random_circuits} random "
                    f"circuits at the level {level:.2g}",
                    f"`random circuits {fewest}`",
                )
        case CircuitTest.MINIMALITY:
            experiments = Experiments(claim, circuit)
            sets = max(len(experiments.knocked_out_beside(c)) for c in experiments.components)
            # Two signs and so many sets are tried for each component, and the level is shared.
            if 2 * sets * smallest > level:
                yield (
                    f"`minimality` cannot pass: {sets} sets and two signs share the level "
                    f"{level:.2g}, and the smallest p-value is {smallest:.2g}",
                    f"ask for more {_scarce(prompts)} or fewer `random subsets`",
                )
        case CircuitTest.MINIMAL if not draws_later(claim, circuit):
            yield from _minimal(claim, circuit, level, low)


def _searched(circuit: Circuit, level: float, per_template: int) -> Iterator[tuple[str, str]]:
    """What a search finds is judged on the pairs that it does not see, and these may be too few."""
    settings, templates = circuit.settings, len(circuit.prompts.templates)
    first, prompts = looks_of(circuit)[0].prompts, circuit.prompts.sample
    seen, fewest = _seen(first, templates)
    left = prompts - seen
    takes = f"`completeness` cannot pass: a greedy search takes {seen} of {first} prompts"
    more = "sample more, ask for fewer `looks`,"
    if settings.looks == 1 and (enough := _enough(prompts, templates, level, per_template)):
        more = f"sample at least {enough},"
    if fewest < per_template:
        where = " of the first look" if settings.looks > 1 else ""
        message = f"{takes}{where}, and of a template {fewest} are left, where {per_template} must"
        yield f"{message} be", f"{more} or write `greedy searches 0`"
    elif smallest_p(left, settings.resamples) <= level:
        return
    elif limited_by_resamples(left):
        message = f"{settings.resamples:,} resamples are too coarse for the level {level:.2g}"
        yield f"`completeness` cannot pass: {message}", "ask for more `resamples`"
    else:
        judged = f"what it finds is judged on the other {left}, too few for the level {level:.2g}"
        yield f"{takes}, and {judged}", f"{more} or write `greedy searches 0`"


def _seen(prompts: int, templates: int) -> tuple[int, int]:
    """How many of a search's prompts it sees, and the fewest of a template that it does not."""
    # Copies are not known here; they make it fewer.
    share = prompts // templates
    return sum(len(range(t, prompts, templates)) // 2 for t in range(templates)), share - share // 2


def _enough(prompts: int, templates: int, level: float, per_template: int) -> int | None:
    """The fewest prompts, at least so many, of which a search leaves enough; None where resamples
    are what is short."""
    for count in range(prompts, prompts + 100 * templates):
        seen, fewest = _seen(count, templates)
        reached = limited_by_resamples(count - seen) or 2.0 ** (seen - count) <= level
        if reached and fewest >= per_template:
            return count
    return None


def _scarce(prompts: int) -> str:
    """What would make p-values smaller."""
    return "`resamples`" if limited_by_resamples(prompts) else "prompts"


def _minimal(
    claim: CircuitTestClaim, circuit: Circuit, level: float, share: float
) -> Iterator[tuple[str, str]]:
    experiments = Experiments(claim, circuit)
    for kind in {type(c): c for c in experiments.components}.values():
        outside, drawn = len(experiments.outside(kind)), circuit.settings.random_circuits
        if not outside:
            yield (
                f"`minimal` cannot pass: nothing like {kind} is outside of the circuit",
                "it has nothing to be compared with; leave the claim out",
            )
        elif drawn < outside and drawn < (fewest := fewest_of(outside, share, level)):
            yield (
                f"`minimal` cannot pass with {drawn} random components at the level {level:.2g}",
                f"`random circuits {fewest}`",
            )
