"""`sweep` and the logit lens, from the file to the report, against TransformerLens's own sweeps."""

import itertools
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformer_lens import patching

from circuitlang.circuit import AT_END, TOKEN, Correction, ModelReference, Position, SweepKind
from circuitlang.engine import load_transformer, measure
from circuitlang.engine.choice import EngineName
from circuitlang.engine.layout import layout_of, with_layout
from circuitlang.engine.tokens import tokenize
from circuitlang.models import ModelShape
from circuitlang.plan import ReadStream, compile_plan, with_sweeps
from circuitlang.plan.cost import position_probe
from circuitlang.report import ExitCode, Report, exit_code, render_json, render_terminal
from circuitlang.report.heatmap import MOST_ROWS, as_rows
from circuitlang.source import SourceText
from circuitlang.statistics.bootstrap import Resampler
from circuitlang.verdict import is_over, judge
from circuitlang.verdict.whole import Family, doubt
from tests.commands import called
from tests.front_end import GOLDEN, circuit_of
from tests.sample_report import sample_report
from tests.tiny_models import TEMPLATES, tiny_gpt2, tiny_llama

HEAD = """model "{folder}" dtype float64

prompts {{
  clean   "{template}"
  corrupt IO = fresh, S1 = fresh, S2 = fresh
  IO, S   from names
  PLACE   from places
  OBJECT  from objects
  sample  {sample} seed 0
}}

metric logit_diff(IO, S)

nodes {{
  N  L0.H1  at S1+1
}}
"""
THEIRS = {
    "sweep resid_pre": patching.get_act_patch_resid_pre,
    "sweep resid_mid": patching.get_act_patch_resid_mid,
    "sweep attn_out": patching.get_act_patch_attn_out,
    "sweep mlp_out": patching.get_act_patch_mlp_out,
    "sweep head_output": patching.get_act_patch_attn_head_out_all_pos,
    "sweep q": patching.get_act_patch_attn_head_q_all_pos,
    "sweep k": patching.get_act_patch_attn_head_k_all_pos,
    "sweep v": patching.get_act_patch_attn_head_v_all_pos,
    "sweep pattern": patching.get_act_patch_attn_head_pattern_all_pos,
    "sweep head_output by position": patching.get_act_patch_attn_head_out_by_pos,
    "sweep k by position": patching.get_act_patch_attn_head_k_by_pos,
    "sweep pattern by position": patching.get_act_patch_attn_head_pattern_by_pos,
}
SLOW = ("sweep head_output by position", "sweep pattern by position")
MORE = ("sweep resid_post", "sweep logit_lens", "sweep logit_lens by position")


def text_of(folder, lines, *, sample=6, template=TEMPLATES[0], test=""):
    claims = "".join(f"  {line}\n" for line in lines)
    head = HEAD.format(folder=folder, template=template, sample=sample)
    return f"{head}\nclaims {{\n{claims}}}\n\ntest {{\n  random edges 0\n{test}}}\n"


class Swept:
    """A file with sweeps, measured and judged."""

    def __init__(self, text, model=None, engine=EngineName.FAST):
        circuit = circuit_of(text)
        self.model = model or load_transformer(circuit.model)
        circuit = circuit_of_shape(text, self.model)
        self.pairs, self.tokens, problems = tokenize(circuit, self.model.tokenizer)
        assert not problems
        self.plan = with_sweeps(compile_plan(with_layout(circuit, self.pairs, self.tokens)))
        self.evidence = measure(self.plan, self.model, self.pairs, self.tokens, engine=engine)
        assert not self.evidence.errors
        assert [c.name for c in self.evidence.self_checks if not c.passed] == []
        self.report = judge(self.plan, self.evidence, SourceText("test.circuit", text))

    def table(self, text):
        """A sweep's values in the shape of its axes."""
        (found,) = [sweep for sweep in self.report.sweeps if sweep.text == text]
        shape = [len(axis.labels) for axis in found.axes]
        return np.array(found.values, dtype=float).reshape(shape)

    def ids(self, corrupt=False):
        return torch.tensor([t.corrupt if corrupt else t.clean for t in self.tokens])

    def metric(self, logits):
        """The mean metric of logits ``[prompt, vocab]``."""
        words = [[one[0] for one in tokens.target.tokens] for tokens in self.tokens]
        found = logits.gather(1, torch.tensor(words))
        return (found[:, 0] - found[:, 1]).mean()


