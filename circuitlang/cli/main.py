"""Commands of `circuitlang`; each is a few lines over the packages that do the work."""

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from circuitlang import __version__
from circuitlang.cli import interchange
from circuitlang.cli.session import Session, fail, print_out
from circuitlang.report.outcome import ExitCode

TRACEBACK = "CIRCUITLANG_TRACEBACK"
"""Environment variable that makes an internal error show its traceback."""


class _Commands(TyperGroup):
    """Says that it was interrupted, which Typer itself does not."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - as click declares it
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            fail("interrupted")
            raise typer.Exit(ExitCode.INTERRUPTED) from error


app = typer.Typer(
    cls=_Commands,
    help="Write a transformer-circuit hypothesis as text; test every edge of it by path patching.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
models_app = typer.Typer(help="Models that can be had without the hub.", no_args_is_help=True)
app.add_typer(models_app, name="models")

FileArgument = Annotated[Path, typer.Argument(help="A .circuit file.", show_default=False)]
FilesArgument = Annotated[list[Path], typer.Argument(help="One or more .circuit files.")]


class EngineChoice(StrEnum):
    """Which engine `run` measures with, and whose cost `plan` tells."""

    FAST = "fast"
    REFERENCE = "reference"
    BOTH = "both"


class DrawingFormat(StrEnum):
    """What `draw` writes."""

    DOT = "dot"
    SVG = "svg"
    PNG = "png"
    MERMAID = "mermaid"


MemoryOption = Annotated[
    float,
    typer.Option(min=0.01, max=1e6, help="GiB that cached runs may hold besides the weights."),
]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda, mps.")]
MeasuringEngineOption = Annotated[
    EngineChoice, typer.Option(help="fast; reference is slow and judges it; both compares.")
]
BatchOption = Annotated[int, typer.Option(min=1, max=4096, help="Prompts in one pass.")]
ThreadsOption = Annotated[int | None, typer.Option(min=1, help="CPU threads.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Every detail.")]
JsonReportOption = Annotated[
    Path | None, typer.Option("--json", help="Also write the report as JSON.")
]
EvidenceOption = Annotated[
    Path | None, typer.Option("--evidence", help="Also save the measurements.")
]


def _version(wanted: bool) -> None:
    if wanted:
        print_out(f"circuitlang {__version__}\n")
        raise typer.Exit


def _bytes(gib: float) -> int:
    return int(gib * (1 << 30))


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def check(
    files: FilesArgument,
    tokens: Annotated[
        bool, typer.Option("--tokens", help="Also tokenise the prompts (needs the tokenizer).")
    ] = False,
) -> None:
    """Parse and check files without running anything."""
    from circuitlang.cli.checking import check_files

    raise typer.Exit(check_files(files, tokens=tokens))


@app.command()
def fmt(
    files: FilesArgument,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit 1 if a file would change.")
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Change nothing; show the changes.")] = False,
) -> None:
    """Lay files out in the one true layout."""
    from circuitlang.cli.formatting import format_files

    raise typer.Exit(format_files(files, check=check, diff=diff))


@app.command()
def plan(
    file: FileArgument,
    engine: Annotated[
        EngineChoice, typer.Option(help="fast, reference, or both side by side.")
    ] = EngineChoice.FAST,
    batch: BatchOption = 32,
    memory: MemoryOption = 1.0,
    threads: ThreadsOption = None,
    pilot: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=10_000,
            help="Load the model; measure the claims on so many further prompts.",
        ),
    ] = None,
    json: Annotated[
        Path | None, typer.Option("--json", help="Also write the pilot as JSON.")
    ] = None,
    device: Annotated[str, typer.Option(help="Of a pilot: cpu, cuda, mps.")] = "cpu",
    quiet: QuietOption = False,
) -> None:
    """Show what a run would measure, cost and be able to show, without the model's weights."""
    held = _bytes(memory)
    if pilot is not None:
        from circuitlang.cli.opening import Measuring
        from circuitlang.cli.piloting import PilotOptions, pilot_file

        how = Measuring(device, engine.value, batch, held, threads, quiet)
        raise typer.Exit(pilot_file(Session.open(file), PilotOptions(pilot, json, how)))
    if json is not None:
        fail("`--json` of `plan` writes a pilot: add `--pilot 20`")
        raise typer.Exit(ExitCode.USAGE)
    from circuitlang.cli.planning import show_plan
    from circuitlang.plan.cost import EngineCost

    engines = tuple(e for e in EngineCost if engine in (e.value, EngineChoice.BOTH))
    raise typer.Exit(show_plan(Session.open(file), engines, batch, threads, held))


