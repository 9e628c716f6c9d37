"""The hypothesis as a networkx graph."""

from typing import TYPE_CHECKING

from circuitlang.circuit.circuit import Circuit
from circuitlang.circuit.claim import EdgeClaim, PathClaim, edges_of
from circuitlang.circuit.component import Component, Embed, Logits, Receiver, can_feed

if TYPE_CHECKING:
    import networkx


def to_graph(circuit: Circuit) -> "networkx.MultiDiGraph[str]":
    """A multigraph of components: one edge a sender, receiver and slot, from every edge claim.

    Nodes are `L9.H6`, `L0.MLP`, `L0.MLP[7]`, `embed` or `logits`, with attributes ``kind`` (head,
    mlp, neuron, embed, logits), ``layer`` (None for the last two), ``roles`` and ``positions``.
    Edges carry ``slot`` (Q, K, V or None), ``kind`` (direct, through_mlps, path_hop,
    path_hop_through_mlps), ``direction`` (noising, denoising), ``absent``, ``positions``, ``claim``
    (index into ``all_claims``) and ``text``. A path gives edges for every hop, all of one claim,
    numbered by ``hop`` from 1; others have None there. ``alone`` is true where the claim is about
    this edge and no other: what is said of a group or of a path is said of none of its edges. Pairs
    of a group edge that run backwards are left out.
    """
    import networkx

    graph: networkx.MultiDiGraph[str] = networkx.MultiDiGraph(
        name=circuit.name, title=circuit.title, model=str(circuit.model)
    )
    for role in circuit.roles:
        for component in role.components:
            _add(graph, component)
            graph.nodes[str(component)]["roles"] += (role.name,)
            graph.nodes[str(component)]["positions"] += tuple(map(str, role.positions))
    parallel = bool(circuit.shape and circuit.shape.parallel)
    for index, claim in enumerate(circuit.edges):
        for number, edge in enumerate(edges_of(claim), 1):
            path = isinstance(claim, PathClaim)
            pairs = pairs_of(edge, parallel=parallel)
            for sender, receiver in pairs:
                _add(graph, sender)
                _add(graph, receiver.component)
                graph.add_edge(
                    str(sender),
                    str(receiver.component),
                    slot=str(receiver.slot) if receiver.slot else None,
                    kind=_kind(edge, path=path),
                    direction=edge.direction.value,
                    absent=edge.absent,
                    positions=tuple(map(str, edge.positions)),
                    claim=index,
                    hop=number if path else None,
                    alone=len(pairs) == 1 and not path,
                    text=edge.text,
                )
    return graph


def pairs_of(edge: EdgeClaim, *, parallel: bool) -> tuple[tuple[Component, Receiver], ...]:
    """The pairs of a group edge that run forwards; ``parallel`` as in :func:`can_feed`."""
    pairs = ((sender, receiver) for sender in edge.senders for receiver in edge.receivers)
    return tuple(pair for pair in pairs if can_feed(*pair, parallel=parallel))


def _kind(edge: EdgeClaim, *, path: bool) -> str:
    if path:
        return "path_hop_through_mlps" if edge.through_mlps else "path_hop"
    return "through_mlps" if edge.through_mlps else "direct"


def _add(graph: "networkx.MultiDiGraph[str]", component: object) -> None:
    name = str(component)
    if name in graph:
        return
    kind = "logits" if isinstance(component, Logits) else type(component).__name__.lower()
    layer = None if isinstance(component, Embed) else getattr(component, "layer", None)
    graph.add_node(name, kind=kind, layer=layer, roles=(), positions=())
