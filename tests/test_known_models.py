"""Known models: the engines' numbers against those that follow from how the models were made.

`known/program.py` computes them from words, with neither torch nor weights.
"""

import json
import math
from functools import cache

import numpy as np
import pytest

from circuitlang.circuit import expand
from circuitlang.engine import load_transformer, measure
from circuitlang.engine.choice import EngineName
from circuitlang.engine.tokens import tokenize
from circuitlang.models import builtin_folder
from circuitlang.plan import Use, compile_plan
from circuitlang.report import Verdict
from circuitlang.source import SourceText
from circuitlang.verdict import judge
from known import Gate, Variation, edge, gate, induction, ioi, mlp_path
from known.builtin import builtin_models, builtin_path, write_builtin_models
from tests.front_end import ROOT, circuit_of

MODELS = {
    "induction": induction,
    "ioi_compiled": ioi,
    "or_gate": lambda variation: gate(Gate.OR, variation),
    "and_gate": lambda variation: gate(Gate.AND, variation),
    "mlp_path": mlp_path,
}
ANY = "in -900 logits..900 logits"
BY = {False: f"{ANY}", True: f"{ANY}  by denoising"}
EXACT = 1e-9
QUIET = "  random edges 0"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders of the known models in float64, each written when it is first asked for."""
    root = tmp_path_factory.mktemp("known")

    @cache
    def build(name, variation):
        model = MODELS[name](variation)
        return model, model.build(root / f"{name}-{variation}")

    return build


@pytest.fixture(scope="module")
def loaded():
    """Models by the circuit's reference, each loaded once."""
    return cache(load_transformer)


def measured(loaded, text, engine=EngineName.FAST):
    """A circuit file's circuit, plan, prompt texts and evidence."""
    circuit = circuit_of(text)
    model = loaded(circuit.model)
    plan = compile_plan(circuit)
    pairs, tokens, problems = tokenize(circuit, model.tokenizer)
    assert not problems
    evidence = measure(plan, model, pairs, tokens, engine=engine)
    assert not evidence.errors
    failed = [check for check in evidence.self_checks if not check.passed]
    assert not failed
    return plan, [(pair.clean.text, pair.corrupt.text) for pair in pairs], evidence


def gap(one, other):
    return np.abs(np.array(one, dtype=float) - other).max()


def distinct(edges):
    """Edges without those that test the same: an edge into logits lives at END, written or not."""
    seen = {}
    for found in edges:
        at = () if found.receivers == ("logits",) else found.positions
        seen.setdefault((found.senders, found.receivers, at, found.through_mlps), found)
    return list(seen.values())


@pytest.mark.parametrize("variation", [Variation.SYMMETRIC, Variation.SKEWED])
@pytest.mark.parametrize("name", MODELS)
def test_both_engines_measure_what_was_built(folders, loaded, name, variation):
    model, folder = folders(name, variation)
    edges = distinct(
        (*model.true_edges, *model.balanced_edges, *model.groups, *model.wrong_edges)
    )  # fmt: skip
    experiments = [(found, back) for found in edges for back in (False, True)]
    text = model.circuit_text(
        f'"{folder}" dtype float64', [(e, BY[back]) for e, back in experiments], 5, test=QUIET
    )
    plan, prompts, evidence = measured(loaded, text, EngineName.BOTH)
    pairs = model.read(prompts)
    clean, corrupt = model.metrics(pairs)
    assert gap(evidence.clean, clean) < EXACT
    assert gap(evidence.corrupt, corrupt) < EXACT
    for (found, back), need in zip(experiments, plan.needs, strict=True):
        exact = model.patched(found, pairs, denoising=back)
        assert gap(evidence.patched[need.of(Use.EFFECT)], exact) < EXACT, f"{found}, {back}"


@pytest.mark.parametrize("name", MODELS)
def test_every_other_edge_is_absent(folders, loaded, name):
    """The fast engine tries every edge of the model at every position, in both directions of
    the arrow's two kinds; what moves anything is on the list of true edges."""
    model, folder = folders(name, Variation.SKEWED)
    possible, absent = list(model.possible_edges()), set(model.absent_edges())
    text = model.circuit_text(
        f'"{folder}" dtype float64', [(e, ANY) for e in possible], 4, test=QUIET
    )
    plan, _, evidence = measured(loaded, text)
    base = np.array(evidence.clean)
    moves = {
        found
        for found, need in zip(possible, plan.needs, strict=True)
        if gap(evidence.patched[need.of(Use.EFFECT)], base) > EXACT
    }
    assert not moves & absent
    listed = set(possible) - absent
    if name == "or_gate":  # the first head is hidden by the second, which is always fully there
        listed = {found for found in listed if found.senders != ("L0.H1",)}
    assert moves == listed


