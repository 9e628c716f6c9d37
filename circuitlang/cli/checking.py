"""`circuitlang check`."""

from collections.abc import Sequence
from pathlib import Path

from circuitlang.circuit import Circuit
from circuitlang.cli.session import (
    examine,
    fail,
    has_errors,
    print_out,
    show_diagnostics,
)
from circuitlang.report.outcome import ExitCode
from circuitlang.source import Diagnostic


def check_files(paths: Sequence[Path], *, tokens: bool) -> ExitCode:
    """Check every file; the worst outcome decides."""
    worst = ExitCode.PASSED
    for path in paths:
        source, circuit, diagnostics = examine(path)
        if circuit is not None:
            from circuitlang.plan import check_design

            diagnostics = (*diagnostics, *check_design(circuit))
            if tokens:
                found = _check_tokens(circuit)
                if found is None:
                    worst = max(worst, ExitCode.NOT_RUN)
                diagnostics = (*diagnostics, *(found or ()))
        show_diagnostics(source, diagnostics)
        if has_errors(diagnostics):
            worst = max(worst, ExitCode.USAGE)
        elif circuit is not None:
            edges, claims = len(circuit.edges), len(circuit.claims)
            print_out(f"{path}: ok ({edges} edges, {claims} claims)\n")
    return worst


def _check_tokens(circuit: Circuit) -> tuple[Diagnostic, ...] | None:
    """Diagnostics of the prompts in tokens; None when the tokenizer cannot be had."""
    from circuitlang.engine.errors import RunError
    from circuitlang.engine.loading import locate_model
    from circuitlang.engine.tokenizer import FastTokenizer
    from circuitlang.engine.tokens import tokenize

    try:
        folder, _ = locate_model(circuit.model, weights=False)
        tokenizer = FastTokenizer.from_folder(folder)
    except ModuleNotFoundError as error:
        fail(f"--tokens needs the package `{error.name}`: `pip install 'circuitclaims[run]'`")
        return None
    except (RunError, OSError) as error:
        fail(str(error))
        return None
    return tokenize(circuit, tokenizer)[2]
