"""The language reference says what the program does."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from circuitlang.circuit import TestSettings
from circuitlang.circuit.resolve import limits
from circuitlang.circuit.words import BUILTIN_WORDS
from circuitlang.cli.main import app
from circuitlang.cli.power_lines import power_lines
from circuitlang.source import CODES, SourceText, render_diagnostics
from circuitlang.source.codes import WARNINGS
from circuitlang.source.text import MAX_BYTES
from circuitlang.syntax import format_source, parse
from circuitlang.syntax.grammar import keywords
from circuitlang.syntax.parser import MAX_TOKENS
from tests.front_end import ROOT, read, read_file

TEXT = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```circuit\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
COMPLETE = [block for block in BLOCKS if re.search(r"^model .*^metric ", block, re.M | re.S)]


def _section(title: str) -> str:
    return TEXT.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def test_there_are_examples() -> None:
    assert len(COMPLETE) >= 2
    assert len(BLOCKS) >= 9


@pytest.mark.parametrize("text", BLOCKS, ids=lambda text: text.split("\n", 1)[0][:30])
def test_every_example_parses_and_is_tidy(text: str) -> None:
    source = SourceText("example.circuit", text)
    _, errors = parse(source)
    assert errors == (), render_diagnostics(errors, source)
    assert format_source(source) == text


@pytest.mark.parametrize("text", COMPLETE, ids=lambda text: text.split("\n", 1)[0][:30])
def test_every_complete_example_is_right(text: str) -> None:
    source = SourceText("example.circuit", text)
    _, circuit, diagnostics = read(source, ROOT)
    assert circuit is not None, render_diagnostics(diagnostics, source)
    assert diagnostics == ()


def test_examples_of_patching_and_steering_are_right() -> None:
    """Each in the complete file, whose nodes they speak of."""
    of_parts = [text for text in BLOCKS if re.match(r"claims \{\n  (patch|steer)", text)]
    assert len(of_parts) == 2
    for text in of_parts:
        (own,) = re.findall(r"^claims \{\n.*?^\}\n", COMPLETE[0], re.M | re.S)
        whole = COMPLETE[0].replace(own, text)
        assert text in whole
        _, circuit, diagnostics = read(SourceText("example.circuit", whole))
        assert circuit is not None, diagnostics
        assert diagnostics == ()


def test_the_table_of_codes_is_the_programs() -> None:
    rows = re.findall(r"^\| (CL\d+) \| (.*) \| (\w+) \|$", _section("Diagnostics"), re.MULTILINE)
    assert rows == [
        (code, meaning, "warning" if code in WARNINGS else "error")
        for code, meaning in CODES.items()
    ]


def test_the_reserved_words_are_the_grammars() -> None:
    words = re.findall(r"`(\w+)`", _section("Reserved words").split("These cannot", 1)[0])
    assert sorted(words) == sorted(keywords())


def test_the_limits_are_the_programs() -> None:
    said = set(re.findall(r"[\d,]*\d", _section("Limits")))
    numbers = {value for name, value in vars(limits).items() if name.startswith("MAX_")}
    numbers -= {limits.MAX_OFFSET}
    assert MAX_BYTES == 1024**2
    assert {f"{number:,}" for number in {*numbers, MAX_TOKENS}} | {"1"} == said


def test_the_default_number_of_random_edges_is_the_programs() -> None:
    assert f"\n| `random edges {TestSettings().random_edges}` | this |" in _section("Sections")


def test_the_default_numbers_of_random_circuits_subsets_and_searches_are_the_programs() -> None:
    settings = TestSettings()
    for line in (
        f"random circuits {settings.random_circuits}",
        f"random subsets {settings.random_subsets}",
        f"greedy searches {settings.greedy_searches}",
    ):
        assert f"\n| `{line}` | this |" in _section("Sections")


def test_the_word_lists_are_named() -> None:
    assert all(f"`{name}`" in _section("Sections") for name in BUILTIN_WORDS)


def test_the_page_on_power_shows_what_plan_prints() -> None:
    page = (ROOT / "docs" / "power.md").read_text(encoding="utf-8")
    _, circuit, _ = read_file(ROOT / "circuits" / "builtin_ioi.circuit")
    assert circuit is not None
    assert "\n```text\n" + "\n".join(power_lines(circuit)) + "```\n" in page


@pytest.mark.parametrize("sample, verdict", [(12, "INCONCLUSIVE"), (240, "FAIL")])
def test_the_page_on_verdicts_shows_what_its_example_prints(
    sample: int, verdict: str, tmp_path: Path
) -> None:
    page = (ROOT / "docs" / "verdicts.md").read_text(encoding="utf-8")
    text = (ROOT / "circuits" / "false" / "builtin_ioi_null.circuit").read_text(encoding="utf-8")
    file = tmp_path / "a.circuit"
    file.write_text(re.sub("sample +12 ", f"sample {sample} ", text), encoding="utf-8")
    printed = CliRunner().invoke(app, ["run", str(file), "--quiet"]).stdout
    (shown,) = re.findall(rf"\n  . {verdict} .*?\]", page)
    (line,) = re.findall(rf"\n  . {verdict} .*?\]", printed)
    # The last digit may differ between processors.
    assert re.sub(r"\.\d+", "", shown).split() == re.sub(r"\.\d+", "", line).split()
    assert f"sample {sample}" in page


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s#]+)", page.read_text(encoding="utf-8")):
        assert link.startswith("http") or (page.parent / link).exists(), link
