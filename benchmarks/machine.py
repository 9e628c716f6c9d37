"""The machine: what it is, and how fast it multiplies matrices."""

import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version

import torch
import torch.nn.functional as F

from benchmarks.workload import Size


@dataclass(frozen=True, slots=True)
class Environment:
    """Where the numbers were taken; ``rates`` are GFLOP/s of float32 products by shape."""

    processor: str
    cores: int
    threads: int
    device: str
    versions: dict[str, str]
    rates: dict[str, float]
    size: Size
    rows: int

    def refreshed(self) -> "Environment":
        """Rates measured again, the better of old and new: machines have slow minutes."""
        new = _rates(self.device, self.size, self.rows, 3)
        best = {shape: max(rate, new.get(shape, rate)) for shape, rate in self.rates.items()}
        return replace(self, rates=best)

    @property
    def rate(self) -> float:
        """The best of the rates: what a run could reach at most."""
        return max(self.rates.values())


def environment(device: str, size: Size, rows: int, *, repeats: int = 5) -> Environment:
    """Measure the rates of a large square product and of the shapes of the model's layers."""
    libraries = ("torch", "transformers", "transformer-lens")
    return Environment(
        processor=_processor(device),
        cores=_cores(),
        threads=torch.get_num_threads(),
        device=device,
        versions={"python": platform.python_version()} | {n: version(n) for n in libraries},
        rates=_rates(device, size, rows, repeats),
        size=size,
        rows=rows,
    )


def synchronize(device: str) -> None:
    """Wait for the work that a device has been given; nothing to do on a CPU."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def _processor(device: str) -> str:
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [line.split(":", 1)[1].strip() for line in lines if "model name" in line]
        return names[0]
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


def _rates(device: str, size: Size, rows: int, repeats: int) -> dict[str, float]:
    side = 2048 if size.width >= 512 else 256
    square = torch.randn(side, side, device=device)
    found = {f"{side} x {side} x {side}": _rate(lambda: square @ square, side**3, device, repeats)}
    width = size.width
    for out_of, into in (
        (width, 3 * width),
        (width, width),
        (width, 4 * width),
        (4 * width, width),
    ):
        given = torch.randn(rows, out_of, device=device)
        weight, bias = torch.randn(into, out_of, device=device), torch.randn(into, device=device)

        def layer(given: torch.Tensor = given, weight: torch.Tensor = weight,
                  bias: torch.Tensor = bias) -> torch.Tensor:  # fmt: skip
            return F.linear(given, weight, bias)

        found[f"{rows} x {out_of} x {into}"] = _rate(layer, rows * out_of * into, device, repeats)
    return found


def _rate(product: Callable[[], torch.Tensor], size: int, device: str, repeats: int) -> float:
    """GFLOP/s, the median of several runs of at least a hundredth of a second each."""
    product()
    synchronize(device)
    started = time.perf_counter()
    product()
    synchronize(device)
    times = max(1, int(0.01 / (time.perf_counter() - started + 1e-9)))
    found = []
    for _ in range(repeats):
        started = time.perf_counter()
        for _ in range(times):
            product()
        synchronize(device)
        found.append((time.perf_counter() - started) / times)
    return 2 * size / statistics.median(found) / 1e9
