"""EAP-IG's graph JSON, which is also a submission to the circuit track of the MIB benchmark.

What `Graph.to_json` writes and `Graph.from_json` reads (github.com/hannamw/EAP-IG,
`src/eap/graph.py`): an object with

- ``cfg``: n_layers, n_heads, parallel_attn_mlp, d_model;
- ``nodes``: `a0.h1` to `{"in_graph": true}`, in older versions to `true`; with scores of
  nodes and of neurons where these were computed;
- ``edges``: `a0.h1->a5.h5<q>` to `{"score": -0.02, "in_graph": true}`.
"""

import json
from collections.abc import Mapping
from typing import Any

from circuitlang.circuit import Circuit
from circuitlang.interchange.claimed import ClaimedEdge, claimed_edges, scores_of
from circuitlang.interchange.edge_list import found_edge
from circuitlang.interchange.found import ForeignFileError, FoundCircuit, score_of
from circuitlang.interchange.names import eap_ig_receiver, eap_ig_sender
from circuitlang.models import ModelShape


def is_eap_ig(data: object) -> bool:
    """Whether JSON data has the shape of such a graph."""
    edges = data.get("edges") if isinstance(data, Mapping) else None
    return isinstance(edges, Mapping) and any(isinstance(e, Mapping) for e in edges.values())


def read_eap_ig(data: object) -> FoundCircuit:
    """The circuit of a graph.

    Raises:
        ForeignFileError: the data are not of this format.
    """
    if not isinstance(data, Mapping) or not isinstance(data.get("edges"), Mapping):
        raise ForeignFileError("an EAP-IG graph is a JSON object with `edges`, itself an object")
    edges = []
    for name, info in data["edges"].items():
        if not isinstance(info, Mapping):
            raise ForeignFileError(f"edge `{_short(name)}`: expected an object with `score`")
        in_graph = info.get("in_graph", False)
        if not isinstance(in_graph, bool):
            raise ForeignFileError(f"edge `{_short(name)}`: `in_graph` must be true or false")
        try:
            score = score_of(info.get("score"))
        except ValueError as error:
            raise ForeignFileError(f"edge `{_short(name)}`: {error}") from error
        edges.append(found_edge(name, score, in_graph=in_graph))
    cfg = data.get("cfg")
    cfg = cfg if isinstance(cfg, Mapping) else {}
    model = cfg.get("model_name")
    return FoundCircuit(
        "an EAP-IG graph",
        tuple(edges),
        model if isinstance(model, str) else None,
        _count(cfg, "n_layers"),
        _count(cfg, "n_heads"),
        cfg.get("parallel_attn_mlp") is True,
        _notes(data.get("nodes")),
    )


def _short(name: object) -> str:
    return str(name)[:60]


def _count(cfg: Mapping[str, Any], name: str) -> int | None:
    value = cfg.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _notes(nodes: object) -> tuple[str, ...]:
    infos = (
        [i for i in nodes.values() if isinstance(i, Mapping)] if isinstance(nodes, Mapping) else []
    )
    scores = sum("score" in info for info in infos)
    neurons = sum("neurons" in info for info in infos)
    return (
        *([f"scores of nodes ({scores})"] if scores else []),
        *([f"which neurons of nodes are in the graph ({neurons})"] if neurons else []),
    )


def eap_ig_json(
    circuit: Circuit, shape: ModelShape, d_model: int, effects: Mapping[int, float]
) -> tuple[str, tuple[str, ...]]:
    """A circuit as such a graph, and in words what the format cannot hold.

    Every node of the model stands in it, and those edges that the circuit claims to be there, each
    pair of a group by itself. ``effects`` are by number of the claim. An edge's own is its score;
    it has 0 where there is none, because EAP-IG reads no graph without scores.
    """
    edges, lost = claimed_edges(circuit)
    scores, unsaid = scores_of(edges, effects)
    inside = {eap_ig_sender(edge.sender) for edge in edges}
    inside |= {eap_ig_sender(edge.receiver.rsplit(".", 1)[0]) for edge in edges if _is_head(edge)}
    inside |= {eap_ig_receiver(edge.receiver) for edge in edges if not _is_head(edge)}
    layers = range(shape.layers)
    heads = [f"a{layer}.h{head}" for layer in layers for head in range(shape.heads)]
    mlps = [f"m{layer}" for layer in layers]
    nodes = {name: {"in_graph": name in inside} for name in ("input", *heads, *mlps)}
    nodes["logits"] = {"in_graph": True}
    data = {
        "cfg": {
            "n_layers": shape.layers,
            "n_heads": shape.heads,
            "parallel_attn_mlp": shape.parallel,
            "d_model": d_model,
        },
        "nodes": nodes,
        "edges": {
            f"{eap_ig_sender(edge.sender)}->{eap_ig_receiver(edge.receiver)}": {
                "score": scores.get(edge, 0.0),
                "in_graph": True,
            }
            for edge in edges
        },
    }
    return json.dumps(data, indent=1) + "\n", (*lost, *unsaid)


def _is_head(edge: ClaimedEdge) -> bool:
    return edge.receiver.endswith((".Q", ".K", ".V"))