def circuit_of_shape(text, model):
    circuit = circuit_of(text)
    return replace(circuit, shape=model.transformer.shape)


@pytest.fixture(scope="module", params=[tiny_gpt2, tiny_llama], ids=["gpt2", "llama-gqa"])
def swept(request, tmp_path_factory):
    folder = request.param(tmp_path_factory.mktemp("swept") / "model", layers=2)
    lines = [f"{line} by denoising" for line in THEIRS]
    lines += ["sweep head_output", "sweep resid_post by denoising", *MORE[1:]]
    return Swept(text_of(folder, lines, sample=4))


@pytest.mark.parametrize("text", THEIRS)
def test_denoising_sweeps_are_transformer_lens_own(swept, text):
    """Their tables are ``[layer, position]``, ``[layer, head]``, ``[layer, position, head]``, and
    ``[layer, head, position]`` of patterns; ours have heads before positions."""
    if swept.model.transformer.shape.heads > 4 and text in SLOW:
        pytest.skip("nine heads take long, and four show the same")
    bridge = swept.model.transformer.bridge
    _, clean = bridge.run_with_cache(swept.ids())
    with torch.no_grad():
        found = THEIRS[text](
            bridge, swept.ids(corrupt=True), clean, lambda logits: swept.metric(logits[:, -1])
        )
    theirs = np.array(found.tolist())
    if text.endswith("by position") and "pattern" not in text:
        theirs = theirs.swapaxes(1, 2)
    base = swept.report.baseline
    shares = (theirs - base.corrupt) / (base.clean - base.corrupt)
    ours = swept.table(f"{text} by denoising")
    assert ours.shape == shares.shape
    # Their table is float32, whatever the model is.
    assert np.abs(ours - shares).max() < 1e-5
    assert np.abs(ours).max() > 0.05


def test_a_noising_sweep_is_theirs_with_the_worlds_exchanged(swept):
    bridge = swept.model.transformer.bridge
    _, corrupt = bridge.run_with_cache(swept.ids(corrupt=True))
    with torch.no_grad():
        found = patching.get_act_patch_attn_head_out_all_pos(
            bridge, swept.ids(), corrupt, lambda logits: swept.metric(logits[:, -1])
        )
    base = swept.report.baseline
    shares = (base.clean - np.array(found.tolist())) / (base.clean - base.corrupt)
    assert np.abs(swept.table("sweep head_output") - shares).max() < 1e-5


def test_the_stream_after_a_layer_is_the_one_before_the_next(swept):
    before, after = (
        swept.table(f"sweep {kind} by denoising") for kind in ("resid_pre", "resid_post")
    )
    assert np.abs(after[:-1] - before[1:]).max() < 1e-6
    # After the last layer only END is read, and there it is everything.
    assert after[-1] == pytest.approx([0] * (after.shape[1] - 1) + [1], abs=1e-6)


def test_the_logit_lens_reads_transformer_lens_accumulated_stream(swept):
    bridge = swept.model.transformer.bridge
    _, cache = bridge.run_with_cache(swept.ids())
    with torch.no_grad():
        stack = cache.accumulated_resid(layer=None, incl_mid=False)
        logits = bridge.unembed(bridge.ln_final(stack.flatten(0, 1))).unflatten(0, stack.shape[:2])
    theirs = [
        [float(swept.metric(layer[:, p])) for p in range(logits.shape[2])] for layer in logits
    ]
    ours = swept.table("sweep logit_lens by position")
    assert ours.shape == (3, logits.shape[2])
    assert np.abs(ours - np.array(theirs)).max() < 1e-5
    at_end = swept.table("sweep logit_lens")
    assert at_end == pytest.approx(ours[:, -1], abs=1e-12)
    assert at_end[-1] == pytest.approx(swept.report.baseline.clean, abs=1e-6)


