"""The gallery: every file is checked, laid out and planned, and runs on a random model of its
shape, so that nothing but its numbers can be wrong. With a network, the real models are held
against what was published.
"""

import importlib.util
import json
import math
import os
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from circuitlang.circuit import Circuit
from circuitlang.evidence import load_evidence
from circuitlang.plan import check_design, compile_plan
from circuitlang.report import Report, SweepReport, Verdict
from circuitlang.source import load_source
from circuitlang.syntax import format_source
from tests.commands import called
from tests.front_end import ROOT, read_file
from tests.stand_ins import SHAPES, write_stand_in

CIRCUITS = ROOT / "circuits"
FILES = sorted(CIRCUITS.rglob("*.circuit"))
OWN = ("builtin_ioi", "smollm2_")
"""Files of this project's own hypotheses, which are run on their own models elsewhere."""
GALLERY = [path for path in sorted(CIRCUITS.glob("*.circuit")) if not path.name.startswith(OWN)]


def _name(path: Path) -> str:
    return str(path.relative_to(CIRCUITS))


def _circuit(path: Path) -> Circuit:
    _, circuit, diagnostics = read_file(path)
    assert circuit is not None, diagnostics
    return circuit


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_is_right_and_laid_out(path):
    source, circuit, diagnostics = read_file(path)
    assert circuit is not None
    # Models wired by hand have exact numbers under zero ablation, about which a warning is right.
    allowed = {"CL242"} if path.parent.name == "known" else set()
    assert {diagnostic.code for diagnostic in diagnostics} <= allowed
    assert format_source(source) == source.text


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_is_planned_and_can_reach_a_verdict(path):
    circuit = _circuit(path)
    plan = compile_plan(circuit)
    assert plan.experiments or circuit.claims
    assert len(plan.needs) == len(circuit.all_claims)
    assert not check_design(circuit)


@pytest.mark.parametrize("path", GALLERY, ids=_name)
def test_says_where_it_is_from_and_what_its_numbers_are(path):
    source, _ = load_source(path, path.name)
    head = source.text.split("\ncircuit ")[0]
    assert all(line.startswith("#") for line in head.splitlines())
    # A paper, and either published numbers with their provenance or that there are none.
    assert re.search(r"\b(19|20)\d\d\b|neelnanda-io/TransformerLens", head)
    assert re.search(r"\[(P|C|N|R|2|A|W)[],]", head)
    assert "{" + "}" not in head


def test_every_file_is_in_the_index():
    index = (CIRCUITS / "README.md").read_text(encoding="utf-8")
    told = set(re.findall(r"\]\(([\w/]+\.circuit)\)", index))
    assert told == {_name(path) for path in sorted(CIRCUITS.glob("*.circuit"))}


def test_data_is_what_the_script_writes():
    path = CIRCUITS / "data" / "write.py"
    specification = importlib.util.spec_from_file_location("write", path)
    write = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(write)
    found = {file.stem: file.read_text(encoding="utf-8") for file in path.parent.glob("*.jsonl")}
    assert found == {name: write.text(name) for name in write.FILES}