@app.command()
def run(
    file: FileArgument,
    json: JsonReportOption = None,
    evidence: EvidenceOption = None,
    mutate: Annotated[
        bool, typer.Option("--mutate", help="Also change the file in small ways; add the score.")
    ] = False,
    device: DeviceOption = "cpu",
    engine: MeasuringEngineOption = EngineChoice.FAST,
    batch: BatchOption = 32,
    memory: MemoryOption = 1.0,
    threads: ThreadsOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
) -> None:
    """Run a file's experiments and judge its claims."""
    from circuitlang.cli.opening import Measuring
    from circuitlang.cli.running import RunOptions, run_file

    how = Measuring(device, engine.value, batch, _bytes(memory), threads, quiet)
    options = RunOptions(json, evidence, mutate, verbose, how)
    raise typer.Exit(run_file(Session.open(file), options))


@app.command()
def judge(
    file: FileArgument,
    evidence: Annotated[Path, typer.Argument(help="Measurements that `run --evidence` saved.")],
    json: JsonReportOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Judge saved measurements with the file's bounds as they are now; no model is needed."""
    from circuitlang.cli.running import judge_file

    raise typer.Exit(judge_file(Session.open(file), evidence, json, verbose))


@app.command()
def mutate(
    file: FileArgument,
    json: Annotated[
        Path | None, typer.Option("--json", help="Also write the report, mutants and all, as JSON.")
    ] = None,
    evidence: EvidenceOption = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Measure at most so many, drawn with the file's seed.")
    ] = None,
    device: DeviceOption = "cpu",
    engine: MeasuringEngineOption = EngineChoice.FAST,
    batch: BatchOption = 32,
    memory: MemoryOption = 1.0,
    threads: ThreadsOption = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="The whole report, and every mutant.")
    ] = False,
    quiet: QuietOption = False,
) -> None:
    """Change a file in small ways and report which changes its claims do not notice."""
    from circuitlang.cli.mutating import MutateOptions, mutate_file
    from circuitlang.cli.opening import Measuring

    how = Measuring(device, engine.value, batch, _bytes(memory), threads, quiet)
    options = MutateOptions(json, evidence, limit, verbose, how)
    raise typer.Exit(mutate_file(Session.open(file), options))


@app.command()
def screen(
    file: FileArgument,
    top: Annotated[
        int, typer.Option(min=1, max=1000, help="How many edges to measure exactly.")
    ] = 20,
    json: Annotated[
        Path | None, typer.Option("--json", help="Also write the table as JSON.")
    ] = None,
    device: DeviceOption = "cpu",
    batch: BatchOption = 32,
    threads: ThreadsOption = None,
    quiet: QuietOption = False,
) -> None:
    """Look for edges worth a claim: approximate all of them, measure the largest. No test."""
    from circuitlang.cli.screening import ScreenOptions, screen_file

    options = ScreenOptions(top, json, device, batch, threads, quiet)
    raise typer.Exit(screen_file(Session.open(file), options))


@app.command()
def draw(
    file: FileArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to; the suffix tells the format.")
    ] = None,
    format: Annotated[
        DrawingFormat | None, typer.Option("--format", "-f", help="dot, svg, png or mermaid.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="A JSON report: widths and colours by verdict.")
    ] = None,
) -> None:
    """Draw a circuit as DOT, SVG, PNG or Mermaid."""
    from circuitlang.cli.drawing import draw_file

    kind = format.value if format else None
    raise typer.Exit(draw_file(Session.open(file), output, kind, report))


@app.command()
def explain(
    code: Annotated[
        str | None, typer.Argument(help="Such as CL216; without it, all of them.")
    ] = None,
) -> None:
    """Say what a diagnostic means, with a file that gets it and the same file mended."""
    from circuitlang.cli.explaining import explain_code

    raise typer.Exit(explain_code(code))


interchange.register(app)


@models_app.command("list")
def models_list() -> None:
    """List the built-in models and those that `models get` brings."""
    from circuitlang.cli.obtaining import list_models

    raise typer.Exit(list_models())


@models_app.command("get")
def models_get(
    name: Annotated[str, typer.Argument(help="A name that `models list` shows.")],
) -> None:
    """Bring a model into the cache."""
    from circuitlang.cli.obtaining import get_model

    raise typer.Exit(get_model(name))


def main() -> None:
    """Entry point of the command `circuitlang`."""
    try:
        app(prog_name="circuitlang")
    except KeyboardInterrupt:
        fail("interrupted")
        sys.exit(ExitCode.INTERRUPTED)
    except Exception as error:
        # Python would exit with 1, which here means that a claim failed.
        if os.environ.get(TRACEBACK):
            raise
        text = " ".join(str(error).split())[:300]
        fail(f"internal error: {type(error).__name__}: {text} (set {TRACEBACK}=1 to see where)")
        sys.exit(ExitCode.NOT_RUN)
