"""Telling a lack of memory from other errors."""

import torch


def out_of_memory(error: BaseException) -> bool:
    """Whether an error is a lack of memory; on a CPU torch raises a plain RuntimeError for it."""
    named = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return named or "allocate memory" in str(error)
