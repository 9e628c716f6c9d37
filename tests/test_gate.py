"""The gate: which pairs are judged under which rule, and the account of all of them.

Columns are made up here, and what is expected is counted from them in plain Python.
"""

import json
import math
from random import Random

import numpy as np
import pytest

from circuitlang.circuit import TestSettings
from circuitlang.evidence import Evidence, Misalignment, SkippedPair
from circuitlang.plan import compile_plan
from circuitlang.report import ExitCode, Report, Verdict, exit_code, render_terminal
from circuitlang.report.json import render_json
from circuitlang.verdict import judge
from tests.front_end import circuit_of
from tests.sample_evidence import BROKEN, sample_evidence
from tests.test_judging import source_of

EDGES = "A ~> B.V in -900 logits..900 logits\n  C ~> logits in -900%..900%"
N = 100
KEEP = "pairs wrong keep\n  pairs same keep"
SKIP_WRONG = "pairs wrong skip"
SKIP_SAME = "pairs same skip"


def judged(
    clean, corrupt, patched, settings="", *, templates=None, change=None, **evidence
) -> Report:
    source = source_of(EDGES, settings=settings)
    plan = compile_plan(circuit_of(source.text))
    columns = {0: patched, 1: [2 * value for value in patched]}
    measured = sample_evidence(
        plan, columns, clean=clean, corrupt=corrupt, templates=templates, **evidence
    )
    return judge(plan, change(measured) if change else measured, source)


def columns(seed=0, count=N):
    """Metrics of which about one in eight is wrong, one in six the same in both worlds."""
    random = Random(seed)
    clean = [
        random.choice([-1, 0, *[4] * 14]) + random.random() * random.randint(0, 1)
        for _ in range(count)
    ]
    corrupt = [c if random.random() < 1 / 6 else random.random() for c in clean]
    patched = [c - random.random() for c in clean]
    return clean, corrupt, patched


def rows_where(clean, corrupt, *, wrong, same):
    """Numbers of the pairs that are left out, each kind by its own definition."""
    bad = {i + 1 for i, c in enumerate(clean) if c <= 0} if wrong else set()
    flat = {i + 1 for i, (c, k) in enumerate(zip(clean, corrupt, strict=True)) if c == k}
    return bad | flat if same else bad


def numbers(group):
    return {pair.number for pair in group.pairs}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("wrong", [False, True])
@pytest.mark.parametrize("same", [False, True])
def test_every_pair_is_accounted_for_and_the_rest_is_judged(seed, wrong, same):
    clean, corrupt, patched = columns(seed)
    settings = "\n  ".join([SKIP_WRONG] * wrong + [SKIP_SAME] * same)
    report = judged(clean, corrupt, patched, settings)
    pairs = report.pairs
    out = rows_where(clean, corrupt, wrong=wrong, same=same)
    assert pairs.wrong.count > 4
    assert pairs.same.count > 4
    assert numbers(pairs.wrong) == rows_where(clean, corrupt, wrong=True, same=False)
    assert numbers(pairs.same) == rows_where(clean, corrupt, wrong=False, same=True)
    assert (pairs.wrong.rule, pairs.same.rule) == (
        "skip" if wrong else "keep", "skip" if same else "keep",
    )  # fmt: skip
    assert (pairs.drawn, pairs.measured, pairs.judged) == (N, N, N - len(out))
    for group in (pairs.copies, pairs.misaligned, pairs.wrong, pairs.same):
        assert group.count == len(group.pairs)
    kept = [i for i in range(N) if i + 1 not in out]
    above = [clean[i] - patched[i] for i in kept]
    below = [clean[i] - corrupt[i] for i in kept]
    raw, share = (claim.estimate for claim in report.claims)
    assert raw.value == pytest.approx(math.fsum(above) / len(kept))
    twice = math.fsum(clean[i] - 2 * patched[i] for i in kept)
    assert share.value == pytest.approx(twice / math.fsum(below))
    assert raw.prompts == share.prompts == len(kept)
    base = report.baseline
    assert base.clean == pytest.approx(np.mean([clean[i] for i in kept]))
    assert base.prompts == len(kept)
    # How well the model does is told of all pairs: of those it gets right it is no news.
    assert (base.measured, base.preferred) == (N, pytest.approx(np.mean(np.array(clean) > 0)))
    drawn = {t.template: t.drawn for t in pairs.templates}
    left = {t.template: t.judged for t in pairs.templates}
    assert drawn == {1: 50, 2: 50}
    assert left == {k: sum(i % 2 == k - 1 for i in kept) for k in (1, 2)}
    assert all(
        {s.template: s.prompts for s in claim.estimate.strata} == left for claim in report.claims
    )


