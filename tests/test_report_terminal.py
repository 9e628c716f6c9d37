"""The report in a terminal: golden texts, every verdict, hostile text, every width."""

import re
from pathlib import Path

import pytest
from rich.cells import cell_len

from circuitlang.evidence import SelfCheck
from circuitlang.report import Interval, Part, RandomEdges, Report, Verdict, render_terminal
from circuitlang.report.numbers import (
    bound_limits,
    format_effect,
    format_interval,
    format_p,
    format_share,
)
from circuitlang.report.plain import ascii_only, plain
from circuitlang.report.scale import CELLS, UNICODE, Scale
from tests.sample_report import GOLDEN, failed_report, sample_report

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
HOSTILE = (
    "A [red]x[/x] :smiley: \x1b[31mRED\x1b[0m \x9b31m\x07\r\n\u202eback\u2066 [link=http://x]y"
)


def changed(report: Report, **update: object) -> Report:
    """A report with other fields."""
    return report.model_copy(update=update)


def first_claim(report: Report, **update: object) -> Report:
    """A report of one claim, the first one with other fields."""
    return changed(report, claims=(report.claims[0].model_copy(update=update),))


@pytest.mark.parametrize(
    ("name", "make", "options"),
    [
        ("plain", sample_report, {}),
        ("ascii", sample_report, {"ascii_only": True}),
        ("verbose", sample_report, {"ascii_only": True, "verbose": True}),
        ("failed_self_check", failed_report, {}),
        ("incomplete", lambda: changed(sample_report(), complete=False), {"width": 60}),
    ],
)
def test_printed_reports_are_the_golden_ones(name, make, options):
    golden = Path(GOLDEN / f"{name}.txt").read_text(encoding="utf-8")
    assert render_terminal(make(), color=False, **options) == golden


def test_every_verdict_stands_beside_its_claim():
    text = render_terminal(sample_report(), color=False)
    for claim in sample_report().claims:
        (line,) = (line for line in text.splitlines() if f" {claim.text} " in f"{line} ")
        assert line.split()[1] == claim.verdict
        assert f"{claim.place.file}:{claim.place.line}" in text
        if claim.verdict is not Verdict.PASS:
            assert claim.reason in " ".join(text.split())


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        (
            ["edge", "absence", "ablate"],
            "100% is mean(clean) - mean(corrupt) = +3.80 logits; inter",
        ),
        (["edge", "equivalent"], "+3.80 logits for edges and ablations; each other claim defines"),
        (["faithfulness", "minimal"], "What 100% is stands in each claim's definition (--verbose)"),
    ],
)
def test_what_100_percent_is_depends_on_the_kind_of_claim(kinds, said):
    report = sample_report()
    claims = tuple(report.claims[0].model_copy(update={"kind": kind}) for kind in kinds)
    text = " ".join(render_terminal(changed(report, claims=claims), color=False).split())
    assert said in text
    assert ("mean(clean) - mean(corrupt)" in text) == ("edge" in kinds)


def test_the_axis_of_a_scale_knows_no_negative_zero():
    assert Scale(-0.004, 1.0).axis().split() == ["0%", "100%"]
    assert Scale(-0.25, 1.256).axis().split() == ["-25%", "126%"]


def test_passing_reasons_are_printed_only_when_asked_for():
    reason = "The whole interval keeps to the bound >= 20%."
    assert reason not in render_terminal(sample_report(), color=False)
    assert reason in " ".join(render_terminal(sample_report(), color=False, verbose=True).split())


def test_escapes_appear_only_with_colour_and_change_no_word():
    coloured = render_terminal(sample_report(), color=True)
    bare = render_terminal(sample_report(), color=False)
    assert "\x1b" not in bare
    assert "\x1b[1;32m" in coloured
    without = [line.rstrip() for line in ESCAPE.sub("", coloured).splitlines()]
    assert without == bare.splitlines()


@pytest.mark.parametrize("variable", ["NO_COLOR", "FORCE_COLOR", "COLUMNS", "TERM", "LINES"])
def test_the_environment_changes_nothing(monkeypatch, variable):
    expected = [render_terminal(sample_report(), color=color) for color in (True, False)]
    monkeypatch.setenv(variable, "dumb" if variable == "TERM" else "40")
    assert [render_terminal(sample_report(), color=color) for color in (True, False)] == expected


def test_ascii_only_is_ascii():
    report = changed(sample_report(), title="注意 – ≥ “x”", notes=("é",))
    text = render_terminal(report, color=False, ascii_only=True, verbose=True)
    assert text.isascii()
    assert '\\u6ce8\\u610f - >= "x"' in text


