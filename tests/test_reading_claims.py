"""Claims about what is read, from file to report: heads wired by hand, and made-up readings."""

import json
import math

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from circuitlang.circuit import Position, ReadingKind
from circuitlang.cli.main import app
from circuitlang.engine.loading import load_transformer
from circuitlang.engine.measurement import measure
from circuitlang.engine.tokens import align
from circuitlang.evidence import distrust, joined, load_evidence, on_prompts
from circuitlang.evidence.check_name import ReadingCheckName
from circuitlang.plan import check_design, compile_plan
from circuitlang.plan.readings import SEQUENCES
from circuitlang.report import ExitCode, Verdict, exit_code, render_terminal
from circuitlang.source import SourceText
from circuitlang.statistics.bounded import count_for, lower_limit, p_above, p_below, upper_limit
from circuitlang.verdict import judge
from known.wiring import CONTEXT, Wiring
from tests.front_end import circuit_of
from tests.sample_evidence import CHECKS, HOLDS, sample_evidence

LAWS = tuple(
    HOLDS.model_copy(update={"name": name, "tolerance": 1e-5}) for name in ReadingCheckName
)
TEXT = """
circuit small
model "gpt2"
prompts {{
  clean   "When {{IO}} and {{S}} met, {{S}} gave a ring to"
  clean   "When {{S}} and {{IO}} met, {{S}} gave a ring to"
  corrupt IO = fresh, S1 = fresh, S2 = fresh
  IO, S   from names
  sample  {sample} seed 0
}}
metric logit_diff(IO, S)
nodes {{
  NMH L9.H6, L9.H9 at END
}}
claims {{
  {claims}
}}
test {{
  resamples 2000
  {settings}
}}
"""


def judged(claims, values, *, sample=100, settings="", change=None, clean=None, checks=LAWS):
    """A report on made-up values, a column a claim (None: nothing was read)."""
    text = TEXT.format(claims="\n  ".join(claims), sample=sample, settings=settings)
    plan = compile_plan(circuit_of(text))
    of = dict(zip((need.readings[0] for need in plan.needs), values, strict=True))
    scores = {r.id for r in plan.readings if r.kind.of_sequences}
    columns = {name: tuple(column) for name, column in of.items() if column is not None}
    made = sample_evidence(plan, {}, clean=clean or [1.0] * sample, self_checks=(*CHECKS, *checks))
    made = made.model_copy(
        update={
            "readings": {name: c for name, c in columns.items() if name not in scores},
            "scores": {name: c for name, c in columns.items() if name in scores},
        }
    )
    made = change(made, plan) if change else made
    return judge(plan, made, SourceText("a.circuit", text))


def only(report):
    (claim,) = report.claims
    return claim


def spread(mean, sd=0.1, count=100, seed=0):
    values = np.random.default_rng(seed).normal(size=count)
    return (mean + sd * (values - values.mean()) / values.std()).tolist()


# ---------------------------------------------------------------- shares of a few


@pytest.mark.parametrize("count", [1, 5, 20, 100])
@pytest.mark.parametrize("limit", [0.05, 0.5, 0.9, 0.99])
def test_where_all_agree_the_bound_is_the_exact_binomial_test(count, limit):
    assert p_above(1.0, count, limit) == pytest.approx(stats.binom.sf(count - 1, count, limit))
    assert p_below(0.0, count, limit) == pytest.approx(stats.binom.cdf(0, count, limit))


@pytest.mark.parametrize("count", [4, 20, 60])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.97])
@pytest.mark.parametrize("level", [0.05, 0.005])
def test_the_bound_is_wrong_no_more_often_than_its_level(count, share, level):
    """By counting every outcome: the share itself is where wrong conclusions are most likely."""
    chance = stats.binom.pmf(np.arange(count + 1), count, share)
    above = [p_above(k / count, count, share) <= level for k in range(count + 1)]
    below = [p_below(k / count, count, share) <= level for k in range(count + 1)]
    assert chance[above].sum() <= level
    assert chance[below].sum() <= level
    inside = [
        lower_limit(k / count, count, level) <= share <= upper_limit(k / count, count, level)
        for k in range(count + 1)
    ]
    assert chance[inside].sum() >= 1 - 2 * level


