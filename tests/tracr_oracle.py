"""What patching an edge of a compiled program does, twice, and neither time by our engine.

:class:`Numbers` runs Tracr's own weights, in Tracr's own basis, with one reader's input changed.
:class:`PatchedProgram` evaluates the RASP program itself, with one expression that reads another's
values of the corrupt prompt: the exact meaning, free of weights. The two differ by what Tracr's
softmax leaves on other tokens.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tracr.rasp import causal_eval, rasp

from tests.tracr_models import LOGITS, Compiled, Edge

Words = Sequence[str]
Readout = Mapping[str, Mapping[Any, float]]


class Numbers:
    """A compiled model in numpy: no norms, no biases, ReLU, causal softmax."""

    def __init__(self, model: Compiled) -> None:
        self.model = model
        self.token_embed = model.parameters("token_embed")
        self.pos_embed = model.parameters("pos_embed")
        layers, self.heads = model.shape
        self.layers = [self._layer(layer) for layer in range(layers)]

    def _layer(self, layer: int) -> dict[str, list[np.ndarray]]:
        """A layer's matrices: one of each kind for every head, and the MLP's two."""

        def by_head(name: str, axis: int) -> list[np.ndarray]:
            return np.split(self.model.parameters(f"layer_{layer}/attn/{name}"), self.heads, axis)

        return {
            "Q": by_head("query", 1),
            "K": by_head("key", 1),
            "V": by_head("value", 1),
            "O": by_head("linear", 0),
            "MLP": [self.model.parameters(f"layer_{layer}/mlp/linear_{i}") for i in (1, 2)],
        }

    def run(
        self, tokens: np.ndarray, edge: Edge | None = None, change: np.ndarray | float = 0.0
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Final residual stream and every component's write, ``[prompt, pos, direction]``.

        ``change`` is added to what the edge's receiver reads in its slot, there alone.
        """
        receiver = edge[1] if edge else ""
        stream = self.token_embed[tokens] + self.pos_embed[: tokens.shape[1]]
        future = np.triu(np.ones((tokens.shape[1],) * 2, dtype=bool), 1)
        writes = {}
        for number, layer in enumerate(self.layers):
            written = 0.0
            for head in range(self.heads):
                name = f"L{number}.H{head}"
                q, k, v = (
                    (stream + change if receiver == f"{name}.{slot}" else stream)
                    @ layer[slot][head]
                    for slot in "QKV"
                )
                scores = q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1])
                scores[:, future] = -np.inf
                weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
                weights /= weights.sum(axis=-1, keepdims=True)
                writes[name] = weights @ v @ layer["O"][head]
                written = written + writes[name]
            stream = stream + written
            name, (into, out) = f"L{number}.MLP", layer["MLP"]
            read = stream + change if receiver == name else stream
            writes[name] = np.maximum(read @ into, 0) @ out
            stream = stream + writes[name]
        return (stream + change if receiver == LOGITS else stream), writes

    def logits(self, stream: np.ndarray, word: str, readout: Readout) -> np.ndarray:
        """A word's logit at END, ``[prompt]``."""
        columns = {direction.value: i for i, direction in self._outputs()}
        weights = readout.get(word, {}).items()
        return sum((w * stream[:, -1, columns[v]] for v, w in weights), np.zeros(len(stream)))

    def _outputs(self) -> list[tuple[int, Any]]:
        return [(i, d) for i, d in enumerate(self.model.space) if d in self.model.output]


class PatchedProgram(causal_eval.CausalEvaluator):
    """A RASP program on a clean prompt; some readers see what a sender says of a corrupt one."""

    def __init__(self, model: Compiled, edges: set[Edge], corrupt: Words) -> None:
        super().__init__()
        self.model, self.edges, self.corrupt = model, edges, corrupt
        self.head = ""

    def output(self, clean: Words) -> Any:
        """The program's value at END; prompts are without BOS."""
        return self._read(self.model.sink, LOGITS, clean)[-1]

    def _read(self, expression: rasp.SOp, receiver: str, xs: Words) -> Any:
        sender = self.model.owners.get(expression.label)
        if (sender, receiver) in self.edges:
            return causal_eval.evaluate(expression, self.corrupt)
        return self.evaluate(expression, xs)

    def _selected(self, selector: rasp.Selector, head: str, xs: Words) -> Any:
        outer, self.head = self.head, head
        rows = self.evaluate(selector, xs)
        self.head = outer
        return rows

    def eval_select(self, sel: rasp.Select, xs: Words) -> Any:
        keys = self._read(sel.keys, f"{self.head}.K", xs)
        queries = self._read(sel.queries, f"{self.head}.Q", xs)
        return [[bool(sel.predicate(key, query)) for key in keys] for query in queries]

    def eval_aggregate(self, sop: rasp.Aggregate, xs: Words) -> Any:
        head = self.model.owners[sop.label]
        rows = self._selected(sop.selector, head, xs)
        values = self._read(sop.sop, f"{head}.V", xs)
        chosen = [[v for v, taken in zip(values, row, strict=True) if taken] for row in rows]
        return [
            sop.default if not found else found[0] if len(found) == 1 else sum(found) / len(found)
            for found in chosen
        ]

    def eval_selector_width(self, sop: rasp.SelectorWidth, xs: Words) -> Any:
        """A head counts and an MLP turns that into a number: two components, an edge between."""
        head, mlp = self.model.owners[f"{sop.label} head"], self.model.owners[sop.label]
        if (head, mlp) in self.edges:
            return causal_eval.evaluate(sop, self.corrupt)
        return [sum(row) for row in self._selected(sop.selector, head, xs)]

    def eval_map(self, sop: rasp.Map, xs: Words) -> Any:
        inner = self._read(sop.inner, self.model.owners[sop.label], xs)
        return [None if value is None else sop.f(value) for value in inner]

    def eval_sequence_map(self, sop: rasp.SequenceMap, xs: Words) -> Any:
        owner = self.model.owners[sop.label]
        both = (self._read(child, owner, xs) for child in (sop.fst, sop.snd))
        return [None if None in pair else sop.f(*pair) for pair in zip(*both, strict=True)]


def logit_of(value: Any, word: str, readout: Readout) -> float:
    """A word's logit for a program's value: a category's weight, or a number times its weight."""
    weights = readout.get(word, {})
    if None in weights:
        return weights[None] * value
    return weights.get(value, 0.0)
