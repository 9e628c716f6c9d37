"""DOT text to SVG or PNG, by whichever Graphviz there is."""

import shutil
import subprocess
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Literal

TIMEOUT = 20.0
"""Seconds after which a layout is given up: some graphs keep Graphviz busy for ever."""

_PURE = "graphviz-pure"
_START = {"svg": (b"<?xml", b"<svg"), "png": (b"\x89PNG\r\n\x1a\n",)}
_OPTIONS = {"svg": (), "png": ("-Gdpi=144",)}


class DrawingError(Exception):
    """No renderer could draw; the message says what was tried and what can be done."""


def render(dot: str, kind: Literal["svg", "png"]) -> bytes:
    """A picture of DOT text: by the system's `dot`, else by the graphviz-pure package.

    Raises:
        DrawingError: neither is there, or neither could draw it.
    """
    reasons = []
    for program in _programs():
        try:
            return _run(program, dot, kind)
        except DrawingError as error:
            reasons.append(f"{program}: {error}")
    tried = "; ".join(reasons) or "neither `dot` nor `graphviz-pure` was found"
    raise DrawingError(
        f"cannot draw {kind.upper()} ({tried}). Install Graphviz or `pip install {_PURE}`; "
        "DOT output needs neither"
    )


def _programs() -> Iterator[str]:
    if system := shutil.which("dot"):
        yield system
    if pure := _installed_with_pip() or shutil.which(_PURE):
        yield pure


def _installed_with_pip() -> str | None:
    """The program that the graphviz-pure package holds; its folder need not be on the PATH."""
    try:
        files = distribution(_PURE).files or []
    except PackageNotFoundError:
        return None
    names = {_PURE, f"{_PURE}.exe"}
    paths = (Path(str(file.locate())) for file in files if file.name in names)
    return next((str(path.resolve()) for path in paths if path.is_file()), None)


def _run(program: str, dot: str, kind: Literal["svg", "png"]) -> bytes:
    command = [program, f"-T{kind}", *_OPTIONS[kind]]
    try:
        done = subprocess.run(
            command, input=dot.encode(), capture_output=True, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        raise DrawingError(f"gave no picture within {TIMEOUT:g} seconds") from None
    except OSError as error:
        raise DrawingError(f"did not start: {error.strerror or error}") from error
    # Warnings leave the status at 0; an empty or foreign output with status 0 is an error as well.
    if done.returncode != 0 or not done.stdout.startswith(_START[kind]):
        message = done.stderr.decode(errors="replace").strip().splitlines()
        said = f": {message[-1][:200]}" if message else ""
        raise DrawingError(f"ended with status {done.returncode}{said}")
    return done.stdout
