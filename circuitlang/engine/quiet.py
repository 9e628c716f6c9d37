"""Keeping the model libraries' bars, warnings and log lines off the user's terminal."""

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers and TransformerLens inside the block; errors still raise."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from transformers.utils import logging as chatter

    root = logging.getLogger()
    level, verbosity = root.level, chatter.get_verbosity()
    had_bars = chatter.is_progress_bar_enabled()
    root.setLevel(logging.ERROR)
    chatter.set_verbosity_error()
    chatter.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.setLevel(level)
        chatter.set_verbosity(verbosity)
        if had_bars:
            chatter.enable_progress_bar()
