"""What the metric reads off logits at END: readings that engines compare, and the metric of them.

docs/language.md defines the metrics. Logarithms are natural, softmax is taken in float64 over the
whole vocabulary, and rows are worked through in chunks, so that memory does not grow with the
number of experiments.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from circuitlang.engine.target import Target
from circuitlang.plan.cost import LOGITS_AT_ONCE


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """Token ids of one argument ``[prompt, most]``; ``real`` is false where a row is filled up."""

    ids: Tensor
    real: Tensor

    @classmethod
    def of(cls, tokens: Sequence[Sequence[int]], device: torch.device) -> "Words":
        """From one non-empty set of tokens a prompt."""
        most = max(map(len, tokens))
        ids = [[*row, *(row[0] for _ in range(most - len(row)))] for row in tokens]
        real = [[i < len(row) for i in range(most)] for row in tokens]
        return cls(torch.tensor(ids, device=device), torch.tensor(real, device=device))

    def at(self, rows: slice | Sequence[int]) -> "Words":
        """Those of some prompts."""
        return Words(self.ids[rows], self.real[rows])

    def logits(self, logits: Tensor) -> Tensor:
        """Their logits ``[..., prompt, most]``, minus infinity where a row is filled up."""
        found = logits.gather(-1, self.ids.expand(*logits.shape[:-1], -1))
        return found.masked_fill(~self.real, -torch.inf)


@dataclass(frozen=True, slots=True)
class Reading:
    """How one kind of metric is read.

    ``read`` takes logits ``[..., prompt, vocab]``, the arguments' words and the clean run's logits
    ``[prompt, vocab]`` to readings ``[..., prompt, k]``; ``value`` takes these, in float64, to the
    metric. The first ``steady`` of the k move no faster than logits do, so two engines can be
    compared on them (None: all). ``slack`` says how far the metric may be off where every logit may
    be by a limit: from readings, logits, words and limit, ``[prompt]``.
    """

    read: Callable[[Tensor, Sequence[Words], Tensor | None], Tensor]
    value: Callable[[Tensor], Tensor]
    slack: Callable[[Tensor, Tensor, Sequence[Words], float], Tensor]
    steady: int | None = None


def _two_logits(logits: Tensor, words: Sequence[Words], clean: Tensor | None) -> Tensor:
    """The logit of each argument, of a set its largest; neither moves faster than logits do."""
    return torch.stack([each.logits(logits).amax(-1) for each in words], dim=-1)


def _log_p(logits: Tensor, words: Sequence[Words], clean: Tensor | None) -> Tensor:
    """Log-probability of each argument's words together."""
    wide = logits.double()
    total = wide.logsumexp(-1)
    return torch.stack([each.logits(wide).logsumexp(-1) - total for each in words], dim=-1)


def _rank(logits: Tensor, words: Sequence[Words], clean: Tensor | None) -> Tensor:
    """The word's logit, the logarithm of all their exponentials' sum, and the word's rank."""
    own, total = words[0].logits(logits), logits.double().logsumexp(-1, keepdim=True)
    # Also what is equal stands before it: a tie is no advantage.
    rank = (logits >= own).sum(-1, keepdim=True).double()
    rank = torch.where((total + own.double()).isfinite(), rank, torch.nan)
    return torch.cat([own.double(), total, rank], dim=-1)


def _best_two(logits: Tensor, words: Sequence[Words], clean: Tensor | None) -> Tensor:
    """The largest logit of the words, and the largest of all other tokens."""
    own = words[0].logits(logits).amax(-1)
    ids = words[0].ids.expand(*logits.shape[:-1], -1)
    others = logits.scatter(-1, ids, -torch.inf).amax(-1)
    return torch.stack([own, others], dim=-1)


def _divergence(logits: Tensor, words: Sequence[Words], clean: Tensor | None) -> Tensor:
    """KL(clean || this): the clean run's expectation of how much likelier it finds a token."""
    if clean is None:
        raise ValueError("a divergence needs the clean run's logits")
    log_p, log_q = clean.double().log_softmax(-1), logits.double().log_softmax(-1)
    p = log_p.exp()
    parts = torch.where(p > 0, p * (log_p - log_q), 0.0)
    # Never below zero but for rounding.
    return parts.sum(-1, keepdim=True).clamp_min(0)


def _known_to(readings: Tensor, logits: Tensor, words: Sequence[Words], limit: float) -> Tensor:
    return torch.full_like(readings[..., 0].double(), limit)


def _known_in_parts(
    readings: Tensor, logits: Tensor, words: Sequence[Words], limit: float
) -> Tensor:
    """A probability p is off by no more than p (exp(2 limit) - 1)."""
    return readings.double().exp().sum(-1) * (2 * torch.tensor(limit).double()).expm1()