def test_a_sweep_has_q_values_and_the_lens_none(swept):
    for sweep in swept.report.sweeps:
        cells = len(sweep.values)
        assert cells == np.prod([len(axis.labels) for axis in sweep.axes])
        assert None not in sweep.values
        lens = sweep.kind == "logit_lens"
        assert (sweep.unit, len(sweep.q)) == (("logits", 0) if lens else ("fraction", cells))
        assert lens or all(0 < q <= 1 for q in sweep.q)
    assert len({sweep.text for sweep in swept.report.sweeps}) == len(swept.plan.circuit.sweeps)


def test_a_file_of_sweeps_alone_is_shown_and_never_passes(swept):
    assert swept.report.claims == ()
    assert exit_code(swept.report) is ExitCode.INCONCLUSIVE
    assert not is_over(swept.report)
    assert Report.model_validate_json(render_json(swept.report)) == swept.report
    broken = swept.evidence.self_checks[0].model_copy(update={"passed": False})
    evidence = swept.evidence.model_copy(update={"self_checks": (broken,)})
    failed = judge(swept.plan, evidence, SourceText("test.circuit", ""))
    assert all(sweep.missing.startswith("self-check failed") for sweep in failed.sweeps)
    assert {value for sweep in failed.sweeps for value in (*sweep.values, *sweep.q)} == set()
    assert exit_code(failed) is ExitCode.NOT_RUN


@pytest.fixture(scope="module")
def claimed(tmp_path_factory):
    """A sweep and two claims in %, measured on eight pairs."""
    folder = tiny_gpt2(tmp_path_factory.mktemp("claimed") / "model", layers=1)
    lines = ["sweep head_output", "sweep logit_lens", "patch L0.H1 >= 1%", "patch L0.H2 >= 1%"]
    return Swept(text_of(folder, lines, sample=8))


@pytest.mark.parametrize("middle", [-3.0, -0.4, -1e-6, 0.0, 0.2, 0.6, 0.9, 1.0, 1.4, 2.0, 5.0])
@pytest.mark.parametrize("test", ["", "  significance 5% correction none\n"])
def test_a_whole_that_claims_refuse_is_told_under_a_sweep(claimed, middle, test):
    """By the claims' own criterion: one file, the same differences of clean and corrupt."""
    spread = np.array([-1.9, -1.1, -0.6, -0.2, 0.3, 0.7, 1.2, 1.6])
    corrupt = np.array(claimed.evidence.corrupt)
    evidence = claimed.evidence.model_copy(update={"clean": tuple(corrupt + middle + spread)})
    plan = claimed.plan
    if test:
        settings = replace(plan.circuit.settings, correction=Correction.NONE)
        plan = replace(plan, circuit=replace(plan.circuit, settings=settings))
    report = judge(plan, evidence, SourceText("test.circuit", ""))
    sweep, lens = report.sweeps
    refused = ["nothing to divide by" in claim.reason for claim in report.claims]
    assert set(refused) == {bool(sweep.warning) or sweep.unit != "fraction"}
    assert refused == [middle < (0.95 if test else 1.2)] * 2
    assert ("below zero" in sweep.warning) == (sweep.whole < 0 and sweep.unit == "fraction")
    assert (lens.warning, len(sweep.values)) == ("", 4)
    shown = section(render_terminal(report, color=False))
    assert ("note  mean(clean - corrupt)" in shown) == bool(sweep.warning)