def test_skipping_gives_the_report_of_the_other_prompts_alone():
    clean, corrupt, patched = columns(1)
    report = judged(clean, corrupt, patched, f"{SKIP_WRONG}\n  {SKIP_SAME}")
    out = rows_where(clean, corrupt, wrong=True, same=True)
    kept = [i for i in range(N) if i + 1 not in out]
    alone = judged(
        *([column[i] for i in kept] for column in (clean, corrupt, patched)),
        templates=[i % 2 for i in kept],
    )
    for one, other in zip(report.claims, alone.claims, strict=True):
        assert one.model_dump(exclude={"place"}) == other.model_dump(exclude={"place"})
    assert alone.pairs.judged == report.pairs.judged == len(kept) < N


def test_the_defaults_keep_everything_and_are_the_documented_ones():
    assert str(TestSettings().pairs) == "wrong keep, same keep, misaligned refuse"
    clean, corrupt, patched = columns(2)
    default, said = (judged(clean, corrupt, patched, settings) for settings in ("", KEEP))
    assert default.claims[0].estimate == said.claims[0].estimate
    assert default.pairs == said.pairs
    assert default.pairs.judged == N
    assert default.settings.pairs == "wrong keep, same keep, misaligned refuse"


@pytest.mark.parametrize("clean, wrong", [(0.0, 1), (-0.0, 1), (-1e-12, 1), (1e-12, 0)])
def test_a_metric_of_zero_is_wrong(clean, wrong):
    report = judged([clean, *[1.0] * (N - 1)], None, [0.5] * N)
    assert report.pairs.wrong.count == wrong


@pytest.mark.parametrize("gap, same", [(0.0, 1), (0.9e-4, 1), (-0.9e-4, 1), (2e-4, 0), (-2e-4, 0)])
def test_no_difference_is_one_within_float_noise(gap, same):
    report = judged([1.0] * N, [1 - gap, *[0.0] * (N - 1)], [0.5] * N)
    assert report.pairs.same.count == same


def errors_of(report):
    assert {claim.verdict for claim in report.claims} == {Verdict.ERROR}
    assert exit_code(report) is ExitCode.NOT_RUN
    (reason,) = {claim.reason for claim in report.claims}
    return reason


@pytest.mark.parametrize("kind, words", [
    ("wrong", "answered wrongly"),
    ("same", "without a difference between clean and corrupt"),
])  # fmt: skip
def test_refused_pairs_stop_every_claim_and_are_named(kind, words):
    clean, corrupt = [1.0] * N, [0.0] * N
    settings = f"pairs {kind} refuse"
    report = judged(clean, corrupt, [0.5] * N, settings)
    assert {claim.verdict for claim in report.claims} == {Verdict.PASS}
    for i in (3, 8, 87):
        clean[i], corrupt[i] = (-1.0, 0.0) if kind == "wrong" else (1.0, 1.0)
    reason = errors_of(judged(clean, corrupt, [0.5] * N, settings))
    assert reason == (
        f"3 of 100 pairs are {words} (4, 9, 88), which the file refuses: `pairs {kind} refuse`"
    )


def test_refused_pairs_are_counted_among_those_measured():
    clean = [-1.0, *[1.0] * (N - 1)]
    settings = "pairs wrong refuse\n  pairs misaligned skip"
    report = judged(clean, None, [0.5] * N, settings, change=lambda e: misaligned(e, [1, 2]))
    assert errors_of(report).startswith("1 of 98 pairs is answered wrongly (1), which")


def misaligned(evidence: Evidence, rows) -> Evidence:
    """The evidence as if some pairs had not been measured, for they did not align."""
    left = [i for i in range(len(evidence.prompts)) if i not in rows]

    def pick(values):
        return tuple(values[i] for i in left)

    skipped = [
        SkippedPair(
            number=i + 1, reason=Misalignment.LENGTH,
            **evidence.prompts[i].model_dump(exclude={"number", "tokens"}),
        )
        for i in rows
    ]  # fmt: skip
    return evidence.model_copy(
        update={
            "prompts": tuple(
                evidence.prompts[i].model_copy(update={"number": i + 1}) for i in left
            ),
            "skipped": tuple(skipped),
            "clean": pick(evidence.clean),
            "corrupt": pick(evidence.corrupt),
            "answered": pick(evidence.answered),
            "patched": {name: pick(column) for name, column in evidence.patched.items()},
        }
    )


