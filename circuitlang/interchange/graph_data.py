"""A circuit's graph as data: node-link JSON and GraphML, with its verdicts where there are any.

Bound, verdict and effect stand with an edge only where the claim is about this edge alone. Those of
a group and of a whole path stand with the claim, which lists its edges.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from circuitlang.circuit import Circuit, Claim, EdgeClaim, PathClaim, to_graph
from circuitlang.report import ClaimReport, Report
from circuitlang.report.belonging import verdicts_of
from circuitlang.report.plain import plain

if TYPE_CHECKING:
    import networkx

FORMAT = "circuitlang graph 2"


def graph_json(circuit: Circuit, report: Report | None = None) -> str:
    """Node-link JSON, which networkx reads with ``node_link_graph(data, edges="edges")``.

    ``graph`` holds what is said of the whole circuit, and all claims. Fields: docs/interchange.md.

    Raises:
        ValueError: the report was made from another circuit.
    """
    import networkx

    graph = _judged_graph(circuit, verdicts_of(circuit, report))
    data: dict[str, Any] = networkx.node_link_data(graph, edges="edges")
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def graphml(circuit: Circuit, report: Report | None = None) -> str:
    """GraphML, which networkx, Gephi, yEd and igraph read.

    Attributes have types. Lists are joined by commas and what is None is left out, because GraphML
    has neither; the claims are a text of JSON.

    Raises:
        ValueError: the report was made from another circuit.
    """
    import networkx

    graph = _judged_graph(circuit, verdicts_of(circuit, report))
    graph.graph["claims"] = json.dumps(graph.graph["claims"])
    flat: networkx.MultiDiGraph[str] = networkx.MultiDiGraph(**_flat(graph.graph))
    for name, attributes in graph.nodes(data=True):
        flat.add_node(name, **_flat(attributes))
    for sender, receiver, key, attributes in graph.edges(keys=True, data=True):
        flat.add_edge(sender, receiver, key=key, **_flat(attributes))
    return "\n".join(networkx.generate_graphml(flat)) + "\n"


def _judged_graph(
    circuit: Circuit, verdicts: tuple[ClaimReport | None, ...]
) -> "networkx.MultiDiGraph[str]":
    """The circuit's graph; what is said of a group or a path is said of none of its edges."""
    graph = to_graph(circuit)
    members: dict[int, list[list[str | int]]] = {}
    for sender, receiver, key, attributes in graph.edges(keys=True, data=True):
        number = attributes["claim"]
        members.setdefault(number, []).append([sender, receiver, key])
        if attributes["alone"]:
            attributes["bound"] = str(circuit.edges[number].bound)
            attributes |= _judgement(verdicts[number])
    claims = [
        {"text": claim.text, "bound": str(claim.bound), "edges": members.get(number, [])}
        | {"kind": _kind(claim, members.get(number, []))}
        | _judgement(judged)
        for number, (claim, judged) in enumerate(zip(circuit.all_claims, verdicts, strict=True))
    ]
    graph.graph |= {"format": FORMAT, "metric": str(circuit.metric), "claims": claims}
    return graph


def _kind(claim: Claim, edges: list[list[str | int]]) -> str:
    if isinstance(claim, PathClaim):
        return "path"
    if isinstance(claim, EdgeClaim):
        return "edge" if len(edges) == 1 else "group"
    return "other"


def _judgement(judged: ClaimReport | None) -> dict[str, Any]:
    """Verdict, effect and interval of a claim, as far as there are any."""
    if judged is None:
        return {}
    found: dict[str, Any] = {"verdict": judged.verdict.value}
    if judged.estimate is not None:
        estimate = judged.estimate
        low, high = estimate.interval.low, estimate.interval.high
        found |= {"effect": estimate.value, "unit": estimate.unit, "low": low, "high": high}
    return found


def _flat(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Values that GraphML can type; texts without what XML cannot hold."""
    flat: dict[str, Any] = {}
    for name, value in attributes.items():
        if isinstance(value, list | tuple):
            value = ", ".join(map(str, value))
        if value is not None:
            flat[name] = plain(value) if isinstance(value, str) else value
    return flat
