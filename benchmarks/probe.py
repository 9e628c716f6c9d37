"""`python -m benchmarks.probe JOB`: one engine on one job in a process of its own; prints JSON.

What an earlier job left in memory cannot be told from what the next one needs, so every peak is
taken in a fresh process.
"""

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from circuitlang.plan import PatchEdge

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Job:
    """``edges`` direct edges at all positions, cut from or repeated over the heads of a model."""

    engine: str
    edges: int
    prompts: int
    length: int
    layers: int = 12
    heads: int = 12
    width: int = 768
    vocabulary: int = 50257
    device: str = "cpu"
    threads: int | None = None


@dataclass(frozen=True, slots=True)
class Peak:
    """``mebibytes`` above what the process held with the model loaded; None where unknown."""

    seconds: float
    mebibytes: float | None


def measure_apart(job: Job) -> Peak:
    """Run a job in a fresh process.

    Raises:
        RuntimeError: the process failed; the end of what it said.
    """
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.probe", json.dumps(asdict(job))],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return Peak(**json.loads(done.stdout.splitlines()[-1]))


def measure_here(job: Job) -> Peak:
    """Run a job in this process."""
    import torch

    from benchmarks.method import FAST, fast_engine
    from benchmarks.peak import peak_of
    from benchmarks.workload import Size, random_batch, random_transformer
    from circuitlang.engine.reference import ReferenceEngine

    if job.threads:
        torch.set_num_threads(job.threads)
    size = Size(job.layers, job.heads, job.width, job.vocabulary)
    model = random_transformer(size, job.device)
    engine = fast_engine(model) if job.engine == FAST else ReferenceEngine(model)
    if engine is None:
        raise ValueError(f"{job.engine}: not there yet")
    # Thread pools and library buffers belong to the process, not to the job.
    small = random_batch(size.vocabulary, 1, 4, job.device)
    engine.answers(_edges(job, 2), engine.worlds(small))
    batch = random_batch(size.vocabulary, job.prompts, job.length, job.device)
    edges = _edges(job, job.edges)
    found = peak_of(lambda: engine.answers(edges, engine.worlds(batch)), job.device)
    if found is None:
        import time

        started = time.perf_counter()
        engine.answers(edges, engine.worlds(batch))
        return Peak(time.perf_counter() - started, None)
    return Peak(*found)


def _edges(job: Job, count: int) -> "list[PatchEdge]":
    """Random different edges between heads, seeded; a longer list begins with a shorter one."""
    import random

    from circuitlang.circuit import Direction, Head, Receiver, Slot
    from circuitlang.plan import PatchEdge

    draw = random.Random(0)
    found: dict[PatchEdge, None] = {}
    while len(found) < count:
        low, high = sorted(draw.sample(range(job.layers), 2))
        sender = Head(low, draw.randrange(job.heads))
        receiver = Receiver(Head(high, draw.randrange(job.heads)), draw.choice(list(Slot)))
        found[PatchEdge((sender,), (receiver,), (), False, Direction.NOISING)] = None
    return list(found)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(measure_here(Job(**json.loads(sys.argv[1]))))) + "\n")
