"""`python -m calibration`: how often verdicts are wrong where the truth is known."""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from circuitlang.circuit.resolve.limits import MAX_SAMPLE
from known import MODELS, KnownModel, Variation

_DRAWN = 4_000_000_000
"""Seed of the prompts that show how prompts vary; those that are judged have another."""


def main(arguments: list[str] | None = None) -> int:
    """Exit status 1 when a row misses a goal, else 0."""
    chosen = _arguments(arguments)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import torch

    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    missed = 0
    for name in chosen.models or MODELS:
        for variation in chosen.flavours or [str(v) for v in Variation]:
            missed += _calibrate(MODELS[name](Variation(variation)), chosen)
    _say(f"\n{missed} rows miss a goal" if missed else "\nevery row meets its goals")
    return 1 if missed else 0


def _calibrate(model: KnownModel, chosen: argparse.Namespace) -> int:
    from calibration.case import LEVEL, cases
    from calibration.pool import drawn_pairs, hypothesis, measured
    from calibration.reversed_edges import refused, reversed_edges
    from calibration.table import render, row
    from calibration.tally import tally

    started = time.perf_counter()
    noisy = model.variation is not Variation.NOISELESS
    samples = chosen.samples if noisy else min(chosen.samples, 10)
    drawn = drawn_pairs(model, 20_000 if noisy else 10, seed=_DRAWN)
    test = f"  random edges 0\n  resamples {chosen.resamples}"
    with tempfile.TemporaryDirectory() as folder:
        model.build(Path(folder))
        files = [
            hypothesis(model, Path(folder), case, samples * chosen.prompts, test)
            for case in cases(model, drawn, chosen.prompts, chosen.claims)
            if case.claims
        ]
        pool = measured(files, batch=256)
    broken = [check.name for check in pool.self_checks if not check.passed]
    if broken:
        _say(f"\n{model.name}, {model.variation}: self-checks failed: {', '.join(broken)}")
        return 1
    rows = [row(tally(f, pool, chosen.prompts, intervals=noisy)) for f in files]
    backwards = reversed_edges(model)
    stopped = sum(refused(model, edge) for edge in backwards)
    _say(
        f"\n{model.name}, {model.variation}: {samples} samples of {chosen.prompts} prompts, "
        f"level {LEVEL:.0%}, {len(pool.prompts):,} prompts x {len(pool.patched)} experiments "
        f"({time.perf_counter() - started:.0f} s)\n{render(rows)}\n"
        f"reversed edges refused before anything runs: {stopped} of {len(backwards)}"
    )
    return sum(bool(found.misses) for found in rows) + (stopped < len(backwards))


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m calibration",
        description="Verdicts on transformers whose circuit is known by construction.",
    )
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(MODELS))
    parser.add_argument("--flavours", nargs="*", choices=[str(v) for v in Variation])
    parser.add_argument(
        "--samples",
        type=_count,
        default=400,
        help="samples of prompts (400); 10 where nothing varies",
    )
    parser.add_argument("--prompts", type=_count, default=100, help="prompts of a sample (100)")
    parser.add_argument("--claims", type=_count, default=6, help="edges of a kind, at most (6)")
    parser.add_argument("--resamples", type=_count, default=2000, help="bootstrap resamples (2000)")
    parser.add_argument("--threads", type=_count, help="CPU threads (torch's choice)")
    chosen = parser.parse_args(arguments)
    if unknown := [name for name in chosen.models if name not in MODELS]:
        parser.error(f"no model {unknown[0]!r}; the models are {', '.join(MODELS)}")
    if chosen.samples * chosen.prompts > MAX_SAMPLE:
        parser.error(f"samples x prompts are at most {MAX_SAMPLE:,}")
    if chosen.resamples < 1_000:
        parser.error("a file has at least 1,000 resamples")
    return chosen


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
