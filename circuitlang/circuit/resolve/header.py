"""The sections that are one line: circuit, model, metric."""

from pathlib import Path

from circuitlang.circuit.circuit import ModelReference
from circuitlang.circuit.metric import METRICS, Metric
from circuitlang.circuit.resolve.quantities import choice
from circuitlang.circuit.resolve.scope import Scope
from circuitlang.models import (
    ModelShape,
    builtin_folder,
    builtin_names,
    find_obtainable,
    shape_of_folder,
    shape_of_name,
)
from circuitlang.source import did_you_mean
from circuitlang.syntax import tree as syntax

DTYPES = ("float32", "float64", "float16", "bfloat16")
WEIGHTS = ("plain", "folded")
_OPTIONS = ("revision", "dtype", "weights")


def resolve_header(section: syntax.Section | None, scope: Scope) -> tuple[str, str]:
    """Name and title; a file without a `circuit` line is named after itself."""
    if isinstance(section, syntax.CircuitSection):
        return section.name.text, section.title.text if section.title else ""
    return Path(scope.source.name).stem, ""


def resolve_model(
    section: syntax.Section | None, scope: Scope
) -> tuple[ModelReference | None, ModelShape | None]:
    """The model reference, and its shape when that is known without weights."""
    if not isinstance(section, syntax.ModelSection):
        return None, None
    options = _options(section, scope)
    reference = ModelReference(section.kind, section.value.text, **options)
    if not reference.name.strip():
        scope.error("CL401", section.value.span, "the model has no name")
        return None, None
    if section.kind == "builtin":
        return _builtin(section, reference, scope)
    if section.kind == "gguf":
        path = scope.folder / reference.name
        return ModelReference("gguf", str(path), **options), None
    if find_obtainable(reference.name):
        return reference, shape_of_name(reference.name)
    folder = scope.folder / reference.name
    if folder.is_dir() or reference.name.startswith((".", "/")):
        return ModelReference("name", str(folder), **options), shape_of_folder(folder)
    return reference, shape_of_name(reference.name)


def _builtin(
    section: syntax.ModelSection, reference: ModelReference, scope: Scope
) -> tuple[ModelReference | None, ModelShape | None]:
    folder = builtin_folder(reference.name)
    if folder is None:
        message = f"there is no built-in model `{reference.name}`"
        hint = did_you_mean(reference.name, builtin_names())
        scope.error("CL401", section.value.span, message, hint)
        return None, None
    return reference, shape_of_folder(folder)


def _options(section: syntax.ModelSection, scope: Scope) -> dict[str, str]:
    options: dict[str, str] = {}
    known = {"dtype": DTYPES, "weights": WEIGHTS}
    for name, value in section.options:
        if name.text not in _OPTIONS:
            hint = did_you_mean(name.text, _OPTIONS)
            scope.error("CL402", name.span, f"a model has no option `{name.text}`", hint)
        elif name.text in options:
            scope.error("CL225", name.span, f"`{name.text}` stands twice")
        elif name.text == "revision" and section.kind != "name":
            scope.error("CL402", name.span, "only a model from the hub has a revision")
        elif name.text == "revision" or choice(value, known[name.text], scope):
            options[name.text] = value.text
    return options


def resolve_metric(section: syntax.Section | None, scope: Scope) -> Metric | None:
    """`logit_diff(a, b)` with two slots of the prompts."""
    if not isinstance(section, syntax.MetricSection):
        return None
    if choice(section.name, METRICS, scope) is None:
        return None
    if len(section.arguments) != 2:
        message = f"`{section.name.text}` compares two slots, {len(section.arguments)} given"
        scope.error("CL226", section.span, message, "write `logit_diff(IO, S)`")
        return None
    answer, distractor = section.arguments
    if answer.text == distractor.text:
        scope.error("CL222", distractor.span, "a slot minus itself is always zero")
        return None
    slots = {slot for words in scope.prompts.word_lists for slot in words.slots} if (
        scope.prompts
    ) else None
    if slots is not None:
        unknown = [word for word in section.arguments if word.text not in slots]
        for word in unknown:
            hint = did_you_mean(word.text, slots)
            scope.error("CL301", word.span, f"the prompts have no slot `{word.text}`", hint)
        if unknown:
            return None
    return Metric(section.name.text, answer.text, distractor.text)
