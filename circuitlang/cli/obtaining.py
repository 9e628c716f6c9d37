"""`circuitlang models`."""

from circuitlang.cli.session import fail, print_err, print_out
from circuitlang.models import (
    OBTAINABLE,
    builtin_folder,
    builtin_names,
    find_obtainable,
    shape_of_folder,
)
from circuitlang.report.outcome import ExitCode
from circuitlang.source import did_you_mean


def list_models() -> ExitCode:
    """A line a model: how a file names it, its size, and whether it is here."""
    lines = []
    for name in builtin_names():
        folder = builtin_folder(name)
        shape = shape_of_folder(folder) if folder else None
        size = f"{shape.layers} layers x {shape.heads} heads" if shape else ""
        lines.append(f"model builtin {name:<20} {size}, ships with the package")
    for model in OBTAINABLE:
        state = "ready" if model.is_ready else f"`circuitlang models get {model.name}`"
        lines.append(f'model "{model.name}"'.ljust(35) + f"{model.description}: {state}")
    lines.append('model "gpt2"'.ljust(35) + "any name on the Hugging Face hub, or a local folder")
    print_out("\n".join(lines) + "\n")
    return ExitCode.PASSED


def get_model(name: str) -> ExitCode:
    """Bring a model into the cache and say where it lies."""
    from circuitlang.engine.errors import RunError

    model = find_obtainable(name)
    if model is None:
        if name in builtin_names():
            print_out(f"`{name}` ships with the package: write `model builtin {name}`\n")
            return ExitCode.PASSED
        hint = did_you_mean(name, [m.name for m in OBTAINABLE])
        fail(f"there is no model `{name}` to get" + (f"; {hint}" if hint else ""))
        return ExitCode.USAGE
    from circuitlang.engine.obtain import obtain

    try:
        folder = obtain(model, lambda text: print_err(f"{text}\n"))
    except RunError as error:
        fail(str(error))
        return ExitCode.NOT_RUN
    print_out(f"{model.name} is ready in {folder}\n")
    return ExitCode.PASSED