def test_one_pair_is_enough_for_sweeps_alone(tmp_path, capsys):
    """A demonstration on one prompt, as textbooks have it: nothing is judged, so nothing lacks."""
    file, saved, evidence = (tmp_path / name for name in ("a.circuit", "a.json", "e.json"))
    folder = tiny_gpt2(tmp_path / "model", layers=1)
    text = text_of(folder, ["sweep head_output by denoising", "sweep logit_lens"], sample=1)
    file.write_text(text, encoding="utf-8")
    assert called(capsys, "check", file).code == ExitCode.PASSED
    planned = called(capsys, "plan", file)
    assert planned.code == ExitCode.PASSED
    assert "power" not in planned.out
    ran = called(capsys, "run", file, "--quiet", "--json", saved, "--evidence", evidence)
    assert ran.code == ExitCode.INCONCLUSIVE
    shown = section(ran.out)
    assert " ".join(shown.split()).count(" n = 1 mean") == 2
    told = doubt(np.array([2.0]), 1e-4, "logits", Resampler((0,), 1000, 0), Family(0.05, 1))
    assert told.startswith("a template has a single pair, so nothing tells")
    assert " q " not in shown.split("note")[0]
    sweep, lens = json.loads(saved.read_text())["sweeps"]
    assert set(sweep["q"]) == {None}
    # Everything at once is the clean run: the shares are of one pair's own difference.
    assert sweep["whole"] == json.loads(saved.read_text())["baseline"]["clean"] - (
        json.loads(saved.read_text())["baseline"]["corrupt"]
    )
    assert all(value is not None for value in (*sweep["values"], *lens["values"]))
    assert called(capsys, "judge", file, evidence).out == ran.out
    # A claim is judged, which takes more.
    file.write_text(text.replace("claims {", "claims {\n  ablate N"), encoding="utf-8")
    assert "CL229" in called(capsys, "check", file).err


