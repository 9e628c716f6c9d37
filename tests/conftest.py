"""One thread for all tests: on small models several threads are slower, and much slower when the
machine is busy. Tests of a large model ask for more."""

import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest file first: it would be worked on alone if it came last."""
    items.sort(key=lambda item: item.get_closest_marker("smollm2") is None)
