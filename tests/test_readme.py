"""What the README shows is what the program prints, and what it tells people to run is what CI runs."""

import re

import pytest
from typer.testing import CliRunner

from circuitlang.cli.main import app
from tests.front_end import ROOT, circuit_of

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```text\n(.*?)```", README, re.DOTALL)
COMMANDS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize(
    "number, file", list(enumerate(["builtin_ioi.circuit", "false/builtin_ioi_incomplete.circuit"]))
)
def test_quoted_reports(number, file, monkeypatch):
    monkeypatch.chdir(ROOT)
    printed = CliRunner().invoke(app, ["run", f"circuits/{file}", "--quiet"]).stdout
    # Trailing spaces and the last shown digit of an interval may differ between processors.
    shown = [_coarse(line) for line in printed.splitlines()]
    missing = [line for line in BLOCKS[number].splitlines() if _coarse(line) not in shown]
    assert not missing


def _coarse(line):
    """The line without its drawing and without digits after the point."""
    return re.sub(r"\.\d+", "", re.sub(r"[·│●━\[\],]", " ", line)).split()


def test_ci_runs_the_test_command():
    (command,) = [c.strip() for c in COMMANDS if "pytest" in c]
    assert command in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_example_resolves():
    (example,) = re.findall(r"```circuit\n(.*?)```", README, re.DOTALL)
    assert len(circuit_of(example).all_claims) == 6
