"""Fields that values did not always have, which must not change what older values are called."""

from dataclasses import field
from typing import Any

LATER = "later"
"""Marks such a field in its metadata."""


def later(default: Any) -> Any:  # noqa: ANN401 - as dataclasses.field
    """A field that takes part in an id only where it is not at its default.

    So evidence that was saved before there was such a field can be judged still, and random draws
    stay what they were.
    """
    return field(default=default, metadata={LATER: True})
