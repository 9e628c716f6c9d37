"""Screening all direct edges: attribution chooses, exact patching measures what was chosen."""

import math
import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from circuitlang.circuit import METRICS, Component, Direction, Receiver
from circuitlang.engine.attribution import attributions, receivers_of, senders_of
from circuitlang.engine.batch import Batch, batches
from circuitlang.engine.choice import EngineName, agreement, choose_engine
from circuitlang.engine.errors import RunError
from circuitlang.engine.fast import FastEngine
from circuitlang.engine.loading import LoadedModel
from circuitlang.engine.measurement import (
    DEFAULT_BATCH,
    check_context,
)
from circuitlang.engine.memory import with_batches_that_fit
from circuitlang.engine.notes import group_note, precision_note
from circuitlang.engine.progress import Progress
from circuitlang.engine.provenance import provenance
from circuitlang.engine.reference import ReferenceEngine, Worlds
from circuitlang.engine.self_checks import all_fired, self_checks, unchanged
from circuitlang.engine.tokens import TokenizedPair
from circuitlang.engine.transformer import Transformer
from circuitlang.evidence import ScreenedEdge, Screening, SelfCheck
from circuitlang.plan import PatchEdge
from circuitlang.plan.cost import CHECKED_PROMPTS
from circuitlang.statistics.bootstrap import Resampler
from circuitlang.statistics.sign_flip import sign_flip_p

Edge = tuple[Component, Receiver]
_FEWEST_FLIPS, _MOST_FLIPS = 10_000, 1_000_000


def screen(
    model: LoadedModel,
    tokens: Sequence[TokenizedPair],
    *,
    top: int,
    batch_size: int = DEFAULT_BATCH,
    progress: Progress | None = None,
) -> Screening:
    """Approximate every direct edge, then measure the ``top`` largest ones exactly.

    Args:
        model: a loaded transformer.
        tokens: prompt pairs; see :func:`circuitlang.engine.tokens.tokenize`.
        top: how many edges are measured, by the size of their approximation.
        batch_size: most prompts in one forward pass.
        progress: told of every step.

    Raises:
        RunError: the metric has no slope to follow, a prompt is longer than the model's context,
            memory ran out even with one prompt at a time, a self-check failed, or a number was not
            finite.
    """
    started = time.perf_counter()
    kind = METRICS[tokens[0].target.metric]
    if not kind.has_slope:
        raise RunError(
            f"`{tokens[0].target.metric}` has no slope in the clean run, so every first-order "
            "estimate would be zero: screen with another metric, such as `logprob`"
        )
    transformer = model.transformer
    check_context(transformer, tokens)
    before = transformer.fingerprint()

    def screened(size: int) -> tuple[_Screen, tuple[ScreenedEdge, ...]]:
        shares = tuple(batches(tokens, size, transformer.device))
        found = _Screen(transformer, shares, top, progress)
        return found, found.edges()

    (found, edges), size = with_batches_that_fit(screened, batch_size)
    after = transformer.fingerprint()
    checks = (
        *found.checks,
        all_fired(transformer),
        unchanged(before, after, transformer.attached_hooks()),
    )
    _require(checks)
    shown = [receiver for _, receiver in found.chosen]
    return Screening(
        prompts=len(tokens),
        clean=found.clean / len(tokens),
        corrupt=found.corrupt / len(tokens),
        screened=found.screened,
        edges=edges,
        self_checks=checks,
        notes=(*precision_note(model), *group_note(shown, model), *found.notes),
        provenance=provenance(model, found.engine.name, size, time.perf_counter() - started),
    )