@pytest.mark.parametrize("name", MODELS)
def test_true_edges_live_at_their_positions_alone(folders, loaded, name):
    model, folder = folders(name, Variation.SKEWED)
    present = (*model.true_edges, *model.balanced_edges)
    homes = {}
    for found in present:
        homes.setdefault((found.senders, found.receivers, found.through_mlps), set()).update(
            found.positions
        )
    elsewhere = [
        (senders, receivers, at, mlps)
        for (senders, receivers, mlps), home in homes.items()
        for at in (*(p for p in model.layout[:-1] if p), "END")  # whose last token is END
        if at not in home and receivers != ("logits",)
    ]
    edges = [edge(*s, *r, at, through_mlps=mlps) for s, r, at, mlps in elsewhere]
    text = model.circuit_text(f'"{folder}" dtype float64', [(e, ANY) for e in edges], 4, test=QUIET)
    plan, _, evidence = measured(loaded, text)
    for found, need in zip(edges, plan.needs, strict=True):
        assert gap(evidence.patched[need.of(Use.EFFECT)], evidence.clean) < EXACT, str(found)


@pytest.mark.parametrize("name", MODELS)
def test_ablations_and_the_circuit_alone(folders, loaded, name):
    model, folder = folders(name, Variation.SKEWED)
    nodes = [(part, positions) for part, positions in model.nodes.items()]
    half = dict(nodes[:1] + nodes[2:])
    if any(part.endswith("MLP") for part in model.nodes):
        half |= {part: at for part, at in nodes if part.endswith("MLP")}
    for kept in (dict(model.nodes), half):
        lines = [f"  N{i}  {part}  at {', '.join(at)}" for i, (part, at) in enumerate(kept.items())]
        asked = [(part, by) for by in ("zero", "mean", "resample") for part in (*kept, None)]
        names = {part: f"ablate N{i} {ANY}" for i, part in enumerate(kept)}
        names[None] = "faithfulness >= 1%"
        claims = [f"  {names[part]} by {by}" for part, by in asked]
        text = (
            model.header(f'"{folder}" dtype float64', 6)
            + "\nnodes {\n" + "\n".join(lines) + "\n}\n"
            + "\nclaims {\n" + "\n".join(claims) + "\n}\n"
        )  # fmt: skip
        plan, prompts, evidence = measured(loaded, text)
        pairs = model.read(prompts)
        for (part, by), need in zip(asked, plan.needs, strict=True):
            if part is not None:
                exact = model.program.ablated(pairs, {part: kept[part]}, by)
                assert gap(evidence.patched[need.of(Use.EFFECT)], exact) < EXACT, (part, by)
                continue
            alone, empty = (evidence.patched[need.of(use)] for use in (Use.CIRCUIT, Use.EMPTY))
            assert gap(alone, model.program.alone(pairs, kept, by)) < EXACT
            share = (np.mean(alone) - np.mean(empty)) / (np.mean(evidence.clean) - np.mean(empty))
            assert model.faithfulness(pairs, by, kept) == pytest.approx(share, abs=EXACT)


def test_a_model_wired_otherwise_is_noticed(tmp_path, loaded):
    """The comparison can fail: one weight of an induction head is a fifth larger."""
    model = induction()
    wiring = model.wire(Variation.NOISELESS)
    wiring.head("L1.H3").o[:] *= 1.2
    folder = wiring.write_folder(tmp_path / "other")
    found = edge("L1.H3", "logits", "END")
    text = model.circuit_text(f'"{folder}" dtype float64', [(found, ANY)], 4, test=QUIET)
    plan, prompts, evidence = measured(loaded, text)
    pairs = model.read(prompts)
    # Clean: 3 + 1.2 logits, not 3 + 1. Patched: 3 - 1.2, not 3 - 1.
    assert gap(evidence.clean, model.metrics(pairs)[0]) == pytest.approx(0.2)
    patched = evidence.patched[plan.needs[0].of(Use.EFFECT)]
    assert gap(patched, model.patched(found, pairs)) == pytest.approx(0.2)


BY_HAND = {
    "induction": [
        (edge("L0.H1", "L1.H2.K", "B D"), 3 / 4, 3 / 4),
        (edge("L0.H1", "L1.H3.K", "B D"), 1 / 4, 1 / 4),
        (edge("L0.H1", "L1.H2.K", "B"), 3 / 8, 3 / 8),  # both animals match, or neither
        (edge("L1.H2", "logits", "END"), 3 / 4, 3 / 4),
    ],
    "ioi_compiled": [
        (edge("L0.H1", "L1.H0.V", "S2"), (3 - 1) / 4, (3 - 1) / 4),
        (edge("L0.H4", "L1.H3.V", "S2"), 2 / 4, 2 / 4),
        (edge("L1.H0", "L2.H1.Q", "END"), 3 / 4, 3 / 4),
        (edge("L1.H0", "L2.H2.Q", "END"), -1 / 4, -1 / 4),
        (edge("L2.H2", "logits", "END"), -1 / 4, -1 / 4),
    ],
    "or_gate": [
        (edge("L0.H1", "L1.MLP", "END"), 0, 1),
        (edge("L1.H2", "L1.MLP", "END"), 0, 1),
        (edge("L0.H1 L1.H2", "L1.MLP", "END"), 1, 1),
    ],
    "and_gate": [
        (edge("L0.H1", "L1.MLP", "END"), 1, 0),
        (edge("L1.H2", "L1.MLP", "END"), 1, 0),
        (edge("L0.H1 L1.H2", "L1.MLP", "END"), 1, 1),
    ],
    "mlp_path": [
        (edge("L0.H1", "L1.H2.V", "END"), 0, 0),
        (edge("L0.H1", "L1.H2.V", "END", through_mlps=True), 3 / 4, 3 / 4),
        (edge("L0.H3", "L1.H2.V", "END"), 1 / 4, 1 / 4),
    ],
}