@pytest.mark.parametrize(
    ("name", "tokens"), [("ioi8", 15), ("pronouns", 10), ("acronyms", 11), ("docstring", 41)]
)
def test_pairs_differ_where_they_should(name, tokens):
    """In pieces as GPT-2 and GPT-NeoX cut text before they look into their vocabulary.

    Capitals of acronyms are split off their words, and from each other, by the vocabulary alone.
    """
    from tokenizers import pre_tokenizers

    def pieces(text: str) -> list[str]:
        bos = re.match(r"<\|\w+\|>", text)
        rest = text[bos.end() :] if bos else text
        found = [piece for piece, _ in cut.pre_tokenize_str(rest)]
        return [bos[0], *found] if bos else found

    cut = pre_tokenizers.ByteLevel(add_prefix_space=False)
    lines = (CIRCUITS / "data" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    for row in map(json.loads, lines):
        clean, corrupt = pieces(row["clean"]), pieces(row["corrupt"])
        if name == "acronyms":
            clean, corrupt = (
                [part for piece in world for part in re.findall(r"The|Ġ?[A-Z]|[^A-Z]+", piece)]
                for world in (clean, corrupt)
            )
            at = named(row)
            assert all(clean[at[place]][1:].isupper() for place in ("C1", "C2", "C3"))
            assert clean[-2:] == [clean[at[place]][1:] for place in ("C1", "C2")]
            assert clean[at["C3"]][1:] == row["answer"] not in corrupt[at["C3"]]
            differing = [i for i in range(tokens) if clean[i] != corrupt[i]]
            assert differing == [at["C3"], at["T3"]]
        assert len(clean) == len(corrupt) == tokens
        if name == "ioi8":
            assert [i for i in range(15) if clean[i] != corrupt[i]] == [row["S2@token"]]
            assert clean[row["S2@token"]] == "Ġ" + row["distractor"]
            assert corrupt[row["S2@token"]] == "Ġ" + row["answer"]
        elif name == "pronouns":
            assert clean[2:] == corrupt[2:]
            assert clean[row["NAME@token"]] not in ("Ġperson", corrupt[row["NAME@token"]])
        elif name == "docstring":
            at = named(row)
            assert clean[at["COMMA_B"] - 1 : at["COMMA_B"] + 1] == [clean[at["B_doc"]], ","]
            assert clean[at["A_def"]] == clean[at["A_doc"]] != corrupt[at["A_def"]]
            assert clean[at["B_def"]] == clean[at["B_doc"]] != corrupt[at["B_def"]]
            assert clean[at["C_def"]] == "Ġ" + row["answer"]
            # The wrong names are all other arguments, which stand between commas.
            names = [word for before, word in pairwise(clean) if before == ","]
            assert sorted(names) == sorted("Ġ" + name for name in [row["answer"], *row["wrong"]])
            assert corrupt[at["A_doc"]] not in corrupt[at["A_def"] : at["C_def"] + 1]
            assert "Ġ" + row["answer"] not in corrupt


def named(row: dict[str, Any]) -> dict[str, int]:
    """Positions of a data file's row."""
    return {key.removesuffix("@token"): row[key] for key in row if key.endswith("@token")}


def on_a_stand_in(path: Path, folder: Path) -> Path:
    """A copy of a file that runs on a random model of the right shape, on 12 prompts or a few more.

    So few prompts reach no verdict at the file's own level, so the copy's is loose; that is not
    what is tested here.
    """
    circuit = _circuit(path)
    text, replaced = re.subn(r"^model .*$", 'model "./model"', path.read_text("utf-8"), flags=re.M)
    assert replaced == 1
    sample = f"sample {max(12, 4 * len(circuit.prompts.templates))} seed 0"
    text, sampled = re.subn(r"^  sample .*$", f"  {sample}", text, flags=re.M)
    if not sampled and circuit.prompts.sample > 12:
        text = re.sub(r'^(  from +"[^"]+")$', rf"\1\n  {sample}", text, flags=re.M)
    kept = re.search(r"^test \{\n(.*?)^\}\n?", text, flags=re.M | re.S)
    rest = "".join(
        line + "\n"
        for line in (kept[1].splitlines() if kept else ())
        if not line.strip().startswith("significance")
    )
    text = text.replace(kept[0], "") if kept else text
    text += (
        f"test {{\n{rest}  significance 20% correction none\n"
        "  random edges 0\n  resamples 1000\n}\n"
    )
    for data in (CIRCUITS / "data").glob("*.jsonl"):
        copy = folder / "data" / data.name
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(data.read_bytes())
    copy = folder / path.name
    copy.write_text(text, encoding="utf-8")
    shape = SHAPES[circuit.model.name]
    write_stand_in(folder / "model", shape, _circuit(copy), path.stem == "acronyms")
    return copy


@pytest.mark.parametrize("path", GALLERY, ids=_name)
def test_runs_on_a_model_of_its_shape(path, tmp_path, capsys):
    copy, report = on_a_stand_in(path, tmp_path), tmp_path / "report.json"
    outcome = called(capsys, "run", copy, "--json", report, "--quiet")
    assert report.is_file(), outcome.out + outcome.err
    found = Report.model_validate_json(report.read_text(encoding="utf-8"))
    circuit = _circuit(path)
    assert len(found.claims) == len(circuit.all_claims)
    errors = {claim.text: claim.reason for claim in found.claims if claim.verdict is Verdict.ERROR}
    assert not errors
    failed = [check for check in found.self_checks if not check.passed]
    assert found.self_checks
    assert not failed
    assert len(found.sweeps) == len(circuit.sweeps)
    for sweep in found.sweeps:
        cells = math.prod(len(axis.labels) for axis in sweep.axes)
        assert len(sweep.values) == cells > 0
        assert all(isinstance(value, float) for value in sweep.values)
        if path in EXERCISES:
            # The published heatmaps have these very cells.
            assert np.shape(published("ioi8_activation_patching")[array_of(sweep)]) == tuple(
                len(axis.labels) for axis in sweep.axes
            )


NETWORK = os.environ.get("CIRCUITLANG_NETWORK") == "1"
on_the_real_model = [
    pytest.mark.network,
    pytest.mark.timeout(7200),
    pytest.mark.skipif(
        not NETWORK, reason="needs models of the Hugging Face hub: set CIRCUITLANG_NETWORK=1"
    ),
]
EXERCISES = [path for path in GALLERY if path.stem in ("ioi8_residual", "ioi8_heads", "ioi8_qkv")]
HUB = (
    "gpt2",
    "gpt2-medium",
    "EleutherAI/pythia-160m",
    "EleutherAI/pythia-2.8b-deduped",
    "NeelNanda/Attn_Only_2L512W_C4_Code",
    "NeelNanda/Attn_Only_4L512W_C4_Code",
)
"""The gallery's models that this version loads."""


def published(name: str) -> dict[str, Any]:
    """Numbers of others; tests/reference_values/README.md says whose."""
    path = ROOT / "tests" / "reference_values" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))


