"""circuits/smollm2_ioi.circuit on the real model, where it has been obtained."""

from benchmarks.cases.product import time_file
from benchmarks.machine import Environment
from benchmarks.outcome import Options, Outcome, Section
from benchmarks.workload import CIRCUITS, read_circuit
from circuitlang.models import find_obtainable


def run(options: Options, here: Environment) -> Outcome:
    """The complete file; a line that says what to do where the model is not here."""
    model = find_obtainable("smollm2-135m")
    if model is None or not model.is_ready:
        return _skipped("the model is not here: run `circuitlang models get smollm2-135m`")
    if options.quick:
        return _skipped("left out of --quick")
    circuit = read_circuit((CIRCUITS / "smollm2_ioi.circuit").read_text(encoding="utf-8"))
    if circuit is None:
        raise ValueError("circuits/smollm2_ioi.circuit does not resolve")
    return Outcome("smollm2", [time_file(circuit, options)])


def _skipped(why: str) -> Outcome:
    return Outcome("smollm2", [Section("not run", text=why)])
