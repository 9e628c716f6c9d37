"""The methods that are compared, behind one face."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from benchmarks.literal import LiteralPatching, heads_of
from benchmarks.one_forward import OneForward, OneForwardSweep
from circuitlang.circuit import AT_END, Direction
from circuitlang.engine.batch import Batch
from circuitlang.engine.reference import ReferenceEngine, Worlds
from circuitlang.engine.transformer import Transformer
from circuitlang.plan import Intervention, PatchActivation, PatchEdge

REFERENCE = "reference engine"
FAST = "fast engine"
NOT_THERE = "not there yet"


class Method(Protocol):
    """One way to run experiments on one batch.

    ``prepare`` does what all experiments share, and is timed as it is; ``values`` runs some of
    them, and its time is scaled to all. ``measured`` tells how many experiments the last call of
    ``values`` really made, where a library function makes more than it was asked for; ``forwards``
    counts whole forward passes so far, None for a method that does not make whole ones.
    """

    name: str
    measured: int

    @property
    def forwards(self) -> int | None:
        """Whole forward passes so far."""

    def prepare(self, everything: Sequence[Any]) -> None:
        """What is done once, whatever the number of experiments."""

    def values(self, experiments: Sequence[Any]) -> Tensor:
        """``[experiment, prompt, 2]`` logits of the answers, or ``[experiment, prompt]`` metric."""


class EngineMethod:
    """One of the project's engines: worlds, then answers."""

    def __init__(self, name: str, engine: Any, batch: Batch) -> None:  # noqa: ANN401
        self.name = name
        self.engine, self.batch = engine, batch
        self.measured = 0
        self._worlds: Worlds | None = None

    @property
    def forwards(self) -> int | None:
        return self.engine.model.passes if self.name == REFERENCE else None

    def prepare(self, everything: Sequence[Intervention]) -> None:
        self._worlds = self.engine.worlds(self.batch)

    def values(self, experiments: Sequence[Intervention]) -> Tensor:
        self.measured = len(experiments)
        answers: Tensor = self.engine.answers(experiments, self._worlds)
        return answers


class LiteralMethod:
    """Four passes a pair of heads, or two with shared worlds."""

    def __init__(self, model: Transformer, batch: Batch, *, share_worlds: bool) -> None:
        self.name = "literal, worlds shared" if share_worlds else "literal, four passes"
        self.patching = LiteralPatching(model, batch, share_worlds=share_worlds)
        self.batch = batch
        self.measured = 0

    @property
    def forwards(self) -> int | None:
        return self.patching.forwards

    def prepare(self, everything: Sequence[PatchEdge]) -> None:
        if self.patching.share_worlds:
            self.patching.prepare(everything[0].direction)

    def values(self, experiments: Sequence[PatchEdge]) -> Tensor:
        self.measured = len(experiments)
        return torch.stack(
            [self.patching.logits(e).gather(1, self.batch.answers) for e in experiments]
        )


class OneForwardMethod:
    """One hooked pass an experiment."""

    def __init__(self, model: Transformer, batch: Batch, *, sweep: bool = False) -> None:
        self.name = "one forward a head" if sweep else "one forward an edge"
        self.sweep = OneForwardSweep(model, batch) if sweep else None
        self.edges = OneForward(model, batch)
        self.batch = batch
        self.measured = 0

    @property
    def forwards(self) -> int | None:
        return self.edges.forwards if self.sweep is None else self.sweep.forwards

    def prepare(self, everything: Sequence[Any]) -> None:
        if self.sweep is not None:
            self.sweep.prepare()
        else:
            self.edges.prepare(everything)

    def values(self, experiments: Sequence[Any]) -> Tensor:
        self.measured = len(experiments)
        run = self.edges.logits if self.sweep is None else self.sweep.logits
        return torch.stack([run(e).gather(1, self.batch.answers) for e in experiments])


