"""Exact tests of shares: binomial and hypergeometric tails, and equivalence with one half.

In plain Python, because `circuitlang plan` needs them and importing SciPy takes longer than
checking a file.
"""

import math
from collections.abc import Callable

SIGN_MARGIN = 0.1
"""How far from one half a share of signs may lie and still count as one half (Shi et al. 2024)."""


def binomial_at_least(successes: int, trials: int, share: float) -> float:
    """P(Binomial(trials, share) >= successes)."""
    if successes <= 0:
        return 1.0
    if successes > trials or share <= 0:
        return 0.0
    if share >= 1:
        return 1.0
    if successes > trials * share:
        return _upper(successes, trials, share)
    return 1.0 - _upper(trials - successes + 1, trials, 1 - share)


def binomial_at_most(successes: int, trials: int, share: float) -> float:
    """P(Binomial(trials, share) <= successes)."""
    return binomial_at_least(trials - successes, trials, 1 - share)


def _upper(successes: int, trials: int, share: float) -> float:
    """The tail above the mean: its terms fall, so it ends when they no longer count."""
    log = _log_choose(trials, successes)
    log += successes * math.log(share) + (trials - successes) * math.log1p(-share)
    term = total = math.exp(log)
    odds = share / (1 - share)
    for k in range(successes, trials):
        term *= odds * (trials - k) / (k + 1)
        total += term
        if term <= total * 1e-17:
            break
    return min(1.0, total)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def drawn_at_least(successes: int, draws: int, good: int, population: int) -> float:
    """P(at least so many good ones among ``draws`` of a population, none drawn twice)."""
    least, most = max(0, draws + good - population), min(draws, good)
    if successes <= least:
        return 1.0
    if successes > most:
        return 0.0
    if successes * population > draws * good:
        return _drawn_upper(successes, draws, good, population)
    # The other tail counts the bad ones.
    bad = population - good
    return 1.0 - _drawn_upper(draws - successes + 1, draws, bad, population)


def _drawn_upper(successes: int, draws: int, good: int, population: int) -> float:
    """The tail above the mean; as in `_upper`."""
    log = _log_choose(good, successes) + _log_choose(population - good, draws - successes)
    term = total = math.exp(log - _log_choose(population, draws))
    for k in range(successes, min(draws, good)):
        others = population - good - draws + k + 1
        term *= (good - k) * (draws - k) / ((k + 1) * others)
        total += term
        if term <= total * 1e-17:
            break
    return min(1.0, total)


def equivalence_p(positive: float, trials: int, margin: float = SIGN_MARGIN) -> float:
    """p-value of |share - 1/2| < margin: two one-sided exact binomial tests (TOST).

    ``positive`` counts differences above zero, and those that are zero one half each. A half is
    rounded against the conclusion.
    """
    return max(
        binomial_at_least(math.floor(positive), trials, 0.5 - margin),
        binomial_at_most(math.ceil(positive), trials, 0.5 + margin),
    )


def difference_p(positive: float, trials: int, margin: float = SIGN_MARGIN) -> float:
    """p-value of |share - 1/2| > margin: the smaller of two exact tests, doubled.

    ``positive`` is that of `equivalence_p`, a half again rounded against the conclusion.
    """
    above = binomial_at_least(math.floor(positive), trials, 0.5 + margin)
    below = binomial_at_most(math.ceil(positive), trials, 0.5 - margin)
    return min(1.0, 2 * min(above, below))


def equivalence_power(trials: int, level: float, margin: float = SIGN_MARGIN) -> float:
    """Chance that `equivalence_p` is at most a level when the share is one half."""
    inside = _inside(trials, level, margin)
    if inside is None:
        return 0.0
    low, high = inside
    return 1.0 - binomial_at_most(low - 1, trials, 0.5) - binomial_at_least(high + 1, trials, 0.5)


def _inside(trials: int, level: float, margin: float) -> tuple[int, int] | None:
    """The smallest and the largest count that prove equivalence."""
    if equivalence_p(trials / 2, trials, margin) > level:
        return None
    out, within = -1, trials // 2
    if equivalence_p(within, trials, margin) > level:
        return None
    while within - out > 1:
        middle = (out + within) // 2
        if binomial_at_least(middle, trials, 0.5 - margin) <= level:
            within = middle
        else:
            out = middle
    return within, trials - within


def trials_for_equivalence(level: float, power: float, margin: float = SIGN_MARGIN) -> int:
    """The smallest number of trials with this power at a share of one half; 0 power: with any."""

    def reached(trials: int) -> bool:
        found = equivalence_power(trials, level, margin)
        return found > 0 and found >= power

    few, many = 0, 1
    while not reached(many):
        few, many = many, 2 * many
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if reached(middle) else (middle, many)
    # Power is a saw-tooth, whose teeth are narrower than this.
    first = max(1, many - 4 * math.isqrt(many) - 10)
    return next(trials for trials in range(first, many + 1) if reached(trials))


def share_bounds(successes: int, trials: int, error: float) -> tuple[float, float]:
    """Clopper and Pearson's interval of a share (1934, Biometrika 26:404), ``error`` a side."""
    low = high = float(successes / trials)
    low = (
        0.0 if successes == 0 else _solve(lambda p: binomial_at_least(successes, trials, p), error)
    )
    if successes == trials:
        high = 1.0
    else:
        high = 1.0 - _solve(lambda p: binomial_at_least(trials - successes, trials, p), error)
    return low, high


def _solve(rising: Callable[[float], float], target: float) -> float:
    """Where a rising function of a share meets a target."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < target else (low, middle)
    return (low + high) / 2
