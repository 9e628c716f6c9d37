"""Programs compiled with Tracr: every edge that the compiler knows, every one that it does not.

Truth comes three times from outside of our engine: the compiled JAX model itself, Tracr's weights
patched in numpy, and the RASP program with one expression that sees the corrupt prompt's values.
"""

import itertools
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest

from circuitlang.circuit import ModelReference
from circuitlang.engine import load_transformer, measure
from circuitlang.engine.tokens import tokenize
from circuitlang.plan import compile_plan
from circuitlang.report import Verdict
from circuitlang.source import SourceText
from circuitlang.verdict import judge
from tests.commands import called
from tests.front_end import circuit_of

jax = pytest.importorskip("jax", reason="Tracr's programs need jax: pip install -e '.[test]'")
pytest.importorskip("tracr", reason="Tracr is not installed: pip install -e '.[test]'")

from tests.tracr_models import BOS, Compiled, Edge, all_edges, carry_over, compiled  # noqa: E402
from tests.tracr_oracle import Numbers, PatchedProgram, logit_of  # noqa: E402
from tests.tracr_programs import PROGRAMS, Program, circuit_text  # noqa: E402

EXACT = 1e-9
"""Two computations with the same weights in float64."""

SHARP = 1e-6
"""Tracr's attention leaves a little weight on the tokens that a program does not select: about
exp(-50 / sqrt(key size)), 1.4e-7 for the widest head here."""

NOTHING = 1e-12
"""An edge that is not there changes no metric by more than this."""

SILENT = {
    "reverse": {
        ("L0.H0", "L0.MLP"),
        ("L0.MLP", "L1.MLP"),
        ("L1.MLP", "L2.MLP"),
        ("L2.MLP", "L3.H0.Q"),
    }
}
"""Edges that are there and carry the same in both worlds: reversing computes the prompt's length
and asks for an index that follows from it, and a corrupt prompt is as long as its clean one. No
prompts of ours can show them; only an ablation could."""


class Case:
    """A program compiled, brought over, and its prompts."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.program, self.home = name, PROGRAMS[name], folder
        program: Program = self.program
        self.compiled: Compiled = compiled(program.make(), program.vocabulary, program.length)
        self.edges = all_edges(self.compiled)
        self.folder = carry_over(self.compiled, program.readout, folder / name)
        self.numbers = Numbers(self.compiled)
        self.loaded = load_transformer(ModelReference("name", str(self.folder), dtype="float64"))
        circuit = circuit_of(circuit_text(name, ["L0.H0 -> logits"]))
        self.pairs, self.tokens, problems = tokenize(circuit, self.loaded.tokenizer)
        assert not problems
        self.clean = np.array([pair.clean for pair in self.tokens])
        self.corrupt = np.array([pair.corrupt for pair in self.tokens])

    def measured(self, edges: list[str]):
        """Evidence and report of a circuit file with these edges."""
        text = circuit_text(self.name, edges)
        plan = compile_plan(circuit_of(text))
        evidence = measure(plan, self.loaded, self.pairs, self.tokens)
        failed = [check.name for check in evidence.self_checks if not check.passed]
        assert not failed
        return evidence, judge(plan, evidence, SourceText("test.circuit", text))

    def metric_of_numbers(self, stream: np.ndarray) -> np.ndarray:
        """The metric of a final residual stream, by each pair's own two words."""
        readout = self.program.readout
        return np.array([
            self.numbers.logits(stream[i : i + 1], pair.answer, readout)[0]
            - self.numbers.logits(stream[i : i + 1], pair.distractor, readout)[0]
            for i, pair in enumerate(self.pairs)
        ])  # fmt: skip

    def metric_of_program(self, edges: set[Edge], swapped: bool = False) -> np.ndarray:
        """The metric of the RASP program on every clean prompt (corrupt, if ``swapped``)."""
        readout, found = self.program.readout, []
        for pair in self.pairs:
            clean, corrupt = (text.text.split()[1:] for text in (pair.clean, pair.corrupt))
            patched = PatchedProgram(self.compiled, edges, corrupt)
            value = patched.output(corrupt if swapped else clean)
            one, other = (logit_of(value, w, readout) for w in (pair.answer, pair.distractor))
            found.append(one - other)
        return np.array(found, dtype=float)

    @cached_property
    def exact(self) -> dict[Edge, np.ndarray]:
        """The metric under every edge's patch, from the program alone."""
        return {edge: self.metric_of_program({edge}) for edge in self.edges}

    @cached_property
    def exact_worlds(self) -> tuple[np.ndarray, np.ndarray]:
        """The metric of the program on clean and on corrupt prompts."""
        return self.metric_of_program(set()), self.metric_of_program(set(), swapped=True)

    def percent(self, patched: np.ndarray) -> float:
        """The noising effect, in percent, that the program's metric has when patched."""
        clean, corrupt = self.exact_worlds
        return 100 * (clean - patched).mean() / (clean - corrupt).mean()

    @cached_property
    def changes(self) -> dict[str, np.ndarray]:
        """What every component writes on the corrupt prompts minus what it writes on the clean."""
        clean, corrupt = (self.numbers.run(tokens)[1] for tokens in (self.clean, self.corrupt))
        return {component: corrupt[component] - clean[component] for component in clean}

    @cached_property
    def patched(self) -> dict[Edge, np.ndarray]:
        """The metric under every edge's patch, from Tracr's weights in numpy."""
        return {
            edge: self.metric_of_numbers(
                self.numbers.run(self.clean, edge, self.changes[edge[0]])[0]
            )
            for edge in self.edges
        }

    @cached_property
    def known(self) -> set[Edge]:
        return {edge for edge, there in self.edges.items() if there}

    @cached_property
    def silent(self) -> set[Edge]:
        """Known edges whose sender writes the same on every clean prompt and its corrupt one."""
        return {edge for edge in self.known if np.abs(self.changes[edge[0]]).max() < NOTHING}


