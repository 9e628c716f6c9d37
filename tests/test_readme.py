"""What the README shows is what the program prints; what it tells people to run is what CI runs."""

import hashlib
import html
import re

import pytest
from typer.testing import CliRunner

from circuitlang.cli.main import app
from circuitlang.draw import render_dot
from circuitlang.report import Report, Verdict
from tests.front_end import ROOT, circuit_of, read_file

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


def test_the_picture_is_of_the_file_as_it_is():
    """The report beside the picture belongs to the present text of the file, and draws."""
    source, circuit, _ = read_file(ROOT / "circuits" / "smollm2_ioi.circuit")
    text = (ROOT / "docs" / "evidence" / "smollm2_ioi.report.json").read_text(encoding="utf-8")
    report = Report.model_validate_json(text)
    assert report.file_sha256 == hashlib.sha256(source.text.encode()).hexdigest()
    assert all(claim.verdict is Verdict.PASS for claim in report.claims)
    svg = ROOT / "docs" / "images" / "smollm2_ioi.svg"
    picture = html.unescape(svg.read_text(encoding="utf-8"))
    dot = render_dot(circuit, report)
    for claim in report.claims:
        shown = f"{100 * claim.estimate.value:+.1f}%"
        assert shown in dot
        assert shown in picture
