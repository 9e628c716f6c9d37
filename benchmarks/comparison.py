"""Timing several methods on the same experiments, in turn, and comparing their values."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.machine import Environment, synchronize
from benchmarks.method import FAST, NOT_THERE, Method
from benchmarks.outcome import Options, Section
from benchmarks.table import number, share, table
from circuitlang.engine.batch import Batch

WITHIN = 3e-5
"""Most that a logit may differ from the reference, in parts of the answers' largest logit. Rounding
in float32 is ten times smaller, the effects of single edges are ten times larger and more."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A method and the indices of the experiments that it runs: all, or a sample."""

    method: Method
    indices: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Timing:
    """One method's result on a list of experiments; times are those of all of them.

    ``passes`` are whole forward passes an experiment, None where the method makes no whole ones.
    ``difference`` is the largest absolute one from the reference, None where nothing was compared.
    """

    method: str
    measured: int
    experiments: int
    seconds: float
    spread: float
    passes: float | None
    gflop: float
    difference: float | None
    agrees: bool

    @property
    def milliseconds(self) -> float:
        """Per experiment."""
        return 1000 * self.seconds / self.experiments


class Truth:
    """The reference's answers, each computed once, and the size of the effects among them."""

    def __init__(
        self, method: Method, experiments: Sequence[Any], batch: Batch, base: Tensor
    ) -> None:
        self.method, self.experiments, self.batch = method, experiments, batch
        self.base = base
        self._known: dict[int, Tensor] = {}
        method.prepare(experiments)

    def of(self, indices: Sequence[int]) -> Tensor:
        """``[experiment, prompt, 2]``."""
        missing = [i for i in indices if i not in self._known]
        if missing:
            found = self.method.values([self.experiments[i] for i in missing])
            self._known.update(zip(missing, found, strict=True))
        return torch.stack([self._known[i] for i in indices])

    @property
    def known(self) -> tuple[int, ...]:
        """Indices of the experiments that have been computed."""
        return tuple(sorted(self._known))

    def effects(self) -> Tensor:
        """The largest change of the metric that each known experiment makes to a prompt."""
        changed = self.batch.metric_of(torch.stack(list(self._known.values())))
        return (changed - self.batch.metric_of(self.base)).abs().amax(dim=1)

    @property
    def limit(self) -> float:
        """The difference up to which a method agrees."""
        return WITHIN * float(self.base.abs().max())

    def difference(self, indices: Sequence[int], values: Tensor) -> float:
        """The largest absolute difference of a method's values, in the form that it gives them."""
        expected = self.of(indices).double()
        if values.dim() < 3:
            expected = self.batch.metric_of(expected)
        if values.dim() < 2:
            expected = expected.mean(dim=1)
        return float((expected - values.double()).abs().max())


def compare(
    title: str,
    experiments: Sequence[Any],
    entries: Sequence[Entry],
    truth: Truth,
    options: Options,
    here: Environment,
    needed: int | None = None,
) -> Section:
    """Run every method in turn, ``repeats`` times over, and make the table of medians.

    ``needed`` is the closed-form count of operations for all experiments and the two worlds. The
    first round also counts operations and gives the values to compare; where there are more rounds
    it is not among the times, because counting takes some.
    """
    for entry in entries:
        if not _is_fast(entry):
            truth.of(entry.indices)
    here = here.refreshed()
    rounds: list[list[float]] = [[] for _ in entries]
    checked = []
    for entry, times in zip(entries, rounds, strict=True):
        seconds, found = _check(entry, experiments, truth, options.device)
        checked.append(found)
        if options.repeats == 1:
            times.append(seconds)
    for _ in range(options.repeats - 1):
        for entry, times in zip(entries, rounds, strict=True):
            times.append(_seconds(entry, experiments, options.device))
    here = here.refreshed()
    timings = [
        Timing(
            entry.method.name, entry.method.measured, len(experiments), statistics.median(times),
            (max(times) - min(times)) / statistics.median(times), passes, gflop, difference,
            difference is None or difference <= truth.limit,
        )
        for entry, times, (passes, gflop, difference) in zip(entries, rounds, checked, strict=True)
    ]  # fmt: skip
    return _section(title, timings, truth, here, needed)


