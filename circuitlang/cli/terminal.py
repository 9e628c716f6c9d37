"""What a command shows while it works, and how wide and colourful its result may be."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from circuitlang.cli.session import print_err, print_out

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Appearance:
    """What stdout can show; ``width`` in characters."""

    width: int
    color: bool
    ascii_only: bool

    @classmethod
    def of_stdout(cls) -> "Appearance":
        """A file gets 100 characters and no colour unless FORCE_COLOR asks for it."""
        from rich.console import Console

        forced, refused = os.environ.get("FORCE_COLOR"), os.environ.get("NO_COLOR")
        color = bool(forced) or (sys.stdout.isatty() and not refused)
        ascii_only = not (sys.stdout.encoding or "ascii").lower().startswith("utf")
        width = max(60, min(Console().width, 120)) if sys.stdout.isatty() else 100
        return cls(width, color, ascii_only)


def show(render: Callable[..., str], report: object, **options: bool) -> None:
    """Print a report as stdout can show it; ``options`` are the renderer's own."""
    shown = Appearance.of_stdout()
    page = {"width": shown.width, "color": shown.color, "ascii_only": shown.ascii_only}
    print_out(render(report, **page, **options))


@contextmanager
def status(text: str, *, quiet: bool) -> Iterator[None]:
    """A line that says what takes so long; on a terminal only."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status(Text(text)):
        yield


@contextmanager
def progress(*, quiet: bool) -> Iterator[Progress | None]:
    """A bar on a terminal, a line every tenth part elsewhere, nothing when quiet."""
    if quiet:
        yield None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress as Bar
        from rich.progress import TimeElapsedColumn, TimeRemainingColumn

        columns = (*Bar.get_default_columns()[:-1], TimeElapsedColumn(), TimeRemainingColumn())
        with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("measuring", total=None)

            def advance(done: int, total: int, what: str) -> None:
                bar.update(task, completed=done, total=total, description=what)

            yield advance
    else:
        yield _tenths()


def _duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _tenths() -> Progress:
    said, started = 0, time.monotonic()

    def advance(done: int, total: int, what: str) -> None:
        nonlocal said
        if done * 10 // total > said:
            said = done * 10 // total
            left = (time.monotonic() - started) * (total - done) / done
            rest = f", about {_duration(left)} left" if done < total else ""
            print_err(f"measuring: {said * 10}%{rest}\n")

    return advance
