"""The `test` block."""

from dataclasses import fields, replace

from circuitlang.circuit.resolve.limits import (
    MAX_GREEDY_SEARCHES,
    MAX_LOOKS,
    MAX_RANDOM_CIRCUITS,
    MAX_RANDOM_EDGES,
    MAX_RANDOM_SUBSETS,
    MAX_SAMPLE,
)
from circuitlang.circuit.resolve.metric import refuses_wrong_pairs
from circuitlang.circuit.resolve.quantities import choice, level, whole_number
from circuitlang.circuit.resolve.scope import Scope
from circuitlang.circuit.settings import (
    Ablation,
    Correction,
    Direction,
    PairRule,
    PairRules,
    TestSettings,
)
from circuitlang.syntax import tree as syntax


def resolve_settings(section: syntax.Section | None, scope: Scope) -> TestSettings:
    """Settings with the block's lines laid over the defaults."""
    settings = TestSettings()
    if not isinstance(section, syntax.TestSection):
        return settings
    seen: set[str] = set()
    for line in section.lines:
        name = f"pairs {line.words[0].text}" if line.kind == "pairs" else line.kind
        if name in seen:
            message = f"the setting `{name}` stands twice"
            scope.error("CL225", line.span, message, "delete one of them")
        seen.add(name)
        settings = _apply(settings, line, scope)
    return settings


def _apply(settings: TestSettings, line: syntax.SettingLine, scope: Scope) -> TestSettings:
    match line.kind:
        case "ablation":
            return _ablation(settings, line, scope)
        case "significance":
            value = level(line.quantities[0], 0.0, 0.5, "the significance level", scope)
            settings = replace(settings, significance=value or settings.significance)
            if line.words and (word := choice(line.words[0], [*Correction], scope)):
                settings = replace(settings, correction=Correction(word))
            return settings
        case "direction":
            word = choice(line.words[0], [*Direction], scope)
            return replace(settings, direction=Direction(word)) if word else settings
        case "resamples":
            count = whole_number(line.quantities[0], 1_000, 1_000_000, "`resamples`", scope)
            return replace(settings, resamples=count or settings.resamples)
        case "seed":
            seed = whole_number(line.quantities[0], 0, 2**32 - 1, "`seed`", scope)
            return replace(settings, seed=seed or 0)
        case "random edges":
            count = whole_number(line.quantities[0], 0, MAX_RANDOM_EDGES, "`random edges`", scope)
            return settings if count is None else replace(settings, random_edges=count)
        case "random circuits":
            most = MAX_RANDOM_CIRCUITS
            count = whole_number(line.quantities[0], 1, most, "`random circuits`", scope)
            return replace(settings, random_circuits=count or settings.random_circuits)
        case "random subsets":
            most = MAX_RANDOM_SUBSETS
            count = whole_number(line.quantities[0], 0, most, "`random subsets`", scope)
            return settings if count is None else replace(settings, random_subsets=count)
        case "greedy searches":
            most = MAX_GREEDY_SEARCHES
            count = whole_number(line.quantities[0], 0, most, "`greedy searches`", scope)
            return settings if count is None else replace(settings, greedy_searches=count)
        case "looks":
            count = whole_number(line.quantities[0], 1, MAX_LOOKS, "`looks`", scope)
            return replace(settings, looks=count or settings.looks)
        case "sweep pairs":
            count = whole_number(line.quantities[0], 1, MAX_SAMPLE, "`sweep pairs`", scope)
            return replace(settings, sweep_pairs=count or settings.sweep_pairs)
        case "pairs":
            return replace(settings, pairs=_pairs(settings.pairs, line, scope))
        case _:
            value = level(line.quantities[0], 0.0, 1.0, "the minimum effect", scope)
            return replace(settings, minimum_effect=value or settings.minimum_effect)


def _ablation(settings: TestSettings, line: syntax.SettingLine, scope: Scope) -> TestSettings:
    word = choice(line.words[0], [*Ablation], scope)
    if word is None:
        return settings
    per_template = False
    if len(line.words) == 2:
        per_template = choice(line.words[1], ["template"], scope) is not None
        if word != Ablation.MEAN:
            scope.error("CL226", line.words[1].span, "only a mean is taken per template")
    return replace(settings, ablation=Ablation(word), per_template=per_template)


def _pairs(rules: PairRules, line: syntax.SettingLine, scope: Scope) -> PairRules:
    kinds = [field.name for field in fields(PairRules)]
    first, second = (word.text for word in line.words)
    if first in [*PairRule] and second in kinds:
        message, hint = "the kind of pair comes first", f"write `pairs {second} {first}`"
        scope.error("CL220", line.words[0].span, message, hint)
        return rules
    kind = choice(line.words[0], kinds, scope)
    word = choice(line.words[1], [*PairRule], scope)
    if kind is None or word is None:
        return rules
    if kind == "misaligned" and word == PairRule.KEEP:
        message = "misaligned pairs cannot be kept: no experiment on them means anything"
        hint = "write `pairs misaligned skip` to leave them out, or delete the line"
        scope.error("CL226", line.words[1].span, message, hint)
        return rules
    if kind == "wrong" and word != PairRule.KEEP and refuses_wrong_pairs(line.span, scope):
        return rules
    return replace(rules, **{kind: PairRule(word)})
