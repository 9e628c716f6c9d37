"""Transformers whose circuit is known by construction, for verdicts to be held against."""

from known.edge import KnownEdge, edge
from known.induction import induction
from known.model import KnownModel
from known.program import Pairs, Program, World
from known.variation import Variation

__all__ = [
    "MODELS",
    "KnownEdge",
    "KnownModel",
    "Pairs",
    "Program",
    "Variation",
    "World",
    "edge",
    "induction",
]

MODELS = {"induction": induction}
"""The models by name; each takes a flavour."""
