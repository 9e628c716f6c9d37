"""How several looks at growing data share a level."""

from fractions import Fraction


def shares(looks: int) -> tuple[Fraction, ...]:
    """The share of the level that each look may spend; they sum to exactly 1.

    Look k of K may spend (2k - 1) / K**2: what a spending function t**2 grants between t = (k-1)/K
    and k/K (Kim and DeMets 1987, Biometrika 74:149-154, their power family with exponent 2). An
    error at the look that ends a run is an error at one of the looks, so the sum bounds the chance
    of any, whatever the stopping rule and however the looks depend on each other (Bonferroni).

    Early looks get little, as in O'Brien and Fleming's design (1979, Biometrics 35:549-556), so the
    last keeps most of the power; an equal split would lose more of it than it saves prompts. Unlike
    theirs the first share is large enough for a p-value of 30 prompts.

    Raises:
        ValueError: there is no look.
    """
    if looks < 1:
        raise ValueError("there must be at least one look")
    return tuple(Fraction(2 * k - 1, looks**2) for k in range(1, looks + 1))


def ends(count: int, looks: int, round_of: int) -> tuple[int, ...]:
    """How much of ``count`` each look sees, in whole rounds; the last sees everything.

    Equal parts as far as rounds allow. With fewer rounds than looks the first ends are 0 or equal.
    """
    rounds = count // round_of
    return (*(rounds * k // looks * round_of for k in range(1, looks)), count)