def test_limits_are_where_the_test_turns():
    low = lower_limit(0.8, 50, 0.01)
    assert p_above(0.8, 50, low - 1e-6) < 0.01 <= p_above(0.8, 50, low + 1e-6)
    assert upper_limit(0.2, 50, 0.01) == pytest.approx(1 - low)
    needed = count_for(1.0, 0.9, 0.05)
    assert 0.9**needed <= 0.05 < 0.9 ** (needed - 1)
    assert count_for(0.9, 0.9, 0.05) is None


def test_a_few_prompts_that_all_agree_do_not_show_a_copy_score():
    few = only(judged(["copying NMH >= 90%"], [[1.0] * 20], sample=20))
    assert few.verdict is Verdict.INCONCLUSIVE
    assert few.p_pass == pytest.approx(0.9**20)
    assert few.estimate.value == 1
    assert few.estimate.interval.low == pytest.approx(0.05 ** (1 / 20), abs=1e-3)
    needed = math.ceil(math.log(0.05) / math.log(0.9))
    assert f"about {needed} prompts would decide it" in few.reason
    enough = only(judged(["copying NMH >= 90%"], [[1.0] * 100]))
    assert enough.verdict is Verdict.PASS
    assert enough.estimate.unit == "share"
    lost = only(judged(["copying NMH >= 90%"], [[0.5, 1.0] * 50]))
    assert lost.verdict is Verdict.FAIL


# ---------------------------------------------------------------- verdicts


def test_attention_is_a_mean_over_prompts():
    report = judged(["attention NMH END -> IO >= 0.5"], [spread(0.6)])
    claim = only(report)
    assert (claim.verdict, claim.kind, claim.bound) == (Verdict.PASS, "attention", ">= 50%")
    assert claim.estimate.value == pytest.approx(0.6)
    assert (claim.estimate.unit, claim.estimate.prompts) == ("share", 100)
    assert [stratum.prompts for stratum in claim.estimate.strata] == [50, 50]
    assert claim.experiments
    shown = render_terminal(report, width=100, verbose=True)
    assert "probability from END to IO on clean prompts, mean over heads" in " ".join(shown.split())
    assert "change" not in shown.split("Claims")[1].split("Self-checks")[0]
    assert only(judged(["attention NMH END -> IO <= 0.5"], [spread(0.6)])).verdict is Verdict.FAIL
    near = only(judged(["attention NMH END -> IO >= 0.5"], [spread(0.51)]))
    assert near.verdict is Verdict.INCONCLUSIVE


def test_a_direct_effect_is_a_share_of_the_clean_metric_or_in_logits():
    clean = spread(4.0, 1.0, seed=1)
    written = [0.25 * value for value in clean]
    share = only(judged(["direct_effect NMH >= 20%"], [written], clean=clean))
    assert share.verdict is Verdict.PASS
    assert share.estimate.unit == "fraction"
    assert share.estimate.value == pytest.approx(0.25)
    assert share.estimate.change == pytest.approx(1.0)
    assert share.definition.startswith("mean(direct_effect) / mean(clean); ")
    raw = only(judged(["direct_effect NMH in 0.5 logits..2 logits"], [written], clean=clean))
    assert raw.estimate.unit == "logits"
    assert raw.estimate.value == pytest.approx(1.0)
    none = only(judged(["direct_effect NMH >= 20%"], [written], clean=spread(0.0, 1.0)))
    assert none.verdict is Verdict.ERROR
    assert "nothing to divide by" in none.reason


def test_scores_are_judged_over_sequences():
    claims = ["induction NMH >= 0.4", "attention NMH END -> IO >= 0.5"]
    report = judged(claims, [spread(0.5, 0.02, SEQUENCES), spread(0.6)])
    score, attention = report.claims
    assert score.verdict is attention.verdict is Verdict.PASS
    assert (score.estimate.prompts, score.estimate.strata) == (SEQUENCES, ())
    assert "n = 20 sequences" in render_terminal(report, width=120)
    near = only(judged(claims[:1], [spread(0.41, 0.05, SEQUENCES)]))
    assert near.verdict is Verdict.INCONCLUSIVE
    assert "sequences would decide it" in near.reason


