"""What sign flips can reach, without the libraries that make them."""

MOST_EXACT = 13
"""Up to so many prompts every one of the 2**n flips is counted."""


def limited_by_resamples(prompts: int) -> bool:
    """Whether more flips could make the smallest p-value smaller; else only more prompts can."""
    return prompts > MOST_EXACT


def smallest_p(prompts: int, flips: int) -> float:
    """The smallest one-sided p-value of a sign-flip test: 1 / 2**n, or 1 / (flips + 1)."""
    return 2.0**-prompts if prompts <= MOST_EXACT else 1 / (flips + 1)
