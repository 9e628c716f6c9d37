"""Peak memory of a piece of work, above what the process held before it.

On Linux the kernel keeps a process's peak (`VmHWM`) and resets it on request, so that what loading
a model took does not count. Where that is refused, a thread reads the resident size every
millisecond. On a GPU the allocator's own peak is read.
"""

import contextlib
import ctypes
import gc
import threading
import time
from collections.abc import Callable
from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")
_MEBIBYTE = 1 << 20


def peak_of(work: Callable[[], object], device: str = "cpu") -> tuple[float, float] | None:
    """Seconds and peak mebibytes of ``work``; None where this system cannot tell."""
    if device.startswith("cuda"):
        return _on_gpu(work, device)
    if not _STATUS.is_file():
        return None
    _release()
    before = _resident("VmRSS")
    if _reset_peak():
        seconds = _timed(work)
        return seconds, max(0.0, _resident("VmHWM") - before) / _MEBIBYTE
    with _Watch() as watch:
        seconds = _timed(work)
    return seconds, max(0.0, watch.highest - before) / _MEBIBYTE


def _on_gpu(work: Callable[[], object], device: str) -> tuple[float, float]:
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)

    def finished() -> None:
        work()
        torch.cuda.synchronize(device)

    seconds = _timed(finished)
    return seconds, (torch.cuda.max_memory_allocated(device) - before) / _MEBIBYTE


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _release() -> None:
    """Give freed memory back to the system, or work would seem to need less than it does."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _resident(field: str) -> float:
    """Bytes of a line of /proc/self/status, which has kibibytes."""
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return 1024.0 * int(line.split()[1])
    raise ValueError(f"{_STATUS} has no {field}")


def _reset_peak() -> bool:
    """Set VmHWM to the present size; whether the system did so."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    # Some sandboxes accept the request and do nothing.
    return _resident("VmHWM") <= _resident("VmRSS") + _MEBIBYTE


class _Watch:
    """The highest resident size that a thread has seen."""

    def __init__(self) -> None:
        self.highest = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self._done.is_set():
            self.highest = max(self.highest, _resident("VmRSS"))
            time.sleep(0.001)

    def __enter__(self) -> "_Watch":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()
        self.highest = max(self.highest, _resident("VmRSS"))
