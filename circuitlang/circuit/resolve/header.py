"""The sections that are one line: circuit and model."""

import re
from pathlib import Path

from circuitlang.circuit.circuit import ModelReference
from circuitlang.circuit.model_files import is_path
from circuitlang.circuit.resolve.quantities import choice
from circuitlang.circuit.resolve.scope import Scope
from circuitlang.models import (
    ModelShape,
    builtin_folder,
    builtin_names,
    find_obtainable,
    shape_of_folder,
    shape_with_neurons,
)
from circuitlang.syntax import tree as syntax

DTYPES = ("float32", "float64", "float16", "bfloat16")
WEIGHTS = ("plain", "folded")
KEY_VALUES = ("shared", "ungrouped")
_LONGEST_NAME = 1_000
_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?"
_HUB_NAME = re.compile(f"(?:{_PART}/)?{_PART}")
_OPTIONS = ("revision", "dtype", "weights", "key_values")


def resolve_header(section: syntax.Section | None, scope: Scope) -> tuple[str, str]:
    """Name and title; a file without a `circuit` line is named after itself."""
    if isinstance(section, syntax.CircuitSection):
        return section.name.text, section.title.text if section.title else ""
    return Path(scope.source.name).stem, ""


def resolve_model(
    section: syntax.Section | None, scope: Scope
) -> tuple[ModelReference | None, ModelShape | None]:
    """The model reference, and its shape when that is known without weights."""
    reference, shape = _found(section, scope)
    if reference and shape and reference.key_values == "ungrouped":
        shape = shape.ungrouped()
    return reference, shape


def _found(
    section: syntax.Section | None, scope: Scope
) -> tuple[ModelReference | None, ModelShape | None]:
    """The model reference, and the shape that the model has as published."""
    if not isinstance(section, syntax.ModelSection):
        return None, None
    options = _options(section, scope)
    reference = ModelReference(section.kind, section.value.text, span=section.value.span, **options)
    if not reference.name.strip():
        scope.error("CL401", section.value.span, "the model has no name", 'such as `model "gpt2"`')
        return None, None
    if len(reference.name) > _LONGEST_NAME or "\0" in reference.name:
        scope.error("CL401", section.value.span, "this is no name of a model or a folder")
        return None, None
    if section.kind == "builtin":
        return _builtin(section, reference, scope)
    if section.kind == "gguf":
        path = scope.folder / reference.name
        return ModelReference("gguf", str(path), span=section.value.span, **options), None
    if find_obtainable(reference.name):
        return reference, shape_with_neurons(reference.name)
    folder = scope.folder / reference.name
    if _is_folder(folder) or reference.name.startswith((".", "/")):
        # `./` stays in front of a relative path: without it a missing folder would look like a
        # name on the hub.
        name = str(folder) if folder.is_absolute() else f"./{folder}"
        reference = ModelReference("name", name, span=section.value.span, **options)
        return reference, shape_of_folder(folder)
    if problem := _no_hub_name(reference.name):
        scope.error("CL401", section.value.span, *problem)
        return None, None
    return reference, shape_with_neurons(reference.name)


def _no_hub_name(name: str) -> tuple[str, str] | None:
    """Message and hint for what is no name on the hub and no path either."""
    if "://" in name:
        own = "/".join(name.split("://", 1)[1].strip("/").split("/")[1:3])
        hint = f"write `{own}`" if _HUB_NAME.fullmatch(own) else ""
        return "a model is named without its address", hint
    if is_path(name) or _HUB_NAME.fullmatch(name):
        return None
    message = f"`{name}` is no folder, and no name that the hub can have"
    if _HUB_NAME.fullmatch(name.strip()):
        return message, f"write `{name.strip()}`, without blanks"
    return message, 'such as `"gpt2"` or `"EleutherAI/pythia-160m"`; a folder is `"./folder"`'


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long for the file system, or a folder nobody may enter
        return False


def _builtin(
    section: syntax.ModelSection, reference: ModelReference, scope: Scope
) -> tuple[ModelReference | None, ModelShape | None]:
    folder = builtin_folder(reference.name)
    if folder is None:
        message = f"there is no built-in model `{reference.name}`"
        hint = scope.suggest(reference.name, builtin_names())
        scope.error("CL401", section.value.span, message, hint)
        return None, None
    return reference, shape_of_folder(folder)


def _options(section: syntax.ModelSection, scope: Scope) -> dict[str, str]:
    options: dict[str, str] = {}
    known = {"dtype": DTYPES, "weights": WEIGHTS, "key_values": KEY_VALUES}
    for name, value in section.options:
        if name.text not in _OPTIONS:
            hint = scope.suggest(name.text, _OPTIONS)
            scope.error("CL402", name.span, f"a model has no option `{name.text}`", hint)
        elif name.text in options:
            scope.error("CL225", name.span, f"`{name.text}` stands twice", "delete one of them")
        elif name.text == "revision" and section.kind != "name":
            message = "only a model from the Hugging Face hub has a revision"
            scope.error("CL402", name.span, message, "delete it")
        elif name.text == "revision" or choice(value, known[name.text], scope):
            options[name.text] = value.text
    return options
