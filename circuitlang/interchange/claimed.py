"""The edges that a circuit claims to be there, pair by pair, for formats that know only those."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from circuitlang.circuit import Circuit, EdgeClaim, pairs_of

_WHOLE = re.compile(r"embed|L\d+\.(?:H\d+|MLP)|logits")
"""Components that every finder knows: no parts of one, such as single neurons."""


@dataclass(frozen=True, slots=True)
class ClaimedEdge:
    """`L0.H1` to `L5.H5.Q`, from the claim of this number.

    ``alone``: that claim is about this direct edge and nothing else, so its effect is the edge's.
    That of a group, or of all ways through the MLPs, is no edge's own.
    """

    sender: str
    receiver: str
    claim: int
    alone: bool


def claimed_edges(circuit: Circuit) -> tuple[tuple[ClaimedEdge, ...], tuple[str, ...]]:
    """The pairs of all edges but absent ones, each once, and in words what is lost with that.

    Of several claims that hold a pair the first stands for it, or the first that is about it alone.
    """
    found: dict[tuple[str, str], ClaimedEdge] = {}
    parallel = bool(circuit.shape and circuit.shape.parallel)
    parts = 0
    for number, edge in enumerate(circuit.edges):
        if not isinstance(edge, EdgeClaim) or edge.absent:
            continue
        pairs = pairs_of(edge, parallel=parallel)
        alone = len(pairs) == 1 and not edge.through_mlps
        for sender, receiver in pairs:
            if not all(_WHOLE.fullmatch(str(end)) for end in (sender, receiver.component)):
                parts += 1
                continue
            pair = str(sender), str(receiver)
            if pair not in found or (alone and not found[pair].alone):
                found[pair] = ClaimedEdge(*pair, number, alone)
    return tuple(found.values()), _lost(circuit, parts)


def scores_of(
    edges: tuple[ClaimedEdge, ...], effects: Mapping[int, float]
) -> tuple[dict[ClaimedEdge, float], tuple[str, ...]]:
    """The effects that are an edge's own, and in words how many are not.

    ``effects`` are by number of the claim.
    """
    scores = {e: effects[e.claim] for e in edges if e.alone and e.claim in effects}
    others = len({e.claim for e in edges if not e.alone and e.claim in effects})
    if not others:
        return scores, ()
    count = "1 effect" if others == 1 else f"{others} effects"
    reason = "not of one direct edge alone: the edges of these claims have no score"
    return scores, (f"{count} left out, {reason}",)


def _lost(circuit: Circuit, parts: int) -> tuple[str, ...]:
    edges = [edge for edge in circuit.edges if isinstance(edge, EdgeClaim)]
    present = [edge for edge in edges if not edge.absent]
    counts = (
        (len(circuit.edges) - len(edges), "whole {paths} left out"),
        (len(edges) - len(present), "absent {edges} left out"),
        (parts, "{pairs} with a single neuron left out"),
        (sum(e.through_mlps for e in present), "{edges} through MLPs written as direct"),
        (
            sum(len(e.senders) * len(e.receivers) > 1 for e in present),
            "{edges} between groups written pair by pair",
        ),
        (sum(bool(e.positions) for e in present), "{edges} without the positions"),
    )
    nouns = ("path", "edge", "pair")
    found = [
        f"{count} " + words.format(**{f"{n}s": n if count == 1 else f"{n}s" for n in nouns})
        for count, words in counts
        if count
    ]
    return (*found, *_other_claims(circuit))


def _other_claims(circuit: Circuit) -> tuple[str, ...]:
    """In words how many claims are no edges, nothing where there is none."""
    count = len(circuit.claims)
    words = "1 claim that is no edge" if count == 1 else f"{count} claims that are no edges"
    return (f"{words} left out",) if count else ()