def test_claims_of_every_kind_share_one_family():
    claims = ["induction NMH >= 0.4", "attention NMH END -> IO >= 0.5", "copying NMH >= 50%"]
    values = [spread(0.5, 0.02, SEQUENCES), spread(0.6), [1.0] * 100]
    report = judged(claims, values)
    assert report.settings.family == 3
    assert [claim.verdict for claim in report.claims] == [Verdict.PASS] * 3
    assert min(claim.level for claim in report.claims) == pytest.approx(0.05 / 3)


@pytest.mark.parametrize("claim", ["attention NMH END -> IO >= 0.5", "induction NMH >= 0.4"])
def test_what_was_not_read_is_an_error(claim):
    count = 100 if claim.startswith("attention") else SEQUENCES

    def failed(made, plan):
        return made.model_copy(update={"errors": {plan.readings[0].id: "while reading: why"}})

    def incomplete(made, plan):
        return made.model_copy(update={"complete": False})

    assert only(judged([claim], [None], checks=())).verdict is Verdict.ERROR
    assert "before this was read" in only(judged([claim], [None], change=incomplete)).reason
    assert only(judged([claim], [None], change=failed)).reason == "while reading: why"
    for broken in ([None] * count, [0.5] * (count - 1) + [None], [0.5] * (count - 1) + [1e200]):
        assert only(judged([claim], [broken])).verdict is Verdict.ERROR
    assert only(judged(["induction NMH >= 0.4"], [[]])).verdict is Verdict.ERROR


SHARES = ["attention NMH END -> IO >= 0.5", "copying NMH >= 50%", "induction NMH >= 0.4"]
SHARES += ["previous_token NMH >= 0.4", "duplicate_token NMH <= 0.4"]


@pytest.mark.parametrize("claim", SHARES)
@pytest.mark.parametrize(
    "value, possible", [(5.0, False), (-0.5, False), (1.01, False), (1 + 1e-6, True), (-1e-6, True)]
)
def test_no_share_lies_beyond_0_and_1(claim, value, possible):
    count = 100 if claim.startswith(("attention", "copying")) else SEQUENCES
    found = only(judged([claim], [[*[0.7] * (count - 1), value]]))
    assert (found.verdict is not Verdict.ERROR) == possible
    assert possible or "no number between 0 and 1" in found.reason


def test_a_column_of_another_length_is_an_error():
    claim = only(judged(["attention NMH END -> IO >= 0.5"], [[0.6] * 99]))
    assert claim.verdict is Verdict.ERROR
    assert "99 readings for 100 prompts" in claim.reason


def test_pairs_that_are_skipped_are_not_read_either():
    clean = [-1.0] * 20 + [1.0] * 80
    values = [0.0] * 20 + spread(0.6, count=80)
    claims = ["attention NMH END -> IO >= 0.5"]
    kept = only(judged(claims, [values], clean=clean))
    left = only(judged(claims, [values], clean=clean, settings="pairs wrong skip"))
    assert kept.verdict is not Verdict.PASS
    assert (left.verdict, left.estimate.prompts) == (Verdict.PASS, 80)


@pytest.mark.parametrize("name", ReadingCheckName)
def test_evidence_with_readings_needs_their_checks(name):
    rest = tuple(check for check in LAWS if check.name != name)
    claim = only(judged(["attention NMH END -> IO >= 0.5"], [spread(0.6)], checks=rest))
    assert claim.verdict is Verdict.ERROR
    assert f"lacks a self-check, measure it again: {name}" in claim.reason