def _near(readings: Tensor, logits: Tensor, words: Sequence[Words], limit: float) -> Tensor:
    """How many tokens stand so near that rounding may change their order with the word."""
    own = words[0].logits(logits)
    return ((logits - own).abs() <= 2 * limit).sum(-1).double() - 1


def _undecided(readings: Tensor, logits: Tensor, words: Sequence[Words], limit: float) -> Tensor:
    return ((readings[..., 0] - readings[..., 1]).abs() <= 2 * limit).double()


def _with_size(readings: Tensor, logits: Tensor, words: Sequence[Words], limit: float) -> Tensor:
    return limit * (1 + readings[..., 0].double())


def _first(readings: Tensor) -> Tensor:
    return readings[..., 0]


def _won(readings: Tensor) -> Tensor:
    """1 where the first is above the second, NaN where one of them is no number."""
    first, second = readings[..., 0], readings[..., 1]
    known = first.isfinite() & second.isfinite()
    return torch.where(known, (first > second).double(), torch.nan)


READINGS = {
    "logit_diff": Reading(_two_logits, lambda r: r[..., 0] - r[..., 1], _known_to),
    "prob_diff": Reading(_log_p, lambda r: r[..., 0].exp() - r[..., 1].exp(), _known_in_parts),
    "logprob": Reading(_log_p, _first, _known_to),
    "prob": Reading(_log_p, lambda r: r[..., 0].exp(), _known_in_parts),
    "rank": Reading(_rank, lambda r: r[..., 2], _near, steady=2),
    "accuracy": Reading(_best_two, _won, _undecided),
    "loss": Reading(_log_p, lambda r: -r[..., 0], _known_to),
    "kl": Reading(_divergence, _first, _with_size),
}


@dataclass(frozen=True, slots=True, eq=False)
class Readout:
    """The metric of a batch: its name, and the words of each argument prompt by prompt."""

    metric: str
    words: tuple[Words, ...]

    @classmethod
    def of(cls, targets: Sequence[Target], device: torch.device) -> "Readout":
        """Of prompts that share a metric."""
        columns = zip(*(target.tokens for target in targets), strict=True)
        return cls(targets[0].metric, tuple(Words.of(column, device) for column in columns))

    def at(self, rows: slice | Sequence[int]) -> "Readout":
        """That of some prompts."""
        return Readout(self.metric, tuple(each.at(rows) for each in self.words))

    @property
    def tokens(self) -> Tensor | None:
        """Token ids ``[prompt, 2]`` whose logits are the readings; None where more is read."""
        if self.metric != "logit_diff" or any(each.ids.shape[1] > 1 for each in self.words):
            return None
        return torch.cat([each.ids for each in self.words], dim=1)

    def read(self, logits: Tensor, clean: Tensor | None) -> Tensor:
        """Readings ``[..., prompt, k]`` of logits ``[..., prompt, vocab]``.

        ``clean`` are the logits of the clean run ``[prompt, vocab]``, which `kl` compares with.
        """
        return READINGS[self.metric].read(logits, self.words, clean)

    def read_each(
        self, streams: Tensor, unembed: Callable[[Tensor], Tensor], clean: Tensor
    ) -> Tensor:
        """Readings ``[experiment, prompt, k]`` of final streams ``[experiment, prompt, d_model]``.

        ``unembed`` gives their logits; no more than some millions of these are held at once.
        """
        step = max(1, LOGITS_AT_ONCE // clean.numel())
        return torch.cat([self.read(unembed(some), clean) for some in streams.split(step)])

    def value(self, readings: Tensor) -> Tensor:
        """The metric ``[..., prompt]`` of readings, in float64."""
        return READINGS[self.metric].value(readings.double())

    def steady(self, readings: Tensor) -> Tensor:
        """The readings that move no faster than logits do: what two engines are compared on."""
        return readings[..., : READINGS[self.metric].steady]

    def slack(self, logits: Tensor, clean: Tensor | None, limit: float) -> Tensor:
        """How far the metric ``[prompt]`` may be off where every logit may be off by a limit."""
        reading = READINGS[self.metric]
        return reading.slack(self.read(logits, clean), logits, self.words, limit)

    def answered(self, logits: Tensor) -> Tensor:
        """Whether a word of the first argument is likelier than any other token, ``[prompt]``.

        False throughout where the metric has no answer (`kl`).
        """
        if not self.words:
            return torch.zeros(len(logits), dtype=torch.bool, device=logits.device)
        return _won(_best_two(logits, self.words, None)) == 1
