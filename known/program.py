"""What a known model computes, said in messages between its parts and without any weights.

A part is a head or an MLP that matters, or the logits. What it writes at a position is its message
there: a small vector, zero where it says nothing. Interventions replace messages, so every exact
value of a known model follows from a few lines of plain numpy. Nothing here is shared with the
engines, and nothing here knows the transformer that is held against it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from known.edge import KnownEdge

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Messages = Mapping[str, Array]
"""By position: ``[prompt, width]``."""
Run = Mapping[str, Messages]
"""By part."""
LOGITS = "logits"


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """Prompts of one world: the word at each named position, as an index of its list, ``[prompt]``.

    ``answer`` and ``distractor`` are the clean prompt's in both worlds.
    """

    words: Mapping[str, Indices]
    answer: Indices
    distractor: Indices

    @property
    def prompts(self) -> int:
        """How many."""
        return len(self.answer)


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """The clean and the corrupt world of the same prompts."""

    clean: World
    corrupt: World


Intercept = Callable[[str, str, str, str], Array | None]
"""Receiver, slot, sender, position -> the message to read instead, or None."""


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """What one part sees: the words, and the messages of earlier parts."""

    part: str
    world: World
    written: Run
    intercept: Intercept

    def word(self, position: str) -> Indices:
        """The embedding's message: no edge of the language begins there, so it is never patched."""
        return self.world.words[position]

    def read(self, sender: str, position: str, slot: str = "") -> Array:
        """A message, as it enters the slot."""
        patched = self.intercept(self.part, slot, sender, position)
        return self.written[sender][position] if patched is None else patched


@dataclass(frozen=True, slots=True)
class Part:
    """A component, as written in a `.circuit` file, and its messages."""

    name: str
    writes: Callable[[Inputs], Messages]

    @property
    def is_mlp(self) -> bool:
        """Whether it recomputes on a path through MLPs."""
        return self.name.endswith("MLP")


@dataclass(frozen=True, slots=True)
class Program:
    """Parts in the order in which they compute; ``metric`` reads what arrives at the logits.

    A component that is no part sends nothing that a part reads: its edges are absent, each with an
    effect of exactly zero.
    """

    parts: tuple[Part, ...]
    metric: Callable[[Inputs], Array] = field(repr=False)

    def run(
        self,
        world: World,
        intercept: Intercept | None = None,
        replaced: Run | None = None,
    ) -> tuple[Array, Run]:
        """The metric ``[prompt]`` and every message, some of them replaced at some positions."""
        written: dict[str, Messages] = {}
        reading = intercept or _as_written
        for part in self.parts:
            own = part.writes(Inputs(part.name, world, written, reading))
            given = (replaced or {}).get(part.name, {})
            written[part.name] = {at: given.get(at, message) for at, message in own.items()}
        return self.metric(Inputs(LOGITS, world, written, reading)), written

    def patched(self, edge: KnownEdge, base: World, source: World) -> Array:
        """The metric of the base world with the edge carrying the source world, ``[prompt]``."""
        _, before = self.run(base)
        _, sent = self.run(source)
        carried = self._through_mlps(edge, base, before, sent) if edge.through_mlps else sent

        def intercept(receiver: str, slot: str, sender: str, position: str) -> Array | None:
            entered = f"{receiver}.{slot}" if slot else receiver
            if entered not in edge.receivers or not _lies(position, edge.positions):
                return None
            if edge.through_mlps or sender in edge.senders:
                return carried[sender][position]
            return None

        return self.run(base, intercept)[0]

    def _through_mlps(self, edge: KnownEdge, base: World, before: Run, sent: Run) -> Run:
        """Messages of the pass in which the senders come from the source world, other heads are
        frozen and MLPs recompute (Wang et al. 2022, section 3.1)."""
        frozen = {
            part.name: before[part.name]
            for part in self.parts
            if not part.is_mlp and part.name not in edge.senders
        }
        rewritten = {
            part.name: {
                at: (sent if _lies(at, edge.positions) else before)[part.name][at]
                for at in before[part.name]
                # A sending MLP recomputes where it is not rewritten.
                if not part.is_mlp or _lies(at, edge.positions)
            }
            for part in self.parts
            if part.name in edge.senders
        }
        return self.run(base, replaced=frozen | rewritten)[1]

    def ablated(
        self, pairs: Pairs, components: Mapping[str, Sequence[str]], reference: str
    ) -> Array:
        """The clean metric with components ablated at positions (none: every one), ``[prompt]``.

        ``reference`` is `zero`, `resample` or `mean` (over the corrupt prompts, at each position).
        """
        _, corrupt = self.run(pairs.corrupt)
        replaced: dict[str, Messages] = {}
        for name, positions in components.items():
            messages = corrupt.get(name, {})
            replaced[name] = {
                at: _stand_in(message, reference)
                for at, message in messages.items()
                if _lies(at, positions)
            }
        return self.run(pairs.clean, replaced=replaced)[0]

    def alone(self, pairs: Pairs, kept: Mapping[str, Sequence[str]], reference: str) -> Array:
        """The clean metric with every head ablated but the kept ones at their positions.

        MLPs stay, unless one of them is kept: then the others are ablated, too.
        """
        keep_mlps = not any(name.endswith("MLP") for name in kept)
        _, corrupt = self.run(pairs.corrupt)
        replaced: dict[str, Messages] = {}
        for part in self.parts:
            if part.is_mlp and keep_mlps:
                continue
            replaced[part.name] = {
                at: _stand_in(message, reference)
                for at, message in corrupt[part.name].items()
                if part.name not in kept or not _lies(at, kept[part.name])
            }
        return self.run(pairs.clean, replaced=replaced)[0]


def one_hot(words: Indices, width: int) -> Array:
    """``[prompt, width]``."""
    return np.eye(width)[words]


def grid(*sizes: int) -> tuple[Indices, ...]:
    """Every combination of indices below the sizes, one array each."""
    return tuple(axis.ravel() for axis in np.meshgrid(*map(np.arange, sizes), indexing="ij"))


def total(messages: Iterable[Array]) -> Array:
    """Their sum; there is at least one."""
    return np.sum(list(messages), axis=0)


def logit_difference(inputs: Inputs, logits: Array) -> Array:
    """The answer's logit minus the distractor's, from ``[prompt, word]`` to ``[prompt]``."""
    rows, world = np.arange(inputs.world.prompts), inputs.world
    return np.asarray(logits[rows, world.answer] - logits[rows, world.distractor])


def attention(*scores: Any) -> tuple[Array, ...]:  # noqa: ANN401 - arrays and floats
    """Softmax over the positions that can win; the others' scores lie so far below that their
    weights are zero in floating point."""
    stacked = np.stack(np.broadcast_arrays(*scores)).astype(np.float64)
    weights = np.exp(stacked - stacked.max(0))
    return tuple(weights / weights.sum(0))


def _as_written(receiver: str, slot: str, sender: str, position: str) -> None:
    return None


def _lies(position: str, positions: Sequence[str]) -> bool:
    return not positions or position in positions


def _stand_in(message: Array, reference: str) -> Array:
    if reference == "zero":
        return np.zeros_like(message)
    if reference == "mean":
        return np.broadcast_to(message.mean(0), message.shape)
    if reference == "resample":
        return message
    raise ValueError(f"no ablation is called {reference}")
