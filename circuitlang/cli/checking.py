"""`circuitlang check`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from circuitlang.circuit import Circuit, missing_files
from circuitlang.cli.preparing import misaligned_in_words
from circuitlang.cli.session import (
    examine,
    fail,
    has_errors,
    print_out,
    show_diagnostics,
)
from circuitlang.models import context_of_folder
from circuitlang.report.outcome import ExitCode
from circuitlang.source import counted

if TYPE_CHECKING:
    from circuitlang.engine.tokens import Aligned


def check_files(paths: Sequence[Path], *, tokens: bool) -> ExitCode:
    """Check every file; the worst outcome decides."""
    worst = ExitCode.PASSED
    for path in paths:
        source, circuit, diagnostics = examine(path)
        account = ""
        if circuit is not None:
            from circuitlang.plan import check_design

            own = missing_files(circuit.model)
            diagnostics = (*diagnostics, *own, *check_design(circuit))
            if tokens and not own:
                found = _check_tokens(circuit)
                if found is None:
                    worst = max(worst, ExitCode.NOT_RUN)
                else:
                    diagnostics = (*diagnostics, *found.diagnostics)
                    account = misaligned_in_words(circuit, found.misaligned)
        show_diagnostics(source, diagnostics)
        if has_errors(diagnostics):
            worst = max(worst, ExitCode.USAGE)
            if account:
                fail(f"{path}: {account}")
        elif circuit is not None:
            edges, claims = len(circuit.edges), len(circuit.claims)
            also = f"; {account}" if account else ""
            sweeps = len(circuit.sweeps)
            also = (f", {counted(sweeps, 'sweep')}" if sweeps else "") + also
            print_out(f"{path}: ok ({counted(edges, 'edge')}, {counted(claims, 'claim')}{also})\n")
    return worst


def _check_tokens(circuit: Circuit) -> "Aligned | None":
    """The prompts in tokens, with their diagnostics; None when the tokenizer cannot be had."""
    from circuitlang.engine.errors import RunError
    from circuitlang.engine.locating import locate_model, tokenizer_folder
    from circuitlang.engine.tokenizer import FastTokenizer
    from circuitlang.engine.tokens import align

    try:
        folder, _ = locate_model(circuit.model, weights=False)
        tokenizer = FastTokenizer.from_folder(tokenizer_folder(folder))
    except ModuleNotFoundError as error:
        fail(f"--tokens needs the package `{error.name}`: `pip install 'circuitclaims[run]'`")
        return None
    except (RunError, OSError) as error:
        fail(str(error))
        return None
    return align(circuit, tokenizer, context_of_folder(folder))
