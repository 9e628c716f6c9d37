"""Transformers whose circuit is known by construction, for verdicts to be held against."""

from known.edge import KnownEdge, edge
from known.gates import Gate, gate
from known.induction import induction
from known.ioi import ioi
from known.mlp_path import mlp_path
from known.model import KnownModel
from known.program import Pairs, Program, World
from known.variation import Variation

__all__ = [
    "Gate",
    "KnownEdge",
    "KnownModel",
    "Pairs",
    "Program",
    "Variation",
    "World",
    "edge",
    "gate",
    "induction",
    "ioi",
    "mlp_path",
]