@pytest.mark.parametrize("name", MODELS)
def test_population_effects_without_noise_by_hand(name):
    model = MODELS[name](Variation.NOISELESS)
    for found, noising, denoising in BY_HAND[name]:
        assert model.population_effect(found) == pytest.approx(noising, abs=1e-12)
        assert model.population_effect(found, denoising=True) == pytest.approx(denoising, abs=1e-12)


@pytest.mark.parametrize("variation", [Variation.SYMMETRIC, Variation.SKEWED])
@pytest.mark.parametrize("name", MODELS)
def test_drawn_prompts_scatter_around_the_population_effect(name, variation):
    """Classes of prompts stand for all: the mean of many drawn ones lies within 5 standard errors,
    and edges that balance are zero in the population, and not on the prompts."""
    model = MODELS[name](variation)
    text = model.circuit_text('"gpt2"', [(model.true_edges[0], ">= 1%")], 3000)
    circuit = circuit_of(text)
    drawn = expand(circuit.prompts, circuit.metric)
    assert len({(pair.clean.text, pair.corrupt.text) for pair in drawn}) == 3000
    pairs = model.read([(pair.clean.text, pair.corrupt.text) for pair in drawn])
    clean, corrupt = model.metrics(pairs)
    spread = 0
    for found in (*model.true_edges[:2], *model.balanced_edges[-1:]):
        truth = model.population_effect(found)
        residuals = clean - model.patched(found, pairs) - truth * (clean - corrupt)
        error = residuals.std() / math.sqrt(len(residuals)) / (clean - corrupt).mean()
        assert abs(model.effect(found, pairs) - truth) <= 5 * error + 1e-12
        spread = max(spread, error)
        if found in model.balanced_edges:
            assert truth == pytest.approx(0, abs=1e-12)
            assert error > 1e-3
    if name != "and_gate":  # there, either head takes everything away from every prompt
        assert spread > 1e-3


@pytest.mark.parametrize("name", MODELS)
def test_there_are_many_prompts(name):
    model = MODELS[name](Variation.NOISELESS)
    count = 1
    for line in model.lists:
        slots = line.partition(" from ")[0].split(", ")
        count *= math.perm(len(model.words[slots[0]]), len(slots))
    assert count > 20_000
    assert sum(len(words) >= 30 for words in model.words.values()) >= 2


@pytest.mark.parametrize("name", MODELS)
def test_the_parts_of_an_effect_add_up(name):
    """What enters the logits takes everything away together."""
    model = MODELS[name](Variation.SKEWED)
    present = (*model.true_edges, *model.balanced_edges)
    last = [e for e in present if e.receivers == ("logits",) and not e.through_mlps]
    assert sum(map(model.population_effect, last)) == pytest.approx(1, abs=1e-12)


def test_built_in_folders_are_what_the_code_writes(tmp_path):
    from safetensors.torch import load_file

    write_builtin_models(tmp_path)
    for model in builtin_models():
        folder, again = builtin_folder(model.name), builtin_path(model, tmp_path)
        assert {p.name for p in folder.iterdir()} == {p.name for p in again.iterdir()}
        for path in folder.iterdir():
            if path.suffix == ".safetensors":
                assert path.stat().st_size < 150_000
                kept, made = load_file(path), load_file(again / path.name)
                assert kept.keys() == made.keys()
                assert all(bool((kept[name] == made[name]).all()) for name in kept)
            elif path.name == "tokenizer.json":
                words = [
                    json.loads((f / path.name).read_text())["model"]["vocab"]
                    for f in (folder, again)
                ]
                assert words[0] == words[1]
            else:
                assert path.read_text() == (again / path.name).read_text()


@pytest.mark.parametrize("name", MODELS)
def test_the_files_of_the_built_in_models_pass(loaded, name):
    """In float32, as a user runs them; the numbers still are exact to rounding."""
    text = (ROOT / "circuits" / "known" / f"{name}.circuit").read_text(encoding="utf-8")
    plan, prompts, evidence = measured(loaded, text.replace("sample  100", "sample  40"))
    model = MODELS[name](Variation.NOISELESS)
    clean, corrupt = model.metrics(model.read(prompts))
    assert gap(evidence.clean, clean) < 1e-4
    assert gap(evidence.corrupt, corrupt) < 1e-4
    report = judge(plan, evidence, SourceText(text, name))
    assert {judged.verdict for judged in report.claims} == {Verdict.PASS}
