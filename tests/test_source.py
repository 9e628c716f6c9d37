"""Places in a text, and how a mistake is shown."""

import pytest

from circuitlang.source import (
    Diagnostic,
    Severity,
    SourceText,
    Span,
    clip,
    did_you_mean,
    render_diagnostic,
    render_diagnostics,
    visible,
)


def _shown(text: str, start: int, end: int) -> list[str]:
    diagnostic = Diagnostic("CL201", Span(start, end), "message", "hint")
    return render_diagnostic(diagnostic, SourceText("f.circuit", text)).split("\n")


@pytest.mark.parametrize(
    "offset, place", [(0, (1, 1)), (1, (1, 2)), (2, (1, 3)), (3, (2, 1)), (4, (3, 1)), (6, (3, 3))]
)
def test_lines_and_columns_count_from_one(offset: int, place: tuple[int, int]) -> None:
    assert SourceText("f", "ab\n\nxy").line_column(offset) == place


def test_the_caret_stands_below_the_mistake() -> None:
    assert _shown("one\n  two three\n", 10, 15) == [
        "f.circuit:2:7: error[CL201]: message",
        " 2 |   two three",
        "   |       ^^^^^",
        "   = help: hint",
    ]


def test_the_caret_stands_below_the_mistake_after_tabs() -> None:
    assert _shown("\ta\tb", 3, 4)[1:3] == [" 1 | \ta\tb", "   | \t \t^"]


def test_a_span_over_several_lines_ends_with_the_line() -> None:
    assert _shown("one two\nthree\n", 4, 12)[2] == "   |     ^^^"


def test_a_mistake_at_the_end_of_the_file_is_shown() -> None:
    assert _shown("one\n", 4, 4)[:3] == ["f.circuit:2:1: error[CL201]: message", " 2 | ", "   | ^"]


def test_a_mistake_of_the_whole_file_shows_no_line() -> None:
    assert _shown("one\n", 0, 0) == ["f.circuit:1:1: error[CL201]: message", "   = help: hint"]


def test_a_long_line_is_shown_around_the_mistake() -> None:
    text = "a" * 5_000 + "HERE" + "b" * 5_000
    _, line, caret, _ = _shown(text, 5_000, 5_004)
    assert len(line) < 200
    assert line[caret.index("^") : caret.rindex("^") + 1] == "HERE"


def test_a_terminal_obeys_nothing_that_a_file_says() -> None:
    lines = _shown("a\x1b[31m\u202eb", 0, 9)
    assert "\x1b" not in "".join(lines)
    assert "\u202e" not in "".join(lines)
    assert visible("a\x1bb") == "a\ufffdb"


def test_diagnostics_stand_in_file_order_and_are_counted() -> None:
    source = SourceText("f.circuit", "one two three\n")
    late, early = Diagnostic("CL203", Span(8, 13), "b"), Diagnostic("CL201", Span(4, 7), "a")
    assert (late.severity, early.severity) == (Severity.WARNING, Severity.ERROR)
    blocks = render_diagnostics([late, early], source).split("\n\n")
    assert [block.split(": ")[0] for block in blocks] == [
        "f.circuit:1:5",
        "f.circuit:1:9",
        "f.circuit",
    ]
    assert blocks[-1] == "f.circuit: 1 error, 1 warning\n"
    assert render_diagnostics([], source) == ""


@pytest.mark.parametrize(
    "word, hint",
    [
        ("SHI", "did you mean `SIH`?"),
        ("sih", "did you mean `SIH`?"),
        ("zzz", "known: NMH, SIH"),
        ("S" * 1_000, "known: NMH, SIH"),
    ],
)
def test_did_you_mean(word: str, hint: str) -> None:
    assert did_you_mean(word, ["SIH", "NMH"]) == hint
    assert did_you_mean("zzz", []) == ""


def test_clip() -> None:
    assert clip("short") == "short"
    assert len(clip("long" * 1_000)) == 300
