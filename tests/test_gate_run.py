"""The gate on a model: pairs known to be doubtful before our engine has seen them.

The corruption writes one fixed place into every prompt, so pairs that have it already are the same
in both worlds; `park office` is two tokens, so pairs that have it are misaligned; and which pairs
are answered wrongly is told by the plain Hugging Face model.
"""

import json
import re
from pathlib import Path

import pytest
import torch

from circuitlang.circuit import PairRule, expand
from circuitlang.engine import load_transformer, measure
from circuitlang.engine.tokens import align
from circuitlang.evidence import Evidence, load_evidence
from circuitlang.plan import compile_plan
from circuitlang.source import SourceText
from circuitlang.verdict import judge
from tests.commands import Outcome, called
from tests.front_end import circuit_of
from tests.tiny_models import TEMPLATES, tiny_gpt2, vocabulary

SAMPLE = 72
RULES = {"wrong": "skip", "same": "skip", "misaligned": "skip"}


def text_of(folder: Path, **rules: str) -> str:
    lines = "\n".join(f"  pairs {kind} {rule}" for kind, rule in rules.items())
    return f"""circuit tiny
model "{folder}"
prompts {{
  clean   "{TEMPLATES[0]}"
  clean   "{TEMPLATES[1]}"
  corrupt PLACE = "store"
  IO, S   from names
  PLACE   from "store", "school", "park", "office", "house", "park office"
  OBJECT  from objects
  sample  {SAMPLE} seed 0
}}
metric logit_diff(IO, S)
edges {{
  L0.H1 ~> logits  in -900 logits..900 logits
  L0.H2 ~> L1.H0.Q in -900 logits..900 logits
}}
claims {{
  ablate L1.H3     in -900 logits..900 logits by resample
}}
test {{
  resamples    1000
  random edges 3
{lines}
}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gpt2(tmp_path_factory.mktemp("gate") / "gpt2", layers=2, d_model=16)


@pytest.fixture(scope="module")
def truth(folder: Path) -> dict[str, list[int]]:
    """Numbers of the pairs of every kind, without our engine."""
    from transformers import AutoModelForCausalLM

    model, ids = AutoModelForCausalLM.from_pretrained(folder).eval(), vocabulary()
    circuit = circuit_of(text_of(folder))
    found: dict[str, list[int]] = {"misaligned": [], "copies": [], "wrong": [], "same": []}
    seen = set()
    for number, pair in enumerate(expand(circuit.prompts, circuit.metric), 1):
        if "park office" in pair.clean.text:
            found["misaligned"].append(number)
            continue
        if pair in seen:
            found["copies"].append(number)
            continue
        seen.add(pair)
        if pair.clean.text == pair.corrupt.text:
            found["same"].append(number)
        words = re.findall(r"\w+|[^\w\s]", pair.clean.text)
        with torch.no_grad():
            logits = model(torch.tensor([[ids[word] for word in words]])).logits[0, -1]
        if logits[ids[pair.answer]] <= logits[ids[pair.distractor]]:
            found["wrong"].append(number)
    assert len(found["misaligned"]) > 4
    assert len(found["same"]) > 4
    assert 10 < len(found["wrong"]) < 50
    return found


@pytest.fixture(scope="module")
def measured(folder: Path):
    """A loaded model, and the evidence of the file that skips everything doubtful."""
    source = SourceText("test.circuit", text_of(folder, **RULES))
    plan = compile_plan(circuit_of(source.text))
    model = load_transformer(plan.circuit.model)
    aligned = align(plan.circuit, model.tokenizer)
    evidence = measure(plan, model, aligned.pairs, aligned.tokens, skipped=aligned.misaligned)
    return source, plan, model, aligned, evidence


def numbers(report) -> dict[str, list[int]]:
    return {
        kind: [pair.number for pair in getattr(report.pairs, kind).pairs]
        for kind in ("misaligned", "copies", "wrong", "same")
    }


def test_the_doubtful_pairs_are_the_known_ones(measured, truth):
    source, plan, _, _, evidence = measured
    report = judge(plan, evidence, source)
    assert numbers(report) == truth
    out = {n for kind in truth.values() for n in kind}
    assert (report.pairs.drawn, report.pairs.judged) == (SAMPLE, SAMPLE - len(out))
    assert {p.number for p in evidence.prompts} | {p.number for p in evidence.skipped} == {
        *range(1, SAMPLE + 1)
    }


def test_effects_are_those_of_a_file_with_the_other_prompts_alone(measured, truth, folder):
    """Measured again without the doubtful prompts, and judged without a rule."""
    source, plan, model, aligned, evidence = measured
    out = {n for kind in truth.values() for n in kind}
    both = zip(aligned.pairs, aligned.tokens, strict=True)
    pairs, tokens = zip(*[(p, t) for p, t in both if t.number not in out], strict=True)
    alone = compile_plan(circuit_of(text_of(folder)))
    assert alone.circuit.settings.pairs.wrong is PairRule.KEEP
    again = judge(alone, measure(alone, model, pairs, tokens), source)
    report = judge(plan, evidence, source)
    for one, other in zip(report.claims, again.claims, strict=True):
        assert one.verdict == other.verdict == "PASS"
        assert one.estimate.prompts == other.estimate.prompts == SAMPLE - len(out)
        for number in ("value", "change"):
            value = getattr(one.estimate, number)
            assert value == pytest.approx(getattr(other.estimate, number), abs=1e-5)
            assert value != 0
        for end in ("low", "high"):
            value = getattr(one.estimate.interval, end)
            assert value == pytest.approx(getattr(other.estimate.interval, end), abs=1e-4)
    everything = judge(alone, evidence.model_copy(update={"skipped": ()}), source)
    assert everything.claims[0].estimate.value != pytest.approx(
        report.claims[0].estimate.value, abs=1e-4
    ), "what is skipped makes a difference here"


def test_evidence_from_before_pairs_were_numbered_is_judged_the_same(folder, tmp_path):
    text = text_of(folder).replace(', "park office"', "")
    source = SourceText("test.circuit", text)
    plan = compile_plan(circuit_of(text))
    model = load_transformer(plan.circuit.model)
    aligned = align(plan.circuit, model.tokenizer)
    assert aligned.misaligned == ()
    evidence = measure(plan, model, aligned.pairs, aligned.tokens)
    data = json.loads(evidence.model_dump_json())
    del data["skipped"]
    for prompt in data["prompts"]:
        del prompt["number"]
    path = tmp_path / "old.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    old = load_evidence(path)
    assert old.prompts[0].number == 0
    assert judge(plan, old, source) == judge(plan, evidence, source)


# The command


@pytest.fixture
def here(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "gpt2").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(here: Path, **rules: str) -> Path:
    path = here / "a.circuit"
    path.write_text(text_of(Path("./gpt2"), **rules), encoding="utf-8")
    return path


def call(capsys, *arguments: object) -> Outcome:
    outcome = called(capsys, *arguments)
    assert "Traceback" not in outcome.err
    return outcome


def listed(found: list[int]) -> str:
    return "(" + ", ".join(map(str, found[:5])) + (", ...)" if found[5:] else ")")


def test_check_and_plan_tell_the_rules(here, capsys, truth):
    bad = truth["misaligned"]
    path = write(here)
    outcome = call(capsys, "check", "--tokens", path)
    count = f"{len(bad)} of {SAMPLE} pairs are misaligned {listed(bad)}"
    assert outcome.code == 2
    assert "error[CL310]" in outcome.err
    assert f"{count}; the rule is `pairs misaligned refuse`" in outcome.err
    assert outcome.out == ""
    refused = call(capsys, "run", "-q", path)
    assert (refused.code, refused.out) == (2, "")
    assert f"{count}; the rule is `pairs misaligned refuse`" in refused.err
    write(here, misaligned="skip")
    outcome = call(capsys, "check", "--tokens", path)
    assert outcome.code == 0
    assert f"{count}; the rule is `pairs misaligned skip`" in outcome.out
    plan = call(capsys, "plan", path)
    assert "pairs: wrong keep, same keep, misaligned skip" in plan.out


def test_screen_says_what_it_left_out(here, capsys, truth):
    bad = truth["misaligned"]
    path = write(here, misaligned="skip")
    outcome = call(capsys, "screen", "-q", "--top", 3, "--json", here / "s.json", path)
    assert outcome.code == 0
    report = json.loads((here / "s.json").read_text(encoding="utf-8"))
    assert report["prompts"] == SAMPLE - len(bad)
    assert any(f"{len(bad)} of {SAMPLE} pairs are misaligned" in note for note in report["notes"])
    words = " ".join(outcome.out.split())
    assert f"{len(bad)} of {SAMPLE} pairs are misaligned {listed(bad)}" in words


def test_rules_are_changed_and_judged_again_without_a_run(here, capsys, truth):
    path, saved, shown = write(here, misaligned="skip"), here / "e.json", here / "r.json"
    assert call(capsys, "run", "-q", "--evidence", saved, path).code == 0

    def judged(**rules: str):
        write(here, **rules)
        outcome = call(capsys, "judge", path, saved, "--json", shown)
        return outcome, json.loads(shown.read_text(encoding="utf-8"))

    outcome, report = judged(misaligned="skip")
    assert outcome.code == 0
    assert report["pairs"]["judged"] == SAMPLE - len(truth["misaligned"]) - len(truth["copies"])
    outcome, report = judged(misaligned="skip", wrong="skip")
    assert outcome.code == 0
    assert [p["number"] for p in report["pairs"]["wrong"]["pairs"]] == truth["wrong"]
    out = {*truth["misaligned"], *truth["copies"], *truth["wrong"]}
    assert report["pairs"]["judged"] == SAMPLE - len(out)
    assert f"n = {SAMPLE - len(out)} of {SAMPLE}" in outcome.out
    outcome, report = judged(misaligned="skip", same="refuse")
    assert outcome.code == 3
    assert {claim["verdict"] for claim in report["claims"]} == {"ERROR"}
    assert listed(truth["same"]) in report["claims"][0]["reason"]
    outcome, report = judged()
    assert outcome.code == 3
    assert "`pairs misaligned refuse`" in report["claims"][0]["reason"]


def dropped(data):
    del data["skipped"][0]


def renamed(data):
    data["skipped"][0]["clean"] += " "


def renumbered(data):
    data["skipped"][0]["number"] = 1 + data["skipped"][0]["number"]


def doubled(data):
    data["skipped"].append(data["skipped"][0])


def moved(data):
    data["prompts"][0]["template"] = 1


@pytest.mark.parametrize("change", [dropped, renamed, renumbered, doubled, moved])
def test_evidence_that_lost_a_pair_is_refused(here, capsys, measured, change):
    path, saved = write(here, **RULES), here / "e.json"
    evidence: Evidence = measured[-1]
    data = json.loads(evidence.model_dump_json())
    saved.write_text(json.dumps(data), encoding="utf-8")
    assert call(capsys, "judge", path, saved).code == 0
    change(data)
    saved.write_text(json.dumps(data), encoding="utf-8")
    outcome = call(capsys, "judge", path, saved)
    assert outcome.code == 2
    assert "it was measured on other prompts" in outcome.err