class _Screen:
    """One screen with a fixed batch size; ``clean`` and ``corrupt`` are sums over prompts."""

    def __init__(
        self, model: Transformer, batches: tuple[Batch, ...], top: int, progress: Progress | None
    ) -> None:
        self.model, self.batches, self.progress = model, batches, progress
        few = batches[0].first(CHECKED_PROMPTS)
        self.reference = ReferenceEngine(model)
        self.engine, self.notes = choose_engine(EngineName.FAST, model, few)
        self.senders = [sender for layer in senders_of(model.shape) for sender in layer]
        self.receivers = list(receivers_of(model.shape))
        # Of what is better when lower, effects are those of minus the metric.
        kind = METRICS[batches[0].readout.metric]
        self.sign = -1.0 if kind.lower_is_better else 1.0
        self.clean = self.corrupt = 0.0
        self.screened = 0
        self.chosen: tuple[Edge, ...] = ()
        self.checks: tuple[SelfCheck, ...] = ()
        self._top, self._done = top, 0

    def edges(self) -> tuple[ScreenedEdge, ...]:
        """The chosen edges with both numbers."""
        prompts = sum(len(batch.rows) for batch in self.batches)
        approximations, fed = self._approximate()
        self.screened = int(fed.sum())
        sizes = approximations.abs().masked_fill(~fed, -1.0).flatten()
        order = sizes.argsort(descending=True, stable=True)
        indices = order[: min(self._top, self.screened)].tolist()
        width = len(self.receivers)
        self.chosen = tuple((self.senders[i // width], self.receivers[i % width]) for i in indices)
        approximate = approximations.flatten()[indices]
        exact = self._measure(prompts)
        if not math.isfinite(float((approximate + exact.sum(1)).sum())):
            raise RunError("the effect of an edge is not a finite number")
        p_values = _two_sided(exact[:, self._different()], self.screened)
        return tuple(
            ScreenedEdge(sender=str(sender), receiver=str(receiver), approximation=a, exact=e, p=p)
            for (sender, receiver), a, e, p in zip(
                self.chosen,
                (approximate / prompts).tolist(),
                exact.mean(1).tolist(),
                p_values,
                strict=True,
            )
        )

    def _approximate(self) -> tuple[Tensor, Tensor]:
        """Sums over prompts of how much patching loses, approximately, and which senders feed which
        receivers; both ``[sender, receiver]``."""
        rows = {sender: i for i, sender in enumerate(self.senders)}
        columns = {receiver: i for i, receiver in enumerate(self.receivers)}
        total = torch.zeros(len(rows), len(columns), dtype=torch.float64)
        fed = torch.zeros_like(total, dtype=torch.bool)
        for number, batch in enumerate(self.batches):
            worlds = self.reference.worlds(batch)
            if number == 0:
                self._check(batch, worlds)
            self.clean += float(batch.metric(worlds.clean.logits).sum())
            self.corrupt += float(batch.metric(worlds.corrupt.logits).sum())
            for piece in attributions(self.model, worlds):
                row = torch.tensor([rows[sender] for sender in piece.senders])[:, None]
                column = torch.tensor([columns[receiver] for receiver in piece.receivers])
                total[row, column] -= self.sign * piece.estimates.double().sum(0).cpu()
                fed[row, column] = True
            self._step(1, "approximating every direct edge")
        if not math.isfinite(self.clean + self.corrupt + float(total.abs().sum())):
            raise RunError("the metric or its gradient is not a finite number")
        return total, fed

    def _measure(self, prompts: int) -> Tensor:
        """clean - patched of the chosen edges, ``[edge, prompt]``."""
        patches = [
            PatchEdge((sender,), (receiver,), (), False, Direction.NOISING)
            for sender, receiver in self.chosen
        ]
        effects = torch.zeros(len(patches), prompts, dtype=torch.float64)
        if isinstance(self.engine, FastEngine) and patches:
            few = self.reference.worlds(self.batches[0].first(CHECKED_PROMPTS))
            own = self.engine.worlds(few.batch)
            check = agreement(self.engine, self.reference, patches[:CHECKED_PROMPTS], own, few)
            self.checks = (*self.checks, check)
            _require(self.checks)
        for batch in self.batches:
            worlds = self.engine.worlds(batch)
            patched = batch.metric_of(self.engine.answers(patches, worlds))
            clean = batch.metric(worlds.clean.logits)
            effects[:, batch.rows] = (self.sign * (clean - patched)).double().cpu()
            self._step(len(patches), "measuring the chosen edges")
        return effects

    def _different(self) -> list[int]:
        """Rows of prompts that no earlier one equals: copies are no further observations."""
        first: dict[tuple[tuple[int, ...], ...], int] = {}
        for batch in self.batches:
            pairs = zip(batch.clean.tolist(), batch.corrupt.tolist(), strict=True)
            for row, (clean, corrupt) in zip(batch.rows, pairs, strict=True):
                first.setdefault((tuple(clean), tuple(corrupt)), row)
        return sorted(first.values())

    def _check(self, batch: Batch, worlds: Worlds) -> None:
        few = self.reference.worlds(batch.first(CHECKED_PROMPTS))
        self.checks = self_checks(self.reference, few, None, worlds.clean.logits)
        _require(self.checks)

    def _step(self, steps: int, what: str) -> None:
        self._done += steps
        if self.progress is not None:
            self.progress(self._done, len(self.batches) * (1 + self._top), what)


def _two_sided(effects: Tensor, family: int) -> list[float]:
    """Two-sided sign-flip p-values of ``effects [edge, prompt]``.

    So many flips are made that the best of a family of tests can be told from chance.
    """
    columns = effects.T.numpy()
    if not columns.size:
        return []
    flips = min(max(_FEWEST_FLIPS, 200 * family), _MOST_FLIPS)
    draws = Resampler((0,) * len(columns), flips, 0)
    one_sided = sign_flip_p(np.concatenate([columns, -columns], axis=1), draws).reshape(2, -1)
    return np.minimum(1.0, 2 * one_sided.min(0)).tolist()


def _require(checks: Sequence[SelfCheck]) -> None:
    """Raise on the first check that failed: no number of this model means anything then."""
    for check in checks:
        if not check.passed:
            raise RunError(f"a self-check failed, so there is nothing to screen: {check.name}")