def hostile_report(text: str) -> Report:
    """The sample with a text in every field that a file or a model can fill."""
    report = sample_report()
    claim = report.claims[6]
    strata = tuple(s.model_copy(update={"text": text}) for s in claim.estimate.strata)
    claim = claim.model_copy(
        update={"text": text, "reason": text, "definition": text, "also": text, "bound": text}
        | {"place": claim.place.model_copy(update={"file": text}), "experiments": (text,)}
        | {"estimate": claim.estimate.model_copy(update={"strata": strata})}
        | {"random_edges": RandomEdges(missing=text)}
    )
    fields = ("model", "architecture", "revision", "weights", "weights_sha256", "dtype", "device")
    return changed(
        report,
        claims=(claim,),
        circuit=text,
        title=text,
        file=text,
        notes=(text,),
        baseline=report.baseline.model_copy(
            update={"metric": text, "unit": text, "example": text, "example_tokens": (text, text)}
        ),
        provenance=report.provenance.model_copy(
            update={**dict.fromkeys(fields, text), "engine": text, "versions": {text: text}}
        ),
        settings=report.settings.model_copy(update={"ablation": text}),
        self_checks=(
            SelfCheck(name=text, passed=False, value=1.0, tolerance=0.5, unit=text, detail=text),
        ),
    )


@pytest.mark.parametrize("color", [True, False])
def test_hostile_text_is_printed_literally(color):
    text = render_terminal(hostile_report(HOSTILE), color=color, width=200, verbose=True)
    without = ESCAPE.sub("", text) if color else text
    assert not set(without) & {"\x1b", "\x9b", "\x07", "\r", "\u202e", "\u2066"}
    # What follows an escape character is left as plain letters.
    assert "A [red]x[/x] :smiley: [31mRED[0m 31m  back [link=http://x]y" in without


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("width", [40, 60, 73, 80, 91, 100, 200])
@pytest.mark.parametrize(
    "text", [HOSTILE, "x" * 500, "中文字符" * 60, "🙂 e\u0301" * 90, "", " ", "\x00"]
)
def test_no_line_is_wider_than_the_page(width, text, ascii_only):
    report = hostile_report(text)
    page = render_terminal(report, width=width, color=False, ascii_only=ascii_only, verbose=True)
    assert max(map(cell_len, page.splitlines())) <= width
    assert "exit code 1: a claim failed" in " ".join(page.split())


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_the_sample_fits_every_width(width):
    page = render_terminal(sample_report(), width=width, color=False, verbose=True)
    assert max(map(cell_len, page.splitlines())) <= width
    for claim in sample_report().claims:
        assert claim.verdict in page


@pytest.mark.parametrize(
    ("verdicts", "complete", "meaning"),
    [
        ((Verdict.PASS,), True, "exit code 0: every claim passed"),
        ((Verdict.PASS, Verdict.FAIL), True, "exit code 1: a claim failed"),
        ((Verdict.FAIL, Verdict.ERROR), True, "exit code 3: something could not be measured"),
        ((), True, "exit code 3: no claim was run"),
        (
            (Verdict.INCONCLUSIVE,),
            True,
            "exit code 4: nothing failed, but not every claim is decided",
        ),
        ((Verdict.PASS,), False, "exit code 130: the run was interrupted"),
        ((), False, "exit code 130: the run was interrupted"),
    ],
)
def test_the_last_line_tells_the_exit_code(verdicts, complete, meaning):
    report = sample_report()
    claims = tuple(report.claims[0].model_copy(update={"verdict": v}) for v in verdicts)
    text = render_terminal(changed(report, claims=claims, complete=complete), color=False)
    closing = " ".join(text[text.index("interval method") :].split())
    assert meaning in closing
    counts = ", ".join(f"{verdicts.count(v)} {v}" for v in Verdict)
    assert counts in closing


def test_an_interrupted_run_is_marked_at_both_ends():
    lines = render_terminal(changed(sample_report(), complete=False), color=False).splitlines()
    assert lines[0] == lines[-1]
    assert lines[0].startswith("INCOMPLETE: the run was interrupted")


def test_a_failed_self_check_stands_out():
    text = render_terminal(failed_report(), color=False)
    section = " ".join(text[text.index("Self-checks") : text.index("Notes")].split())
    name = "patching nothing equals the clean run"
    assert section.startswith(f"Self-checks FAILED {name} not finite tolerance 1e-05 logits")
    assert "not finite on prompt 4" in section
    assert section.count("ok ") == 3
    assert "11 ERROR" in text