def test_misaligned_pairs_are_named_and_those_after_them_keep_their_numbers():
    clean = [1.0] * N
    clean[50] = -1.0
    rows = [16, 60]
    given = clean, [0.0] * N, [0.5] * N
    skip = "pairs misaligned skip"
    report = judged(*given, skip, change=lambda e: misaligned(e, rows))
    pairs = report.pairs
    assert (pairs.drawn, pairs.measured, pairs.judged) == (100, 98, 98)
    assert [p.number for p in pairs.misaligned.pairs] == [17, 61]
    assert [p.number for p in pairs.wrong.pairs] == [51]
    assert pairs.misaligned.pairs[0].reason == "the two prompts differ in length"
    assert pairs.misaligned.pairs[0].clean.startswith("Prompt 16 of Mary")
    reason = errors_of(judged(*given, change=lambda e: misaligned(e, rows)))
    assert reason.startswith("2 of 100 pairs are misaligned (17, 61), which the file refuses")


def test_a_value_that_is_not_finite_is_an_error_and_no_wrong_pair():
    def broken(row):
        def change(evidence):
            first = min(evidence.patched)
            column = list(evidence.patched[first])
            column[row] = None
            evidence = evidence.model_copy(
                update={"patched": {**evidence.patched, first: tuple(column)}}
            )
            return misaligned(evidence, [2])

        return change

    settings = f"{SKIP_WRONG}\n  {SKIP_SAME}\n  pairs misaligned skip"
    clean = [-1.0, *[1.0] * (N - 1)]
    report = judged(clean, None, [0.5] * N, settings, change=broken(40))
    (error,) = (c for c in report.claims if c.verdict is Verdict.ERROR)
    assert "no finite value on 1 of 98 prompts (prompt 41)" in error.reason
    for world in ("clean", "corrupt"):
        values = {"clean": clean, "corrupt": [0.0] * N}
        values[world] = [*values[world][:40], None, *values[world][41:]]
        report = judged(
            values["clean"], values["corrupt"], [0.5] * N, f"{SKIP_WRONG}\n  {SKIP_SAME}"
        )
        assert errors_of(report).startswith(f"the {world} run has no finite value on 1 of 99")
        assert (report.pairs.wrong.count, report.pairs.same.count) == (1, 0)


def test_a_template_needs_four_pairs_after_skipping():
    def left(count):
        """Of 50 pairs of template 2, all but a few are answered wrongly."""
        clean = [1.0 if i % 2 == 0 or i < 2 * count else -1.0 for i in range(N)]
        return judged(clean, [-2.0] * N, [0.5] * N, SKIP_WRONG)

    assert {claim.verdict for claim in left(4).claims} == {Verdict.PASS}
    for count in (3, 1, 0):
        reason = errors_of(left(count))
        assert reason == f"template 2 has {count} of 50 pairs left to judge, and 4 are needed"
    whole = judged([-1.0] * N, [-2.0] * N, [0.5] * N, SKIP_WRONG)
    assert errors_of(whole).startswith("template 1 has 0 of 50 pairs left")
    # A mean of no prompts is no number, and 0% of those that were measured is one.
    base = json.loads(render_json(whole))["baseline"]
    assert (base["prompts"], base["clean"], base["corrupt"]) == (0, None, None)
    assert (base["measured"], base["preferred"]) == (N, 0.0)
    text = render_terminal(whole, color=False)
    assert ": no pair left to take a mean of; higher is better" in text
    assert "= no number" in text
    assert "+0.00" not in text


def test_a_failed_self_check_is_told_before_refused_pairs():
    report = judged([-1.0] * N, None, [0.5] * N, "pairs wrong refuse", self_checks=[BROKEN])
    assert errors_of(report).startswith("self-check failed")