def array_of(sweep: SweepReport) -> str:
    """Which published array a sweep repeats."""
    by_position = [axis.name for axis in sweep.axes] == ["layer", "head", "position"]
    return sweep.kind + (" by position" if by_position else "")


def twenty_five_prompts(folder: Path, model: str, prompts: list[list[str]]) -> Path:
    """A circuit file over prompts of [text, IO, S], whose corrupt twins repeat the other name."""
    rows = []
    for text, io, subject in prompts:
        before, _, after = text.rpartition(f" {subject} ")
        corrupt = f"{before} {io} {after}"
        rows.append({"clean": text, "corrupt": corrupt, "answer": io, "distractor": subject})
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    path = folder / "ioi25.circuit"
    path.write_text(
        f'model "{model}"\nprompts {{\n  from "pairs.jsonl"\n}}\n'
        "metric logit_diff(answer, distractor)\n"
        "claims {\n  ablate L9.H9 >= 1% by resample\n}\n"
    )
    return path


def run_on_the_real_model(path: Path, folder: Path, capsys) -> Report:
    outcome = called(capsys, "run", path, "--json", folder / "report.json", "--quiet")
    assert (folder / "report.json").is_file(), outcome.out + outcome.err
    return Report.model_validate_json((folder / "report.json").read_text(encoding="utf-8"))


_EXERCISE = re.compile(
    r"  (?P<what>\w+) L(?P<layer>\d+)(?:\.H(?P<head>\d+))?(?:\.(?P<site>\w+))?"
    r"(?: at (?P<place>\w+))? .*# (?P<number>-?[\d.]+)(?P<percent>%?)$"
)


@pytest.mark.parametrize(
    "path",
    [path for path in GALLERY if path.name.startswith(("ioi8_", "induction_gpt2"))],
    ids=_name,
)
def test_numbers_beside_the_claims_are_the_published_ones(path):
    """And the published ones lie inside of the bounds."""
    truth = published("ioi8_activation_patching") | published("ioi8_head_readings")
    lines = [line for line in path.read_text("utf-8").splitlines() if re.match(r"  \w.* # ", line)]
    claims = {claim.text: claim for claim in _circuit(path).claims}
    assert len(lines) == len(claims) >= 8
    for line in lines:
        found = _EXERCISE.fullmatch(line)
        layer, head = int(found["layer"]), int(found["head"] or 0)
        token = {"S2": 10, "END": 14}.get(found["place"])
        if found["what"] != "patch":
            value = truth[found["what"]][layer][head]
        elif found["site"] in ("resid_pre", "attn_out", "mlp_out"):
            value = truth[found["site"]][layer][token]
        elif found["site"]:
            value = truth[found["site"].lower()][layer][head]
        else:
            value = truth["head_output by position"][layer][head][token]
        scale = 100 if found["percent"] else 1
        decimals = len(found["number"].partition(".")[2])
        assert float(found["number"]) == pytest.approx(scale * value, abs=0.51 * 10**-decimals)
        text = re.sub(r" +", " ", line.split(" # ")[0]).strip()
        bound = claims[text].bound
        assert bound.low is None or value >= bound.low
        assert bound.high is None or value <= bound.high


