"""Transformers whose circuit is known by construction, for verdicts to be held against.

A known model is wired by hand into GPT-2 weights (`wiring.py`) and said a second time as a program
over messages (`program.py`), from which every exact number follows without weights::

    model = induction(Variation.SKEWED)
    folder = model.build(Path("folder"))              # for `model "folder" dtype float64`
    bounds = [(e, ">= 20%") for e in model.true_edges]
    bounds += [(e, "within 2%") for e in model.wrong_edges]
    text = model.circuit_text(f'"{folder}" dtype float64', bounds, sample=100, seed=1)
    model.population_effect(model.true_edges[0])      # what an estimate should find
    pairs = model.read(prompts)                       # (clean, corrupt) texts
    model.metrics(pairs), model.patched(edge, pairs)  # one value a prompt
"""

from collections.abc import Callable, Mapping
from functools import partial

from known.edge import KnownEdge, edge
from known.gates import Gate, gate
from known.induction import induction
from known.ioi import ioi
from known.mlp_path import mlp_path
from known.model import KnownModel
from known.program import Pairs, Program, World
from known.variation import Variation

__all__ = [
    "MODELS",
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

MODELS: Mapping[str, Callable[[Variation], KnownModel]] = {
    "induction": induction,
    "ioi_compiled": ioi,
    "or_gate": partial(gate, Gate.OR),
    "and_gate": partial(gate, Gate.AND),
    "mlp_path": mlp_path,
}
"""The models by name; each takes a flavour."""