def test_a_column_of_another_length_does_not_undo_the_rules():
    def shortened(evidence):
        first = min(evidence.patched)
        column = evidence.patched[first][:-1]
        return evidence.model_copy(update={"patched": {**evidence.patched, first: column}})

    clean = [-1.0, *[1.0] * (N - 1)]
    report = judged(clean, None, [0.5] * N, SKIP_WRONG, change=shortened)
    (error,) = (c for c in report.claims if c.verdict is Verdict.ERROR)
    (other,) = (c for c in report.claims if c.verdict is not Verdict.ERROR)
    assert "99 values for 100 prompts" in error.reason
    assert other.estimate.prompts == 99
    broken = judged(
        clean, None, [0.5] * N,
        change=lambda e: e.model_copy(update={"answered": e.answered[1:]}),
    )  # fmt: skip
    assert errors_of(broken) == "the list of answers has 99 values for 100 prompts"


# Warnings


def warnings(wrong_rows, settings="", templates=None):
    clean = [-1.0 if i in wrong_rows else 1.0 for i in range(N)]
    return judged(clean, [-2.0] * N, [0.5] * N, settings, templates=templates).pairs.warnings


def test_templates_that_keep_unequal_shares_are_told():
    # Template 2 has the odd rows: five of its fifty are ten points.
    assert warnings({1, 3, 5, 7}, SKIP_WRONG) == ()
    (warning,) = warnings({1, 3, 5, 7, 9}, SKIP_WRONG)
    assert warning.startswith("template 2 keeps 45 of 50 pairs and template 1 keeps 50 of 50")
    assert warnings({1, 3, 5, 7, 9}) == ()
    assert warnings({0, 1, 2, 3, 4, 5, 6, 7, 9}, SKIP_WRONG) == ()


def test_many_doubtful_pairs_are_told():
    assert warnings(set(range(20))) == ()
    (kept,) = warnings(set(range(21)))
    assert kept.startswith("21 of 100 pairs are answered wrongly or without a difference")
    assert kept.endswith("the denominator of effects, mean(clean - corrupt), is doubtful")
    (skipped,) = warnings(set(range(21)), SKIP_WRONG)
    assert skipped.endswith("what is judged is the rest, not the task")


# In print


def printed(report, **options):
    return render_terminal(report, color=False, width=160, **options)


def line_of(text, name):
    return next(line.strip() for line in text.splitlines() if line.strip().startswith(f"{name} "))


def test_the_account_in_print():
    clean = [1.0] * N
    for row in (3, 8, 87):
        clean[row] = -1.0
    report = judged(
        clean, [-2.0] * N, [0.5] * N, "pairs misaligned skip",
        change=lambda e: misaligned(e, [16, 60]),
    )  # fmt: skip
    text = printed(report)
    assert line_of(text, "pairs") == (
        "pairs      100 drawn, 98 judged; skipped: 2 misaligned (17, 61); "
        "kept: 3 answered wrongly (4, 9, 88), 0 without a difference"
    )
    assert text.count("n = 98 of 100") == len(report.claims) == 2
    assert "97% of 98 clean prompts have a metric above 0" not in text  # 95 of 98
    assert "96.9% of 98 clean prompts have a metric above 0" in text
    assert "Prompt 16 of Mary" not in text
    verbose = printed(report, verbose=True)
    assert "17: the two prompts differ in length: Prompt 16 of Mary and John" in verbose
    assert "88: clean metric -1: Prompt 87 of Mary" in verbose


def test_whole_samples_and_long_lists_in_print():
    text = printed(judged([1.0] * N, None, [0.5] * N))
    assert line_of(text, "pairs") == (
        "pairs      100 drawn, 100 judged; kept: 0 answered wrongly, 0 without a difference"
    )
    assert text.count("n = 100  worst template") == 2
    clean = [-1.0 if i < 30 else 1.0 for i in range(N)]
    report = judged(clean, [-2.0] * N, [0.5] * N, f"{SKIP_WRONG}\n  pairs same refuse")
    text = printed(report)
    assert line_of(text, "pairs") == (
        "pairs      100 drawn, 70 judged; skipped: 30 answered wrongly (1, 2, 3, 4, 5, ...); "
        "refused: 0 without a difference"
    )
    assert line_of(text, "warning").startswith("warning    30 of 100 pairs")
    assert len(report.pairs.wrong.pairs) == 30
    assert "and 25 more, in the JSON report" in printed(report, verbose=True)


def test_a_report_without_an_account_is_printed():
    report = judged([1.0] * N, None, [0.5] * N).model_copy(update={"pairs": None})
    text = printed(report)
    assert "drawn" not in text
    assert text.count("n = 100  worst template") == 2