@pytest.fixture(scope="module", params=PROGRAMS)
def case(request, tmp_path_factory) -> Case:
    return Case(request.param, tmp_path_factory.mktemp("tracr"))


def written(edge: Edge, rest: str = "", no: bool = False) -> str:
    return f"{'no ' if no else ''}{edge[0]} -> {edge[1]} {rest}"


def test_the_model_computes_what_tracrs_computes(case):
    """Every word at every place (up to 400 prompts), at every length."""
    words, program = case.compiled.words, case.program
    every = list(itertools.product(program.words, repeat=program.length))
    prompts = [(BOS, *prompt) for prompt in every[:: -(-len(every) // 400)]]
    tokens = np.array([[words[word] for word in prompt] for prompt in prompts])
    outputs = case.compiled.outputs(tokens)
    weights = np.zeros((len(case.compiled.output), len(words) + 1))
    values = [direction.value for direction in case.compiled.output]
    for word, read in program.readout.items():
        for value, weight in read.items():
            weights[values.index(value), words[word]] = weight
    streams, _ = case.numbers.run(tokens)
    columns = [case.compiled.space.index(direction) for direction in case.compiled.output]
    assert np.abs(streams[:, :, columns] - outputs).max() < EXACT
    assert np.abs(outputs).max() > 0.4
    import torch

    for length in range(1, tokens.shape[1] + 1):
        ours = case.loaded.transformer.run(torch.tensor(tokens[:, :length])).logits
        gap = np.abs(ours.numpy() - outputs[:, length - 1] @ weights).max()
        assert gap < EXACT, (length, gap)


def test_the_program_says_the_same(case):
    for exact, tokens in zip(case.exact_worlds, (case.clean, case.corrupt), strict=True):
        assert np.abs(case.metric_of_numbers(case.numbers.run(tokens)[0]) - exact).max() < SHARP
    for edge, patched in case.patched.items():
        assert np.abs(patched - case.exact[edge]).max() < SHARP, edge


def test_the_spaces_and_the_weights_know_the_same_edges(case):
    """An edge that the compiler knows is one along which the weights let something through."""
    _, heads = case.compiled.shape

    def weights(component, kind):
        layer, part = component.split(".")[:2]
        if part == "MLP":
            name = "linear_1" if kind == "reads" else "linear_2"
            return case.compiled.parameters(f"layer_{layer[1:]}/mlp/{name}")
        name = {"Q": "query", "K": "key", "V": "value"}.get(component[-1], "linear")
        matrix = case.compiled.parameters(f"layer_{layer[1:]}/attn/{name}")
        return np.split(matrix, heads, axis=name != "linear")[int(part[1:])]

    for (sender, receiver), there in case.edges.items():
        reads = (
            np.array([[d in case.compiled.output] for d in case.compiled.space], dtype=float)
            if receiver == "logits"
            else weights(receiver, "reads")
        )
        through = np.abs(weights(sender, "writes")).sum(0) @ np.abs(reads).sum(1)
        assert bool(through) == there, (sender, receiver)


def test_every_edge_has_the_effect_that_tracrs_weights_give_it(case):
    edges = list(case.edges)
    evidence, report = case.measured([written(e, "in -900 logits..900 logits") for e in edges])
    clean = case.metric_of_numbers(case.numbers.run(case.clean)[0])
    assert np.abs(np.array(evidence.clean) - clean).max() < EXACT
    largest = {}
    for edge, claim in zip(edges, report.claims, strict=True):
        (experiment,) = claim.experiments
        patched = np.array(evidence.patched[experiment])
        assert np.abs(patched - case.patched[edge]).max() < EXACT, edge
        largest[edge] = np.abs(patched - np.array(evidence.clean)).max()
    absent = set(edges) - case.known
    assert case.known
    assert absent
    assert case.silent == SILENT.get(case.name, set())
    assert {edge for edge in absent | case.silent if largest[edge] > NOTHING} == set()
    assert {edge for edge in case.known - case.silent if largest[edge] < 0.1} == set()


def true_bounds(case):
    """Every edge with the bound that its exact effect asks for."""
    for edge in case.edges:
        if edge in case.known - case.silent:
            effect = case.percent(case.exact[edge])
            yield written(edge, f"in {effect - 0.1:.4f}%..{effect + 0.1:.4f}%")
        else:
            yield written(edge, "within 0.1%", no=True)


def false_bounds(case):
    """Known edges denied, and some of the others claimed."""
    heard = case.known - case.silent
    yield from (written(edge, "within 5%", no=True) for edge in heard)
    yield from (written(edge, ">= 1%") for edge in sorted(case.edges.keys() - heard)[::4])


def test_verdicts(case):
    _, report = case.measured(list(true_bounds(case)))
    assert [c.text for c in report.claims if c.verdict is not Verdict.PASS] == []
    _, report = case.measured(list(false_bounds(case)))
    assert [c.text for c in report.claims if c.verdict is not Verdict.FAIL] == []


@pytest.mark.parametrize("case", ["balance", "pattern"], indirect=True)
def test_a_path_that_goes_through_an_mlp_alone(case):
    """Nothing goes straight from these heads to the logits, and all goes through the MLPs behind
    them: no head comes later, so the program with MLPs that see the change is the exact answer."""
    layers, heads = case.compiled.shape
    claims = []
    for head in (f"L1.H{i}" for i in range(heads)):
        later = {f"L{layer}.MLP" for layer in range(1, layers)} | {"logits"}
        effect = case.percent(case.metric_of_program({(head, receiver) for receiver in later}))
        assert abs(effect) >= 99
        claims.append(f"{head} ~> logits in {effect - 0.1:.4f}%..{effect + 0.1:.4f}%")
        claims.append(f"no {head} -> logits within 0.1%")
    _, report = case.measured(claims)
    assert [c.verdict for c in report.claims] == [Verdict.PASS] * len(claims)


@pytest.mark.parametrize("case", ["recall"], indirect=True)
def test_the_command_line_in_float32(case, capsys):
    """The file a user would write: default precision, the folder beside it."""
    path = case.home / "recall.circuit"
    path.write_text(
        circuit_text("recall", list(true_bounds(case)), dtype="float32"), encoding="utf-8"
    )
    result = called(capsys, "run", path)
    assert result.code == 0, result.out + result.err
    assert result.out.count("PASS") >= len(case.edges)
    path.write_text(circuit_text("recall", list(false_bounds(case))), encoding="utf-8")
    assert called(capsys, "run", path).code == 1