def test_stages_are_joined():
    def stages(made, plan):
        first, second = on_prompts(made, range(40)), on_prompts(made, range(40, 100))
        assert [len(c) for c in first.readings.values()] == [40]
        again = joined(first, second.model_copy(update={"scores": {}}))
        assert again.readings == made.readings
        assert again.scores == made.scores
        return again

    claims = ["attention NMH END -> IO >= 0.5", "induction NMH >= 0.4"]
    values = [spread(0.6), spread(0.5, 0.02, SEQUENCES)]
    whole, staged = judged(claims, values), judged(claims, values, change=stages)
    assert [c.estimate for c in whole.claims] == [c.estimate for c in staged.claims]


# ---------------------------------------------------------------- plans


def plan_of(*claims):
    return compile_plan(circuit_of(TEXT.format(claims="\n".join(claims), sample=100, settings="")))


def test_equal_readings_are_planned_once_and_cost_one_pass():
    plan = plan_of("attention NMH END -> IO >= 0.5", "copying NMH >= 90%", "direct_effect NMH")
    assert plan.forward_passes == 3
    assert [reading.kind for reading in plan.readings] == [
        ReadingKind.ATTENTION,
        ReadingKind.COPYING,
        ReadingKind.DIRECT_EFFECT,
    ]
    assert plan_of("induction NMH >= 0.4").forward_passes == 2
    assert not check_design(plan.circuit)


def test_the_names_that_the_metric_compares_are_copied_by_default():
    (reading,) = plan_of("copying NMH >= 90%").readings
    assert {*reading.positions} == {Position("IO"), Position("S", 1), Position("S", 2)}
    (reading,) = plan_of("copying NMH at IO >= 90%").readings
    assert reading.positions == (Position("IO"),)


# ---------------------------------------------------------------- heads wired by hand

CUES = tuple(f"cue{n}" for n in range(11))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """L0.H0 looks one token back, L0.H1 at its own kind, L1.H0 at what followed its own kind.

    L1.H1 is name mover: it copies what it attends to. L1.H2 writes the negative of that.
    """
    every = (*CUES, "<end>")
    spaces = {"cue": len(every), "previous": len(every), "token": CONTEXT}
    wiring = Wiring(every, spaces, layers=2)
    wiring.embed_list(every, "cue")
    for position in range(CONTEXT):
        wiring.mark_position(position, "token", position)
    wiring.read_out(every, "cue")
    back, same, induction = (wiring.head(name) for name in ("L0.H0", "L0.H1", "L1.H0"))
    back.look_back(1, CONTEXT, 40)
    back.value("cue")
    back.write("previous")
    same.query("cue", scale=40)
    same.key("cue")
    induction.query("cue", scale=40)
    induction.key("previous")
    for name, sign in (("L1.H1", 1.0), ("L1.H2", -1.0)):
        head = wiring.head(name)
        head.look_back(3, CONTEXT, 40)
        head.value("cue")
        head.write("cue", scale=sign)
    return wiring.write_folder(tmp_path_factory.mktemp("model") / "wired")


FILE = """circuit wired

model "{folder}" dtype float64

prompts {{
  clean   "{{A}} {{B}} {{C}} {{D}}"
  corrupt A = fresh
  A, B, C, D from {words}
  sample  60 seed 0
}}

metric logit_diff(A, B)

claims {{
  previous_token L0.H0 >= 0.95
  previous_token L0.H1 <= 0.3
  duplicate_token L0.H1 in 0.45..0.55
  induction L1.H0 >= 0.9
  induction L0.H0 <= 0.3
  attention L1.H1 END -> A >= 0.95
  attention L0.H0 END -> C >= 0.95
  attention L0.H1 END -> A <= 0.1
  copying L1.H1 >= 90%
  copying L1.H2 >= 90% by negative
  direct_effect L1.H1 in 0.95 logits..1.05 logits
  direct_effect L1.H2 in -1.05 logits..-0.95 logits
}}

test {{
  resamples 2000
  {test}
}}
"""


def command(*words):
    """A command in this process, which has loaded the libraries already."""
    return CliRunner().invoke(app, [*map(str, words)])


def written(tmp_path, folder, test=""):
    words = ", ".join(f'"{word}"' for word in CUES)
    path = tmp_path / "a.circuit"
    path.write_text(FILE.format(folder=folder, words=words, test=test))
    return path


