"""`circuitlang export`."""

from pathlib import Path
from typing import TYPE_CHECKING

from circuitlang.cli.reports import with_report
from circuitlang.cli.session import Session, can_write, fail, print_err, print_out, write_text
from circuitlang.report.outcome import ExitCode

if TYPE_CHECKING:
    from circuitlang.report import Report

Exported = tuple[str, tuple[str, ...]]
"""A text, and in words what of the circuit it does not hold."""


def export_file(
    session: Session,
    kind: str,
    output: Path | None,
    report_path: Path | None,
) -> ExitCode:
    """Write a circuit as json, graphml, eap-ig or edges; what is lost is said on stderr."""
    if not can_write(session.path, report_path, outputs=(output,)):
        return ExitCode.USAGE
    made = with_report(session, report_path, lambda report: _made(session, kind, report))
    if made is None:
        return ExitCode.USAGE
    if isinstance(made, str):
        fail(made)
        return ExitCode.NOT_RUN
    text, lost = made
    for words in lost:
        print_err(f"circuitlang: {words}\n")
    if output is None:
        print_out(text)
        return ExitCode.PASSED
    return ExitCode.PASSED if write_text(output, text) else ExitCode.NOT_RUN


def _made(session: Session, kind: str, report: "Report | None") -> Exported | str:
    """The text with what is lost, or a reason why there is none."""
    from circuitlang.interchange import eap_ig_json, edge_list_text, graph_json, graphml
    from circuitlang.models import size_at_hand
    from circuitlang.report.belonging import verdicts_of

    circuit = session.circuit
    if kind == "json":
        return graph_json(circuit, report), ()
    if kind == "graphml":
        return graphml(circuit, report), ()
    judged = enumerate(verdicts_of(circuit, report))
    effects = {number: j.estimate.value for number, j in judged if j and j.estimate}
    if kind == "edges":
        return edge_list_text(circuit, effects)
    model = circuit.model
    size = size_at_hand(model.kind, model.name, model.revision)
    if size is None:
        return f"the size of `{model}` is not known here, and an EAP-IG graph needs it"
    return eap_ig_json(circuit, size.shape, size.d_model, effects)
