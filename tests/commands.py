"""Running the real command in a process of its own, cut off from this machine's caches and hub."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from circuitlang.cli.main import main

_CLOSED = "http://127.0.0.1:9"
COMMAND = (sys.executable, "-c", "from circuitlang.cli.main import main; main()")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    code: int
    out: str
    err: str
    seconds: float


def environment(home: Path, **changes: str) -> dict[str, str]:
    """Variables for a process that has no hub, no caches and one CPU thread."""
    kept = {k: v for k, v in os.environ.items() if k.lower() not in _PROXIES}
    kept = {k: v for k, v in kept.items() if not k.startswith(("HF_", "CIRCUITLANG_"))}
    return kept | {
        "HF_ENDPOINT": _CLOSED,
        "HF_HOME": str(home / "hf"),
        "CIRCUITLANG_CACHE": str(home / "cache"),
        "XDG_CACHE_HOME": str(home / "xdg"),
        # More threads than free cores make a tiny model a hundred times slower.
        "OMP_NUM_THREADS": "1",
        **changes,
    }


def circuitlang(*arguments: object, home: Path, **changes: str) -> Outcome:
    """Run `circuitlang ARGUMENTS` in ``home``."""
    started = time.perf_counter()
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)], cwd=home, env=environment(home, **changes),
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return Outcome(done.returncode, done.stdout, done.stderr, time.perf_counter() - started)


@contextmanager
def running(*arguments: object, home: Path, **changes: str) -> Iterator[subprocess.Popen[str]]:
    """`circuitlang ARGUMENTS` while it runs; ended when the block is left."""
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)], cwd=home,
        env=environment(home, PYTHONUNBUFFERED="1", **changes),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def called(capsys: pytest.CaptureFixture[str], *arguments: object) -> Outcome:
    """Run `circuitlang ARGUMENTS` in this process, which loads torch once for many tests."""
    started = time.perf_counter()
    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["circuitlang", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
    shown = capsys.readouterr()
    code = caught.value.code
    assert isinstance(code, int)
    return Outcome(int(code), shown.out, shown.err, time.perf_counter() - started)