UNASKED = ("sweep_pairs", "random_circuits", "random_subsets", "greedy_searches")


def test_every_setting_is_printed():
    text = render_terminal(sample_report(), color=False)
    section = text[text.index("Settings") :]
    values = sample_report().settings
    for name in type(values).model_fields:
        # What only sweeps or tests of the circuit need stands where it was asked for.
        needed = name not in UNASKED or getattr(values, name) > 0
        assert (f"\n  {name.replace('_', ' ')} " in section) == needed
    # A default is printed, too: one look is how most files are judged.
    assert ["looks", "1"] in [line.split() for line in section.splitlines()]
    values = values.model_copy(update=dict.fromkeys(UNASKED, 10))
    text = render_terminal(sample_report().model_copy(update={"settings": values}), color=False)
    for name in UNASKED:
        assert f"\n  {name.replace('_', ' ')} " in text


def test_parts_of_a_circuit_level_test_have_units_of_their_own():
    interval = Interval(low=0.9, high=1.0, level=0.95)
    parts = tuple(
        Part(name=name, value=value, unit=unit, interval=interval, p_pass=0.01, p_fail=0.99)
        for name, value, unit in (("L2.H0", 0.97, "share"), ("rest", 0.123, "dCor"))
    )
    estimate = sample_report().claims[0].estimate.model_copy(update={"unit": "share"})
    report = first_claim(sample_report(), kind="minimal", parts=parts, estimate=estimate)
    text = render_terminal(report, color=False, verbose=True)
    assert "97.0% [90.0%, 100.0%], p pass 0.01, fail 0.99: L2.H0" in text
    assert "0.12 dCor [0.90, 1.00], p pass 0.01, fail 0.99: rest" in text
    assert "L2.H0" not in render_terminal(report, color=False)


def test_effects_in_logits_have_their_unit_and_no_line_on_the_scale():
    estimate = sample_report().claims[0].estimate
    interval = Interval(low=0.31, high=0.71, level=0.95)
    logits = estimate.model_copy(update={"value": 0.51, "unit": "logits", "interval": interval})
    text = render_terminal(first_claim(sample_report(), estimate=logits), color=False)
    assert "+0.51 logits  [+0.31, +0.71]\n" in text


def test_numbers():
    assert format_effect(0.234, "fraction") == "+23.4%"
    assert format_effect(-0.00001, "fraction") == "+0.0%"
    assert format_effect(-0.514, "logits") == "-0.51 logits"
    assert format_interval(-0.021, 0.3, "fraction") == "[-2.1%, +30.0%]"
    assert [format_share(x) for x in (1.0, 0.9999, 0.995, 0.0001, 0.0)] == [
        "100%",
        "> 99.9%",
        "99.5%",
        "< 0.1%",
        "0%",
    ]
    assert [format_p(p) for p in (None, 0.00005, 0.0123)] == ["-", "< 0.0001", "0.012"]


@pytest.mark.parametrize(
    ("bound", "limits"),
    [
        (">= 20%", (0.2, float("inf"))),
        ("<= -20%", (float("-inf"), -0.2)),
        ("in 10%..30%", (0.1, 0.3)),
        ("in -0.5 logits..1.5 logits", (-0.5, 1.5)),
        ("within 2%", (-0.02, 0.02)),
        (">= 1e-05%", (1e-07, float("inf"))),
        (">= 1% (the smallest effect of interest)", (0.01, float("inf"))),
        ("in 10%", None),
        (">= --%", None),
        ("about a third", None),
        ("", None),
    ],
)
def test_bounds_are_read_back_from_their_print(bound, limits):
    assert bound_limits(bound) == pytest.approx(limits) if limits else bound_limits(bound) is None


def test_the_scale_puts_signs_where_the_numbers_are():
    claims = sample_report().claims
    scale = Scale(0.0, 0.95)  # 5% a cell
    line = scale.draw(claims[3], UNICODE)  # +44.2% [38.1%, 50.3%] against >= 15%
    assert len(line) == CELLS
    assert line == "│··[····━●━·········"
    assert scale.draw(claims[-1], UNICODE) == ""
    assert Scale.over(claims[-1:]) is None
    assert Scale.over(claims) == Scale(-0.373, 0.917)


def test_plain_text_keeps_letters_and_drops_what_acts():
    assert plain(" a\tb\nc\x00\ud800\ufffe\u200bd ") == "a b cd"
    assert plain("naïve 中文 🙂") == "naïve 中文 🙂"
    assert ascii_only("≥ 中") == ">= \\u4e2d"