def test_few_pairs_of_many_templates_and_a_data_file_of_one_row(tmp_path, capsys):
    folder = tiny_gpt2(tmp_path / "model", layers=1)
    text = text_of(folder, ["sweep resid_pre by denoising"], sample=2)
    several = text.replace("  corrupt IO", f'  clean   "{TEMPLATES[2]}"\n  corrupt IO', 1)
    row = {"clean": "When Mary and John went to the store, John gave a ring to"}
    row |= {"corrupt": "When Mary and Peter went to the store, John gave a ring to"}
    row |= {"answer": "Mary", "distractor": "John"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    rows = re.sub(r"prompts \{.*?\n\}", 'prompts {\n  from "rows.jsonl"\n}', text, flags=re.S)
    rows = re.sub(r"nodes \{.*?\n\}\n", "", rows, flags=re.S)
    rows = rows.replace("IO, S", "answer, distractor")
    for written, pairs in ((several, 2), (rows, 1)):
        (tmp_path / "a.circuit").write_text(written, encoding="utf-8")
        ran = called(capsys, "run", tmp_path / "a.circuit", "--quiet")
        assert ran.code == ExitCode.INCONCLUSIVE, ran.err
        assert f" n = {pairs} mean" in " ".join(section(ran.out).split())


def test_looks_need_something_to_decide(tmp_path, capsys):
    folder = tiny_gpt2(tmp_path / "model", layers=1)
    file = tmp_path / "a.circuit"
    file.write_text(text_of(folder, ["sweep q"], sample=40, test="  looks 2\n"), encoding="utf-8")
    assert "there is none" in called(capsys, "check", file).err


def test_tokens_are_told_where_the_prompts_are_laid_out_alike(swept):
    layout = layout_of(swept.pairs, swept.tokens)
    assert layout[:4] == ("When", "{IO}", "and", "{S1}")
    assert layout == swept.evidence.layout
    (axis,) = [a for a in swept.report.sweeps[0].axes if a.name == "position"]
    assert axis.labels[:2] == ("0 When", "1 {IO}")


def test_named_positions_stand_in_where_layouts_differ(tmp_path):
    folder = tiny_gpt2(tmp_path / "model", layers=1)
    text = text_of(folder, ["sweep resid_pre"], sample=8)
    text = text.replace("  corrupt IO", f'  clean   "{TEMPLATES[2]}"\n  corrupt IO', 1)
    swept = Swept(text)
    assert swept.evidence.layout == ()
    (sweep,) = swept.report.sweeps
    assert [axis.labels for axis in sweep.axes] == [("L0",), ("IO", "S1", "S2", "S1+1", "END")]
    # The words differ at three places, and each place alone is a prompt with one word changed.
    batch = swept.tokens
    mixed = [list(t.clean) for t in batch]
    place = swept.plan.circuit.sweeps[0]
    assert place.by_position
    io = next(p for p in batch[0].positions if str(p) == "IO")
    for row, tokens in zip(mixed, batch, strict=True):
        row[tokens.positions[io]] = tokens.corrupt[tokens.positions[io]]
    effects = []
    for row, tokens in zip(mixed, batch, strict=True):
        logits = swept.model.transformer.run(torch.tensor([row])).logits[0]
        answer, distractor = (word[0] for word in tokens.target.tokens)
        effects.append(float(logits[answer] - logits[distractor]))
    base = swept.report.baseline
    share = (base.clean - np.mean(effects)) / (base.clean - base.corrupt)
    assert sweep.values[0] == pytest.approx(share, abs=1e-9)


def test_axes_and_positions():
    def axes(line):
        (sweep,) = circuit_of(text_of("gpt2", [line], sample=100)).sweeps
        return [str(axis) for axis in sweep.axes], [str(p) for p in sweep.positions]

    assert axes("sweep head_output") == (["layer", "head"], [])
    assert axes("sweep head_output by position") == (["layer", "head", "position"], [])
    assert axes("sweep head_output by layer") == (["layer"], [])
    assert axes("sweep q by layer by position") == (["layer", "position"], [])
    assert axes("sweep resid_pre") == (["layer", "position"], [])
    assert axes("sweep attn_out by layer") == (["layer"], [])
    assert axes("sweep v at S2, END") == (["layer", "head"], ["S2", "END"])
    assert axes("sweep logit_lens") == (["layer"], [])
    assert axes("sweep logit_lens at S2") == (["layer", "position"], ["S2"])


def plan_of(lines, **known):
    circuit = replace(circuit_of(text_of("gpt2", lines, sample=100)), **known)
    return with_sweeps(compile_plan(circuit))


def test_what_is_not_known_yet_is_said():
    lines = ["sweep head_output", "sweep resid_pre", "sweep logit_lens"]
    before = plan_of(lines, shape=None)
    assert all("once the model is loaded" in need.missing for need in before.sweeps)
    plan = plan_of(lines)
    assert [len(need.experiments) for need in plan.sweeps] == [144, 0, 13]
    assert "in tokens" in plan.sweeps[1].missing
    plan = plan_of(lines, layout=("a", "b", "c"))
    assert [len(need.experiments) for need in plan.sweeps] == [144, 36, 13]
    last = plan.experiments[-1].intervention
    assert isinstance(last, ReadStream)
    assert last.layer == 12
    assert compile_plan(plan.circuit).experiments == ()


def test_too_many_cells_are_refused():
    lines = [f"sweep {kind} by position" for kind in ("q", "k", "v")]
    plan = plan_of(lines, layout=tuple("x" * 100))
    assert [len(need.experiments) for need in plan.sweeps] == [14_400, 14_400, 0]
    assert "more than 40,000 cells" in plan.sweeps[2].missing


def test_every_kind_can_be_swept():
    lines = [f"sweep {kind}" for kind in SweepKind]
    plan = plan_of(lines, layout=("a", "b"))
    assert all(not need.missing for need in plan.sweeps)
    names = [name for need in plan.sweeps for name in need.experiments]
    assert len(names) == len(set(names)) == len(plan.experiments)


def test_the_command_runs_judges_and_plans_sweeps(tmp_path, capsys):
    file = tmp_path / "a.circuit"
    folder = tiny_gpt2(tmp_path / "model", layers=1)
    lines = ["sweep resid_pre", "patch L0.H1 in -900 logits..900 logits"]
    file.write_text(text_of(folder, lines, sample=8, test="  looks 1\n"), encoding="utf-8")
    saved, again, evidence = (tmp_path / name for name in ("a.json", "b.json", "e.json"))
    ran = called(capsys, "run", file, "--quiet", "--json", saved, "--evidence", evidence)
    assert ran.code == ExitCode.PASSED
    assert "\nSweeps\n" in ran.out
    called(capsys, "judge", file, evidence, "--json", again)
    assert json.loads(saved.read_text()) == json.loads(again.read_text())
    assert json.loads(saved.read_text())["sweeps"][0]["values"]
    planned = called(capsys, "plan", file)
    assert "14 experiments: 1 layer x 14 positions (28 passes); shown, not judged" in planned.out
    assert "1 claim, 1 experiment," in planned.out
    assert "1 sweep" in called(capsys, "check", file).out
    # Evidence without the sweep's cells can still be judged.
    data = json.loads(evidence.read_text())
    needed = json.loads(saved.read_text())["claims"][0]["experiments"]
    data["patched"] = {name: data["patched"][name] for name in needed}
    evidence.write_text(json.dumps(data), encoding="utf-8")
    judged = called(capsys, "judge", file, evidence)
    assert judged.code == ExitCode.PASSED
    assert "not shown: nothing of it was measured" in judged.out


def test_a_pilot_and_mutants_leave_sweeps_out(tmp_path, capsys):
    file = tmp_path / "a.circuit"
    folder = tiny_gpt2(tmp_path / "model", layers=2)
    text = text_of(folder, ["sweep head_output"], sample=8)
    edges = "edges {\n  L0.H1 ~> logits  in -900 logits..900 logits\n}\n\nclaims {"
    file.write_text(text.replace("claims {", edges), encoding="utf-8")
    piloted = called(capsys, "plan", file, "--pilot", 4, "--quiet")
    assert piloted.code == ExitCode.PASSED
    mutated = called(capsys, "mutate", file, "--quiet", "--verbose", "--limit", 2)
    assert mutated.code in (ExitCode.PASSED, ExitCode.FAILED, ExitCode.INCONCLUSIVE)
    assert "Sweeps" not in piloted.out + mutated.out
    both = called(capsys, "run", file, "--mutate", "--quiet")
    assert "\nSweeps\n" in both.out
    assert "\n  L1 " in both.out.split("\nSweeps\n")[1].split("largest")[0]


def made_up():
    """A report with two sweeps whose numbers are made up."""
    layers, heads = [f"L{i}" for i in range(3)], [f"H{i}" for i in range(4)]
    tokens = ["0 When", "1 {IO}", "2 went", "3 {S}"]
    place = {"file": "ioi.circuit", "line": 40, "column": 3}
    common = {"place": place, "prompts": 100, "whole": 3.8, "positions": ()}
    values = [0.0, 0.004, -0.03, 0.75, 1.0, -0.5, 0.2, 0.1, None, 0.0, 0.049, 0.051]
    sweeps = [
        {
            "text": "sweep head_output", "kind": "head_output", "direction": "noising",
            "axes": ({"name": "layer", "labels": layers}, {"name": "head", "labels": heads}),
            "values": values, "q": [None if v is None else 0.01 for v in values],
            "unit": "fraction", "definition": "mean(clean - patched) / mean(clean - corrupt)",
            **common,
        },
        {
            "text": "sweep logit_lens by position", "kind": "logit_lens", "direction": None,
            "axes": ({"name": "layer", "labels": layers}, {"name": "position", "labels": tokens}),
            "values": [0.01 * i * (-1) ** i for i in range(8)] + [-2.5, 0, 10.25, 3.0], "q": (),
            "unit": "logits", "definition": "mean metric of the clean run's stream", **common,
        },
        {
            "text": "sweep v by position", "kind": "v", "direction": "noising", "axes": (),
            "values": (), "q": (), "unit": "logits", "definition": "", **common,
            "missing": "nothing of it was measured",
        },
    ]  # fmt: skip
    data = sample_report().model_dump() | {"sweeps": sweeps, "claims": ()}
    return Report.model_validate(data)


def section(text):
    return text.split("\nSweeps\n")[1].split("\nSelf-checks\n")[0]


def test_the_printed_sweeps_are_the_golden_ones():
    golden = (GOLDEN / "report" / "sweeps.txt").read_text(encoding="utf-8")
    assert section(render_terminal(made_up(), color=False)) == golden


@pytest.mark.parametrize("width", [40, 61, 100])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_no_line_is_too_wide_and_colours_change_no_text(width, ascii_only):
    report = made_up()
    plain = render_terminal(report, width=width, color=False, ascii_only=ascii_only)
    assert max(map(len, plain.split("\n"))) <= width
    coloured = render_terminal(report, width=width, color=True, ascii_only=ascii_only)
    bare = [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", coloured).split("\n")]
    assert bare == plain.split("\n")


def test_of_many_rows_the_largest_are_printed():
    labels = [[f"L{i}" for i in range(12)], [f"H{i}" for i in range(12)], ["S2", "END"]]
    values = [0.0] * 288
    for place in range(0, 200, 5):
        values[place] = 0.5 if place % 2 else -0.5
    found = as_rows(labels, values, True)
    assert (len(found.rows), len(found.columns)) == (144, 2)
    shown = found.shown_rows()
    assert len(shown) == MOST_ROWS == len({place // 2 for place in range(0, 200, 5)})
    assert set(shown) == {place // 2 for place in range(0, 200, 5)}
    assert found.rows[13] == "L1.H1"


def test_builtin_models_are_swept_by_either_engine():
    model = load_transformer(ModelReference("builtin", "ioi_tiny"))
    path = Path(__file__).parents[1] / "circuits" / "builtin_ioi.circuit"
    text = path.read_text(encoding="utf-8")
    head = text[: text.index("edges {")].replace("sample  120", "sample  12")
    body = "claims {\n  sweep head_output\n  sweep pattern at END\n  sweep logit_lens\n}\n"
    both = [Swept(head + body, model, engine) for engine in (EngineName.FAST, EngineName.REFERENCE)]
    for one, other in zip(both[0].report.sweeps, both[1].report.sweeps, strict=True):
        assert one.values == pytest.approx(other.values, abs=1e-4)
        assert max(itertools.chain(map(abs, one.values))) > 0.1


def test_a_sweep_by_tokens_leaves_the_check_of_positions_as_sharp_as_it_was():
    """The probe patches one counted token and END, not all of them, which would be everywhere."""
    plan = plan_of(["sweep head_output by position"], layout=tuple("abcdefg"))
    assert len({e.intervention.positions for e in plan.experiments}) == 7
    probe = position_probe(plan.experiments, plan.circuit.shape)
    assert probe.positions == (Position(TOKEN, offset=3), AT_END)


def test_heads_that_share_keys_have_one_cell():
    shape = ModelShape(2, 9, 3)
    plan = plan_of(["sweep k", "sweep q"], shape=shape)
    assert [need.axes[1][1] for need in plan.sweeps] == [
        ("H0-2", "H3-5", "H6-8"),
        tuple(f"H{head}" for head in range(9)),
    ]
    assert [e.intervention.head for e in plan.experiments[:3]] == [0, 3, 6]
