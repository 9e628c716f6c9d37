"""Which prompt pairs are judged, and an account of all the others: none is dropped in silence."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from circuitlang.circuit import Circuit, Metric, PairRule
from circuitlang.evidence import (
    DrawnPair,
    Evidence,
    Misalignment,
    PromptRecord,
    SkippedPair,
    on_prompts,
)
from circuitlang.plan.design import MIN_PER_TEMPLATE
from circuitlang.report import NamedPair, PairGroup, Pairs, TemplatePairs
from circuitlang.report.numbers import numbered
from circuitlang.verdict.possible import without_impossible

_REASONS = {
    Misalignment.LENGTH: "the two prompts differ in length",
    Misalignment.OUTSIDE: "a position falls outside the prompt",
    Misalignment.POSITION: "a position or a slot is on other tokens",
    Misalignment.ANSWER: "a word that the metric compares is not one token",
    Misalignment.SET: "a set of words is empty or has a word of the other",
    Misalignment.LAYOUT: "the positions are not those that most prompts have",
}
_IN_WORDS = {
    "misaligned": "misaligned",
    "wrong": "answered wrongly",
    "same": "without a difference between clean and corrupt",
}
_UNEVEN, _DOUBTFUL = 10, 20
"""Percent. Templates whose kept shares lie so far apart, and so many wrong pairs and pairs without
a difference, are worth a warning."""


@dataclass(frozen=True, slots=True)
class Gated:
    """Evidence of the pairs that are judged, with the account of all.

    ``measured`` is the evidence of all pairs that differ, whether they are judged or not. ``unfit``
    says why nothing may be judged; it is empty when something may. ``refused`` is the part of it
    that is not about how few pairs are left, which only judging minds. ``rows`` are those of the
    judged pairs among all measured ones.
    """

    evidence: Evidence
    measured: Evidence
    pairs: Pairs
    unfit: str
    refused: str
    rows: tuple[int, ...]


def gate(evidence: Evidence, circuit: Circuit) -> Gated:
    """Apply a file's rules about doubtful pairs to what was measured.

    Copies of a pair are counted once, whatever the file says: short word lists give fewer different
    prompts than `sample` asks for, and copies would narrow every interval with nothing learned.
    Pairs that the model gets wrong and pairs without a difference between the worlds (within float
    noise) are sought among the rest. A value that is not finite makes a pair neither: it stays, and
    is an error of the claims that need it. So is a value that the metric cannot have.
    """
    uneven = _uneven_columns(evidence)
    evidence, impossible = without_impossible(evidence, circuit.metric)
    first = {} if uneven else first_of_its_kind(evidence.prompts)
    distinct = [row for row, original in first.items() if row == original]
    wrong = _wrong(evidence, distinct, circuit.metric)
    same = _same(evidence, distinct, circuit.metric.noise)
    likelier = not circuit.metric.kind.of_differences
    why = "another token is likelier; clean metric " if likelier else "clean metric "
    rules = circuit.settings.pairs
    skipped = {*(wrong if rules.wrong is PairRule.SKIP else ())}
    skipped |= {*(same if rules.same is PairRule.SKIP else ())}
    judged = [row for row in distinct if row not in skipped]
    groups = {
        "copies": _group(
            "once",
            (
                _named(evidence, row, f"a copy of pair {number_of(evidence, original)}")
                for row, original in first.items()
                if row != original
            ),
        ),
        "misaligned": _group(rules.misaligned, map(_misaligned, evidence.skipped)),
        "wrong": _group(
            rules.wrong,
            (_named(evidence, row, f"{why}{evidence.clean[row]:.4g}") for row in wrong),
        ),
        "same": _group(
            rules.same,
            (_named(evidence, row, f"both metrics {evidence.clean[row]:.4g}") for row in same),
        ),
    }
    templates = _templates(evidence, judged)
    pairs = Pairs(
        drawn=len(evidence.prompts) + len(evidence.skipped),
        measured=len(evidence.prompts),
        judged=len(judged),
        templates=templates,
        warnings=(*_unequal_shares(templates), *_doubtful({*wrong, *same}, skipped, distinct)),
        **groups,
    )
    lossy = {*(evidence.prompts[row].template for row in skipped)}
    lossy |= {pair.template for pair in evidence.skipped}
    refused = uneven or impossible or _refused(groups, pairs.drawn, len(distinct))
    unfit = refused or _too_few(templates, lossy)
    kept = on_prompts(evidence, judged)
    return Gated(kept, on_prompts(evidence, distinct), pairs, unfit, refused, tuple(judged))


def number_of(evidence: Evidence, row: int) -> int:
    """Place of a measured pair among those drawn, from 1."""
    return evidence.prompts[row].number or row + 1


def _uneven_columns(evidence: Evidence) -> str:
    """What is wrong with evidence whose baseline columns do not fit its prompts."""
    prompts = len(evidence.prompts)
    columns: Mapping[str, Sequence[object]] = {
        "clean run": evidence.clean,
        "corrupt run": evidence.corrupt,
        "list of answers": evidence.answered,
    }
    for what, column in columns.items():
        if len(column) != prompts:
            return f"the {what} has {len(column)} values for {prompts} prompts"
    return ""


def first_of_its_kind(prompts: Sequence[PromptRecord]) -> dict[int, int]:
    """For every row the first one with the same pair."""
    seen: dict[tuple[int, str, str, str, str], int] = {}
    return {
        row: seen.setdefault((p.template, p.clean, p.corrupt, p.answer, p.distractor), row)
        for row, p in enumerate(prompts)
    }


def _wrong(evidence: Evidence, rows: Iterable[int], metric: Metric) -> list[int]:
    """Rows on which the model does not prefer the answer.

    Of a difference: to the distractor. Else to every other token; a metric without an answer (`kl`)
    has none.
    """
    known = [row for row in rows if evidence.clean[row] is not None]
    if metric.kind.of_differences:
        return [row for row in known if (evidence.clean[row] or 0.0) <= 0]
    return [row for row in known if metric.arguments and not evidence.answered[row]]


def _same(evidence: Evidence, rows: Iterable[int], noise: float) -> list[int]:
    """Rows on which the corruption changes nothing."""
    return [
        row
        for row in rows
        if (clean := evidence.clean[row]) is not None
        and (corrupt := evidence.corrupt[row]) is not None
        and abs(clean - corrupt) <= noise
    ]


def _group(rule: str, pairs: Iterable[NamedPair]) -> PairGroup:
    named = tuple(pairs)
    return PairGroup.model_validate({"rule": str(rule), "count": len(named), "pairs": named})


def _named(evidence: Evidence, row: int, reason: str) -> NamedPair:
    prompt = evidence.prompts[row]
    return NamedPair(
        number=number_of(evidence, row),
        template=prompt.template + 1,
        clean=prompt.clean,
        corrupt=prompt.corrupt,
        reason=reason,
    )


def _misaligned(pair: SkippedPair) -> NamedPair:
    return NamedPair(
        number=pair.number,
        template=pair.template + 1,
        clean=pair.clean,
        corrupt=pair.corrupt,
        reason=_REASONS[pair.reason],
    )


def _templates(evidence: Evidence, judged: Iterable[int]) -> tuple[TemplatePairs, ...]:
    drawn = Counter(pair.template for pair in chain[DrawnPair](evidence.prompts, evidence.skipped))
    kept = Counter(evidence.prompts[row].template for row in judged)
    return tuple(
        TemplatePairs(template=template + 1, drawn=count, judged=kept[template])
        for template, count in sorted(drawn.items())
    )


def _refused(groups: Mapping[str, PairGroup], drawn: int, distinct: int) -> str:
    """Why the file's own rules forbid to judge; misaligned pairs are counted among those drawn,
    others among those measured, copies once."""
    total = {"misaligned": drawn, "wrong": distinct, "same": distinct}
    found = [
        f"{group.count} of {total[kind]} pairs {_are(group.count)} {_IN_WORDS[kind]} "
        f"({numbered([pair.number for pair in group.pairs])}), "
        f"which the file refuses: `pairs {kind} refuse`"
        for kind, group in groups.items()
        if group.rule == "refuse" and group.count
    ]
    return "; ".join(found)


def _too_few(templates: Sequence[TemplatePairs], lossy: set[int]) -> str:
    """The first template that the rules leave too little of to judge."""
    for template in templates:
        if template.template - 1 in lossy and template.judged < MIN_PER_TEMPLATE:
            return (
                f"template {template.template} has {template.judged} of {template.drawn} pairs "
                f"left to judge, and {MIN_PER_TEMPLATE} are needed"
            )
    return ""


def _unequal_shares(templates: Sequence[TemplatePairs]) -> tuple[str, ...]:
    """A warning where templates keep different shares of their pairs: it changes their weights."""
    if not templates:
        return ()
    least = min(templates, key=lambda t: t.judged / t.drawn)
    most = max(templates, key=lambda t: t.judged / t.drawn)
    # Whole numbers: ten points must be ten points.
    apart = most.judged * least.drawn - least.judged * most.drawn
    if 100 * apart < _UNEVEN * most.drawn * least.drawn:
        return ()
    return (
        f"template {least.template} keeps {least.judged} of {least.drawn} pairs and template "
        f"{most.template} keeps {most.judged} of {most.drawn}: effects weigh templates by what "
        "they keep",
    )


def _doubtful(bad: set[int], skipped: set[int], distinct: Sequence[int]) -> tuple[str, ...]:
    """A warning where the model does not do the task on many of the pairs."""
    if 100 * len(bad) <= _DOUBTFUL * len(distinct):
        return ()
    found = (
        f"{len(bad)} of {len(distinct)} pairs are answered wrongly or without a difference between "
        "clean and corrupt: "
    )
    kept = "the denominator of effects, mean(clean - corrupt), is doubtful"
    left = "what is judged is the rest, not the task"
    return (found + "; ".join([kept] * bool(bad - skipped) + [left] * bool(skipped)),)


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