class DirectPathMethod:
    """`transformer_lens.patching.get_act_patch_direct_path`: one sender into every later head.

    It always goes through all later heads at every position, and refuses K and V under
    grouped-query attention. It gives the mean over prompts, so the metric is one number an edge.
    """

    name = "TL get_act_patch_direct_path"

    def __init__(self, model: Transformer, batch: Batch) -> None:
        self.model, self.batch = model, batch
        self.measured = 0
        self.forwards: int | None = 0
        self._caches: dict[Direction, Any] = {}

    @staticmethod
    def fits(edges: Sequence[PatchEdge]) -> bool:
        """Whether the function can make these experiments at all."""
        return all(not edge.through_mlps and not edge.positions for edge in edges)

    def prepare(self, everything: Sequence[PatchEdge]) -> None:
        names = [f"blocks.{x}.attn.hook_z" for x in range(self.model.shape.layers)]
        for direction, tokens in (
            (Direction.NOISING, self.batch.clean), (Direction.DENOISING, self.batch.corrupt)
        ):  # fmt: skip
            _, self._caches[direction] = self.model.bridge.run_with_cache(
                tokens, names_filter=names
            )

    @torch.no_grad()
    def values(self, experiments: Sequence[PatchEdge]) -> Tensor:
        from transformer_lens.patching import get_act_patch_direct_path

        tables: dict[Any, Tensor] = {}
        found = []
        self.measured = 0
        for edge in experiments:
            sender, receiver, slot = heads_of(edge)
            key = (edge.direction, sender, slot)
            if key not in tables:
                noising = edge.direction is Direction.NOISING
                # The library's words are of denoising; base and source are what matters.
                source = Direction.DENOISING if noising else Direction.NOISING
                tables[key] = get_act_patch_direct_path(
                    self.model.bridge,
                    self.batch.clean if noising else self.batch.corrupt,
                    self._caches[source],
                    self._caches[edge.direction],
                    lambda logits: self.batch.metric(logits[:, -1]).mean(),
                    sender.layer,
                    sender.head,
                    slot.lower(),
                    verbose=False,
                )
                layers = self.model.shape.layers - 1 - sender.layer
                self.measured += layers * self.model.shape.heads
            found.append(tables[key][receiver.layer, receiver.head])
        self.forwards = (self.forwards or 0) + self.measured
        return torch.stack(found)


class LibrarySweepMethod:
    """`get_act_patch_attn_head_out_all_pos` and `..._by_pos`, on some rows of their table."""

    def __init__(self, model: Transformer, batch: Batch, *, every_position: bool) -> None:
        self.every_position = every_position
        self.name = f"TL get_act_patch_attn_head_out_{'all' if every_position else 'by'}_pos"
        self.model, self.batch = model, batch
        self.measured = 0
        self.forwards: int | None = 0
        self._cache: Any = None

    def prepare(self, everything: Sequence[PatchActivation]) -> None:
        names = [f"blocks.{x}.attn.hook_z" for x in range(self.model.shape.layers)]
        _, self._cache = self.model.bridge.run_with_cache(self.batch.clean, names_filter=names)

    @torch.no_grad()
    def values(self, experiments: Sequence[PatchActivation]) -> Tensor:
        import pandas
        from transformer_lens import patching

        self.measured = len(experiments)
        if self.every_position:
            run = patching.get_act_patch_attn_head_out_all_pos
            rows: Any = pandas.DataFrame([{"layer": e.layer, "head": e.head} for e in experiments])
        else:
            run = patching.get_act_patch_attn_head_out_by_pos
            rows = pandas.DataFrame(
                [{"layer": e.layer, "pos": self._column(e), "head": e.head} for e in experiments]
            )
        values: Tensor = run(
            self.model.bridge,
            self.batch.corrupt,
            self._cache,
            lambda logits: self.batch.metric(logits[:, -1]),
            index_axis_names=None,
            index_df=rows,
            reduce="none",
        ).values
        self.forwards = (self.forwards or 0) + self.measured
        return values

    def _column(self, patch: PatchActivation) -> int:
        (position,) = patch.positions
        return self.batch.clean.shape[1] - 1 if position == AT_END else position.offset


def reference_method(model: Transformer, batch: Batch) -> EngineMethod:
    """The reference engine."""
    return EngineMethod(REFERENCE, ReferenceEngine(model), batch)


def fast_method(model: Transformer, batch: Batch) -> EngineMethod | None:
    """The fast engine, or None while there is none."""
    engine = fast_engine(model)
    return None if engine is None else EngineMethod(FAST, engine, batch)


def fast_is_there() -> bool:
    """Whether this version has the fast engine."""
    from importlib.util import find_spec

    return find_spec("circuitlang.engine.fast") is not None


def fast_engine(model: Transformer) -> Any:  # noqa: ANN401 - it may not exist
    """The fast engine on a model, or None while there is none."""
    from importlib import import_module

    if not fast_is_there():
        return None
    return import_module("circuitlang.engine.fast").FastEngine(model)
