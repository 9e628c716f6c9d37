"""True edges the wrong way round: they must not even be run."""

from circuitlang.circuit import resolve
from circuitlang.source import Severity, SourceText
from circuitlang.syntax import parse
from known import KnownEdge, KnownModel

BACKWARDS = "CL210"


def reversed_edges(model: KnownModel) -> tuple[KnownEdge, ...]:
    """Every true edge between heads or MLPs with its ends exchanged, into every slot."""
    found = []
    for edge in model.true_edges:
        sender, receiver = edge.senders[0], edge.receivers[0]
        if receiver == "logits":
            continue
        component = ".".join(receiver.split(".")[:2])
        for slot in (".Q", ".K", ".V") if ".H" in sender else ("",):
            found.append(KnownEdge((component,), (sender + slot,), (), edge.through_mlps))
    return tuple(dict.fromkeys(found))


def refused(model: KnownModel, edge: KnownEdge) -> bool:
    """Whether the checker refuses an edge because it runs backwards."""
    text = model.circuit_text('"gpt2"', [(edge, ">= 1%")], 100)
    source = SourceText("reversed.circuit", text)
    document, _ = parse(source)
    circuit, problems = resolve(document, source)
    errors = [found for found in problems if found.severity is Severity.ERROR]
    return circuit is None and any(found.code == BACKWARDS for found in errors)