def test_wired_heads_are_what_they_were_wired_to_be(tmp_path, folder):
    path = written(tmp_path, folder)
    printed, saved = tmp_path / "r.json", tmp_path / "e.json"
    run = command("run", "-q", path, "--json", printed, "--evidence", saved)
    report = json.loads(printed.read_text())
    values = [claim["estimate"]["value"] for claim in report["claims"]]
    assert run.exit_code == ExitCode.PASSED, run.output
    # A token that stood there before is seen twice. The first token of all has none before it and
    # offers itself instead, so that one query of eight finds two that follow its own kind.
    wanted = [1, 0, 1 / 2, 1 - 1 / 16, 0, 1, 1, 0, 1, 1, 1, -1]
    assert values == pytest.approx(wanted, abs=1e-3)
    evidence = load_evidence(saved)
    assert distrust(evidence) == ""
    assert all(len(column) == SEQUENCES for column in evidence.scores.values())
    assert "20 sequences of 2 x 8" in evidence.notes[-1]
    again = command("judge", path, saved)
    assert again.stdout.split("Claims")[1] == run.stdout.split("Claims")[1]
    other = path.read_text().replace("attention L0.H0 END -> C", "attention L0.H0 END -> B")
    path.write_text(other)
    lacking = command("judge", path, saved)
    assert lacking.exit_code == ExitCode.USAGE
    assert "it lacks 1 of 12 things that are read of the model" in " ".join(lacking.stderr.split())


def test_looks_read_random_tokens_once_and_prompts_as_they_come(tmp_path, folder):
    path = written(tmp_path, folder, "looks 2")
    # A claim that no look decides, so that both are made.
    path.write_text(path.read_text().replace("copying L1.H1 >= 90%", "copying L1.H1 >= 99%"))
    saved = tmp_path / "e.json"
    run = command("run", "-q", path, "--evidence", saved)
    assert run.exit_code == ExitCode.INCONCLUSIVE, run.output
    looks, whole = load_evidence(saved), measured(folder)
    assert looks.notes[-1] == "the run ended after look 2 of 2"
    assert looks.scores == whole.scores
    for name, column in whole.readings.items():
        assert looks.readings[name] == pytest.approx(column, abs=1e-12)


def measured(folder, **how):
    words = ", ".join(f'"{word}"' for word in CUES)
    circuit = circuit_of(FILE.format(folder=folder, words=words, test=""))
    model = load_transformer(circuit.model)
    aligned = align(circuit, model.tokenizer)
    return measure(compile_plan(circuit), model, aligned.pairs, aligned.tokens, **how)


def test_an_interrupted_run_judges_what_it_has(folder):
    def stop(done, total, what):
        if what == "readings":
            raise KeyboardInterrupt

    evidence = measured(folder, batch_size=30, progress=stop)
    assert not evidence.complete
    words = ", ".join(f'"{word}"' for word in CUES)
    text = FILE.format(folder=folder, words=words, test="")
    plan = compile_plan(circuit_of(text))
    report = judge(plan, evidence, SourceText("a.circuit", text))
    assert exit_code(report) is ExitCode.INTERRUPTED
    of_prompts = [claim for claim in report.claims if "_token" not in claim.kind]
    of_prompts = [claim for claim in of_prompts if claim.kind != "induction"]
    assert {claim.verdict for claim in of_prompts} == {Verdict.ERROR}
    assert {"the run ended before this was measured on 30 of 60 prompts"} == {
        claim.reason for claim in of_prompts
    }
    others = [claim.verdict for claim in report.claims if claim not in of_prompts]
    assert others == [Verdict.PASS] * 5


def test_plan_lists_what_is_read(tmp_path, folder):
    run = command("plan", written(tmp_path, folder))
    assert run.exit_code == 0, run.output
    assert "  readings" in run.stdout
    assert run.stdout.count("read on 20 sequences of random tokens (seed 0)") == 5
    assert run.stdout.count("read off the clean run") == 7