BASELINES = [path for path in GALLERY if "\n  baseline " in path.read_text("utf-8")]


@pytest.mark.parametrize("path", BASELINES, ids=_name)
def test_published_baselines_lie_inside_of_the_bounds(path):
    """And no narrower than what was published for other prompts of that form."""
    compared = 0
    claims = {claim.text: claim for claim in _circuit(path).claims}
    for line in path.read_text("utf-8").splitlines():
        if not re.match(r"  baseline .* # \[", line):
            continue
        written, told = line.split(" # ")
        bound = claims[re.sub(r" +", " ", written).strip()].bound
        for number, percent in re.findall(r"\] (-?[\d.]+)(%?)", told):
            value = float(number) / (100 if percent else 1)
            assert bound.low is None or value >= bound.low
            assert bound.high is None or value <= bound.high
            compared += 1
    assert compared > 0


class TestOnTheRealModel:
    """GPT-2 and others of the hub against what was published."""

    pytestmark = on_the_real_model

    @pytest.mark.parametrize("path", EXERCISES, ids=_name)
    def test_eight_prompts_give_the_published_heatmaps(self, path, tmp_path, capsys):
        report = run_on_the_real_model(path, tmp_path, capsys)
        truth = published("ioi8_activation_patching")
        assert report.baseline.clean == pytest.approx(truth["clean"], abs=1.5e-4)
        assert report.baseline.corrupt == pytest.approx(truth["corrupt"], abs=1.5e-4)
        compared = [sweep for sweep in report.sweeps if sweep.kind != "logit_lens"]
        assert compared
        for sweep in compared:
            expected = tuple(np.ravel(truth[array_of(sweep)]).tolist())
            assert sweep.values == pytest.approx(expected, abs=1e-4)
        # Published means of these very prompts lie well inside of the bounds.
        assert all(claim.verdict is not Verdict.FAIL for claim in report.claims)

    def test_twenty_five_prompts_have_the_published_logit_differences(self, tmp_path, capsys):
        truth = published("arena_ioi25")
        evidence = tmp_path / "evidence.json"
        path = twenty_five_prompts(tmp_path, "gpt2", truth["prompts"])
        called(capsys, "run", path, "--evidence", evidence, "--quiet")
        clean = load_evidence(evidence).clean
        assert np.mean(clean) == pytest.approx(truth["mean"], abs=1.5e-4)
        assert clean[:5] == pytest.approx(truth["first"], abs=1.5e-4)

    @pytest.mark.parametrize(
        ("file", "tolerance"),
        [
            # The demos fold value biases or do not, which moves a head's write by a constant.
            ("ioi8_direct", 0.3),
            # Other random tokens, and copies of 50 instead of 100.
            ("induction_gpt2", 0.15),
        ],
    )
    def test_heads_read_as_published(self, file, tolerance, tmp_path, capsys):
        report = run_on_the_real_model(CIRCUITS / f"{file}.circuit", tmp_path, capsys)
        truth, compared = published("ioi8_head_readings"), 0
        for claim in report.claims:
            found = re.match(r"(\w+) L(\d+)\.H(\d+)", claim.text)
            if not found or found[1] not in truth:
                continue
            value = truth[found[1]][int(found[2])][int(found[3])]
            assert claim.estimate.value == pytest.approx(value, abs=tolerance), claim.text
            compared += 1
        assert compared >= 4

    @pytest.mark.parametrize(
        "path", [path for path in GALLERY if _circuit(path).model.name in HUB], ids=_name
    )
    def test_every_claim_is_measured(self, path, tmp_path, capsys):
        report = run_on_the_real_model(path, tmp_path, capsys)
        assert all(claim.verdict is not Verdict.ERROR for claim in report.claims)
        assert all(check.passed for check in report.self_checks)