def _is_fast(entry: Entry) -> bool:
    """The fast engine runs everything and is compared where the reference has run too."""
    return entry.method.name == FAST


def _check(
    entry: Entry, experiments: Sequence[Any], truth: Truth, device: str
) -> tuple[float, tuple[float | None, float, float | None]]:
    """Seconds for all experiments; passes an experiment, GFLOP for all, and the difference."""
    method = entry.method
    values = torch.empty(0)

    def run() -> None:
        nonlocal values
        values = method.values([experiments[i] for i in entry.indices])

    with FlopCounterMode(display=False) as shared:
        first = _timed(lambda: method.prepare(experiments), device)
    before = method.forwards
    with FlopCounterMode(display=False) as each:
        rest = _timed(run, device)
    scale = len(experiments) / method.measured
    seconds = first + rest * scale
    gflop = (shared.get_total_flops() + scale * each.get_total_flops()) / 1e9
    passes = None
    if before is not None and method.forwards is not None:
        passes = (method.forwards - before) / method.measured
    places = {index: place for place, index in enumerate(entry.indices)}
    common = [i for i in truth.known if i in places]
    if not common:
        return seconds, (passes, gflop, None)
    difference = truth.difference(common, values[[places[i] for i in common]])
    return seconds, (passes, gflop, difference)


def _seconds(entry: Entry, experiments: Sequence[Any], device: str) -> float:
    """Time for all experiments: the shared part as it is, the rest scaled from those run."""
    chosen = [experiments[i] for i in entry.indices]
    shared = _timed(lambda: entry.method.prepare(experiments), device)
    each = _timed(lambda: entry.method.values(chosen), device)
    return shared + each * len(experiments) / entry.method.measured


def _timed(run: Callable[[], object], device: str) -> float:
    synchronize(device)
    started = time.perf_counter()
    run()
    synchronize(device)
    return time.perf_counter() - started


_HEADS = ("method", "sampled", "passes", "seconds", "spread", "ms each", "x fast", "GFLOP",
          "GFLOP/s", "of rate", "max diff", "")  # fmt: skip


def _section(
    title: str, timings: Sequence[Timing], truth: Truth, here: Environment, needed: int | None
) -> Section:
    fast = next((t for t in timings if t.method == FAST), None)
    rows = []
    for t in timings:
        speed = t.gflop / t.seconds
        rows.append([
            t.method,
            "all" if t.measured == t.experiments else f"{t.measured} of {t.experiments}",
            number(t.passes, 2), number(t.seconds), share(t.spread), number(t.milliseconds),
            number(t.seconds / fast.seconds if fast else None),
            number(t.gflop), number(speed), share(speed / here.rate), number(t.difference, 2),
            ("ok" if t.agrees else "FAILED") if t.difference is not None else "not compared",
        ])  # fmt: skip
    if fast is None:
        rows.append([FAST, *["-"] * (len(_HEADS) - 2), NOT_THERE])
    effects = truth.effects()
    lines = [
        table(_HEADS, rows),
        f"values: {len(truth.known)} experiments of the reference, effects up to "
        f"{number(float(effects.max()), 2)} logits (median {number(float(effects.median()), 2)}); "
        f"a difference up to {number(truth.limit, 2)} agrees",
    ]
    if needed is not None:
        lines.append(_bound(needed / 1e9, fast, here))
    section = Section(title, [asdict(t) for t in timings], "\n".join(lines))
    section.agrees = all(t.agrees for t in timings)
    return section


def _bound(needed: float, fast: Timing | None, here: Environment) -> str:
    seconds = needed / here.rate
    line = f"needed by count: {number(needed)} GFLOP, at least {number(seconds)} s here"
    if fast is None:
        return line
    return (
        f"{line}; the fast engine does {number(fast.gflop / needed)} times that and takes "
        f"{number(fast.seconds / seconds)} times that"
    )
