"""Lists of edges as auto-circuit and ACDC name them: text with one edge a line, or JSON.

Neither tool has a file format of its own for a finished circuit, so what people save is read: names
of edges (`Edge.name` of auto-circuit is `A0.1->A5.5.Q`), with or without a score.
"""

import re
from collections.abc import Iterator, Mapping

from circuitlang.circuit import Circuit
from circuitlang.interchange.claimed import claimed_edges, scores_of
from circuitlang.interchange.found import ForeignFileError, FoundCircuit, FoundEdge, score_of
from circuitlang.interchange.names import (
    auto_circuit_receiver,
    auto_circuit_sender,
    ends_of,
    layers_if_last,
)
from circuitlang.report.plain import plain

_SCORED = re.compile(r"(.*?)[\s,:;=]+([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")


def found_edge(name: str, score: float | None, *, in_graph: bool = True) -> FoundEdge:
    """An edge from its name in any of the tools' ways.

    Raises:
        ForeignFileError: the name is none of theirs.
    """
    sender, arrow, receiver = (part.strip() for part in name.partition("->"))
    ends = ends_of(sender, receiver) if arrow else None
    if ends is None:
        raise ForeignFileError(f"`{name[:60]}` is no edge that is known here")
    return FoundEdge(name, ends[0], ends[1], score, in_graph, ends[2])


def read_edge_text(text: str) -> FoundCircuit:
    """Edges from text: one a line, a score after it or not, `#` begins a comment.

    Raises:
        ForeignFileError: a line holds no edge; the message says which.
    """
    edges = []
    for number, line in enumerate(text.splitlines(), 1):
        content = line.partition("#")[0].strip()
        if not content:
            continue
        try:
            edges.append(_line(content))
        except ForeignFileError as error:
            raise ForeignFileError(f"line {number}: {error}") from error
    return _circuit(edges)


def _line(content: str) -> FoundEdge:
    try:
        return found_edge(content, None)  # first whole: the number of `MLP 2` is no score
    except ForeignFileError:
        scored = _SCORED.fullmatch(content)
        if scored is None:
            raise
        return found_edge(scored.group(1), score_of(float(scored.group(2))))


def read_edge_json(data: object) -> FoundCircuit:
    """Edges from JSON: a list of names or of [name, score], or an object from names to scores.

    Either may stand under the key `edges`. In place of a score may stand token positions, a list of
    whole numbers; these are not read, and a note says so.

    Raises:
        ForeignFileError: the data are none of these.
    """
    if isinstance(data, Mapping) and "edges" in data:
        data = data["edges"]
    edges, placed = [], 0
    for name, value in _pairs(data):
        if isinstance(value, list):
            placed, value = placed + 1, None
        try:
            score = score_of(value)
        except ValueError as error:
            raise ForeignFileError(f"edge `{name[:60]}`: {error}") from error
        edges.append(found_edge(name, score))
    notes = (f"token positions of edges ({placed})",) if placed else ()
    return _circuit(edges, notes)


def _pairs(data: object) -> Iterator[tuple[str, object]]:
    if isinstance(data, Mapping):
        yield from ((str(name), value) for name, value in data.items())
        return
    if not isinstance(data, list):
        raise ForeignFileError("expected a list of edges, or an object from edges to scores")
    for item in data:
        pair = item if isinstance(item, list) and len(item) == 2 else [item, None]
        if not isinstance(pair[0], str):
            raise ForeignFileError("an edge is a text such as `A0.1->A5.5.Q`, or [text, score]")
        yield pair[0], pair[1]


def _circuit(edges: list[FoundEdge], notes: tuple[str, ...] = ()) -> FoundCircuit:
    """The last residual stream, where ACDC's graphs end, says how many layers the model has."""
    ends = (edge.name.partition("->")[2].strip() for edge in edges)
    layers = {count for end in ends if (count := layers_if_last(end)) is not None}
    if len(layers) > 1:
        raise ForeignFileError("edges end in the residual stream of more than one layer")
    return FoundCircuit("a list", tuple(edges), layers=next(iter(layers), None), notes=notes)


def edge_list_text(circuit: Circuit, effects: Mapping[int, float]) -> tuple[str, tuple[str, ...]]:
    """A circuit as a list of edges in auto-circuit's names, and what the list cannot hold.

    ``effects`` are by number of the claim. After an edge stands the one that is its own; those of
    groups and through MLPs stand in comments above.
    """
    edges, lost = claimed_edges(circuit)
    scores, unsaid = scores_of(edges, effects)
    wholes = sorted({edge.claim for edge in edges if not edge.alone and edge.claim in effects})
    lines = [
        f"# the effect of `{plain(circuit.edges[number].text)}` as a whole: {effects[number]:.6g}"
        for number in wholes
    ]
    lines += [
        f"{auto_circuit_sender(edge.sender)}->{auto_circuit_receiver(edge.receiver)}"
        + (f" {scores[edge]:.6g}" if edge in scores else "")
        for edge in edges
    ]
    return "".join(f"{line}\n" for line in lines), (*lost, *unsaid)
