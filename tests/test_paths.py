"""Paths, positions on edges, the embedding and neurons before anything is measured, and after."""

import hashlib
import json
import re
from dataclasses import replace
from itertools import product
from random import Random

import pytest

from circuitlang.circuit import (
    AT_END,
    Direction,
    Embed,
    Head,
    Logits,
    Neuron,
    PathClaim,
    Position,
    Receiver,
    Slot,
    can_feed,
    to_graph,
)
from circuitlang.circuit.component import MLP, parse_component
from circuitlang.draw import render_dot, render_mermaid
from circuitlang.models import ModelShape
from circuitlang.mutation import mutants
from circuitlang.plan import (
    Hop,
    PatchEdge,
    PatchPath,
    RunCircuitAlone,
    compile_plan,
    draw_random_edges,
    experiment_id,
    parts_of,
)
from circuitlang.plan.outside import NeuronsOutside, drawn
from circuitlang.report.mutation import Kind, Outcome
from circuitlang.source import SourceText
from circuitlang.syntax import parse
from tests.commands import called
from tests.front_end import ROOT, circuit_of, codes_of
from tests.test_docs import BLOCKS

NODES = """DTH L0.H1, L0.H10 at S2
SIH L7.H3, L8.H6 at END
NMH L9.H6 at END
LOW L0.MLP
CELLS L2.MLP[5], L2.MLP[9] at S2
IN embed at S2"""
S1, S2 = Position("S", 1), Position("S", 2)


def text_of(edges="", claims="", nodes=NODES, model='"gpt2"', test="random edges 0", sample=24):
    blocks = f"edges {{\n{edges}\n}}\n" * bool(edges) + f"claims {{\n{claims}\n}}" * bool(claims)
    return f"""model {model}
prompts {{
  clean "When {{IO}} and {{S}} met, {{S}} gave a ring to"
  corrupt S2 = IO
  IO, S from names
  sample {sample}
}}
metric logit_diff(IO, S)
nodes {{
{nodes}
}}
{blocks}
test {{
  {test}
}}
"""


def patches(edges, **options):
    circuit = circuit_of(text_of(edges, **options))
    return [experiment.intervention for experiment in compile_plan(circuit).experiments]


def head(text, slot):
    return Receiver(parse_component(text), Slot(slot))


OUT = Receiver(Logits())

# Where the hops of a path live


HOPS = {
    # Into a value at S2, out at END; into a query at END, out at END.
    "DTH -> SIH.V -> NMH.Q -> logits": [(S2,), (AT_END,), (AT_END,)],
    # A bare head moves a value to every position.
    "DTH -> L5.H5.V -> NMH.V": [(S2,), ()],
    "DTH -> L5.H5.V -> NMH.V from S1": [(S1,), ()],
    # A query and an MLP move nothing.
    "DTH -> L5.H5.Q -> LOW2 -> L8.H1.K": [(S2,), (S2,), (S2,)],
    "DTH -> L0.MLP -> SIH.K -> logits": [(S2,), (S2,), (AT_END,)],
    "CELLS -> L5.H5.Q -> L6.MLP[7] -> SIH.V": [(S2,), (S2,), (S2,)],
    # `from` is the first sender's, `to` the last receiver's.
    "embed -> L0.H3.V -> L5.H5.Q from S1 to S2": [(S1,), (S2,)],
    "embed -> L0.H3.V -> L5.H5.Q from S1, S2 to END": [(S1, S2), (AT_END,)],
    # MLPs between move nothing either.
    "DTH ~> SIH.V -> NMH.Q ~> logits": [(S2,), (AT_END,), (AT_END,)],
    "DTH ~> L5.H5.Q ~> LOW2 -> L8.H1.K": [(S2,), (S2,), (S2,)],
}


@pytest.mark.parametrize("path", HOPS)
def test_where_hops_live(path):
    nodes = f"{NODES}\nLOW2 L6.MLP"
    (patch,) = patches(path, nodes=nodes)
    assert isinstance(patch, PatchPath)
    assert [hop.positions for hop in patch.hops] == HOPS[path]
    arrows = ["~>" if hop.through_mlps else "->" for hop in patch.hops]
    assert arrows == re.findall(r"[-~]>", path)


def test_a_path_is_one_experiment_and_each_one_a_way():
    (patch,) = patches("DTH -> SIH.V -> NMH.Q -> logits by denoising")
    assert patch == PatchPath(
        (Head(0, 1), Head(0, 10)),
        (
            Hop((head("L7.H3", "V"), head("L8.H6", "V")), (S2,)),
            Hop((head("L9.H6", "Q"),), (AT_END,)),
            Hop((OUT,), (AT_END,)),
        ),
        Direction.DENOISING,
    )
    ways = circuit_of(text_of("each DTH -> SIH.V -> NMH.Q")).edges
    assert [way.text for way in ways] == [
        f"{a} -> {b}.V -> L9.H6.Q" for a, b in product(("L0.H1", "L0.H10"), ("L7.H3", "L8.H6"))
    ]
    assert all(isinstance(way, PathClaim) and len(way.senders) == 1 for way in ways)


def test_hops_of_either_sort_make_other_experiments():
    texts = [f"DTH {a} SIH.V {b} NMH.Q" for a, b in product(("->", "~>"), repeat=2)]
    circuit = circuit_of(text_of("\n".join(texts)))
    assert [edge.text for edge in circuit.edges] == texts
    plan = compile_plan(circuit)
    assert len({experiment.id for experiment in plan.experiments}) == 4
    assert [[edge.through_mlps for edge in path.edges] for path in circuit.edges] == [
        [False, False], [False, True], [True, False], [True, True]
    ]  # fmt: skip
    ways = circuit_of(text_of("each DTH ~> SIH.V -> NMH.Q")).edges
    assert [way.text for way in ways] == [
        f"{a} ~> {b}.V -> L9.H6.Q" for a, b in product(("L0.H1", "L0.H10"), ("L7.H3", "L8.H6"))
    ]
    assert "CL217" in codes_of(text_of("DTH ~> SIH.V -> NMH.Q\nDTH ~> SIH.V -> NMH.Q by noising"))
    assert "CL217" not in codes_of(text_of("\n".join(texts)))


def test_ids_of_direct_paths_are_those_of_before_hops_had_a_sort():
    """Saved evidence stays usable: the id is the hash of what a hop said then."""
    (patch,) = patches("L0.H1 -> L1.H2.V -> logits from S2 to END")
    def position(slot, occurrence):
        return [{"kind": "Position", "slot": slot, "occurrence": occurrence, "offset": 0}]

    def hop(component, slot, at):
        receiver = {"kind": "Receiver", "component": component, "slot": slot}
        return {"kind": "Hop", "receivers": [receiver], "positions": at}

    inner = {"kind": "Head", "layer": 1, "head": 2}
    content = {
        "kind": "PatchPath",
        "senders": [{"kind": "Head", "layer": 0, "head": 1}],
        "hops": [
            hop(inner, "V", position("S", 2)),
            hop({"kind": "Logits"}, None, position("END", 1)),
        ],
        "direction": "noising",
    }
    text = json.dumps(content, sort_keys=True)
    assert experiment_id(patch) == hashlib.sha256(text.encode()).hexdigest()[:12]
    hops = (replace(patch.hops[0], through_mlps=True), patch.hops[1])
    assert experiment_id(replace(patch, hops=hops)) != experiment_id(patch)


def test_a_component_that_nothing_reaches_carries_nothing():
    """Both hops have a pair that runs forwards, but no way leads through both."""
    nodes = "A L4.H0\nB L1.H1, L5.H5\nC L3.H1"
    assert codes_of(text_of("A -> B.Q -> C.V", nodes=nodes)) == ["CL210"]
    assert "CL215" in codes_of(text_of("A -> B.Q -> L9.H1.V", nodes=f"{nodes}\nD L9.H2"))


def test_a_path_of_very_many_ways_is_refused_at_once():
    nodes = "\n".join(
        f"N{layer} " + ", ".join(f"L{layer}.H{h}" for h in range(12)) for layer in range(12)
    )
    chain = "each " + " -> ".join(["N0", *(f"N{layer}.V" for layer in range(1, 12))])
    assert codes_of(text_of(chain, nodes=nodes)) == ["CL228"]
    assert len(patches(chain.removeprefix("each "), nodes=nodes)) == 1


# Positions on an edge


@pytest.mark.parametrize(
    "edge, positions",
    [
        ("DTH ~> SIH.V from S1", (S1,)),
        ("L0.H1 ~> NMH.Q from END", (AT_END,)),
        ("L0.H1 ~> L9.H9.Q from S1, END to END", (AT_END,)),
        ("DTH -> L5.H5.K from S1 to S2", (S1,)),
        ("L5.MLP ~> logits from END to END", (AT_END,)),
        ("DTH -> LOW from IO+1", (Position("IO", 1, 1),)),
    ],
)
def test_positions_on_an_edge_win(edge, positions):
    (patch,) = patches(edge)
    assert patch.positions == positions
    bounded = circuit_of(text_of(f"{edge} >= 5%")).edges[0]
    assert bounded.text == f"{edge} >= 5%"
    swapped = edge.replace(" from", " >= 5% from")
    assert circuit_of(text_of(swapped)).edges[0].text == swapped


# Components


@pytest.mark.parametrize(
    "text, component",
    [
        ("L5.MLP[123]", Neuron(5, 123)),
        ("l5.mlp[0]", Neuron(5, 0)),
        ("embed", Embed()),
        ("L5.MLP[12345678]", None),
        ("L5.MLP[]", None),
        ("Embed", None),
    ],
)
def test_components_are_read(text, component):
    assert parse_component(text) == component


@pytest.mark.parametrize("parallel", [False, True])
def test_what_feeds_neurons_and_the_embedding(parallel):
    def feeds(sender, receiver):
        return can_feed(sender, Receiver(receiver), parallel=parallel)

    assert feeds(Head(2, 0), Neuron(2, 1)) is not parallel
    assert feeds(Head(1, 0), Neuron(2, 1))
    assert not feeds(Neuron(2, 0), Neuron(2, 1))
    assert not feeds(Neuron(2, 0), MLP(2))
    assert not feeds(MLP(2), Neuron(2, 0))
    assert feeds(Neuron(2, 0), Neuron(3, 0))
    assert feeds(Embed(), Neuron(0, 0))
    assert feeds(Embed(), Logits())
    assert can_feed(Embed(), head("L0.H0", "Q"), parallel=parallel)


# Random edges


SHAPE = ModelShape(12, 12, 12, neurons=16)


def draw(edge, count=100, shape=SHAPE):
    circuit = circuit_of(text_of(edge))
    (experiment,) = compile_plan(circuit).experiments
    return draw_random_edges(experiment.intervention, parts_of(circuit), shape, count, 0)


def test_random_neurons_are_of_the_same_layer_and_outside_the_circuit():
    assert draw("L2.MLP[1] -> SIH.V").possible == 13  # neither it nor the two of CELLS
    pairs = {edge.senders for edge in draw("CELLS -> SIH.V").edges}
    every = [Neuron(2, n) for n in range(16) if n not in (5, 9)]
    assert len(pairs) == 14 * 13 // 2
    assert all(set(senders) <= set(every) and len(set(senders)) == 2 for senders in pairs)
    taken = draw("L0.MLP[3] -> SIH.V")
    assert taken.missing == "layer 0 has 0 neurons outside the circuit for 1 sender"
    unknown = draw("CELLS -> SIH.V", shape=ModelShape(12, 12, 12))
    assert unknown.missing == "how many neurons an MLP has is not known"


def test_random_paths_start_elsewhere():
    found = draw("DTH -> SIH.V -> NMH.Q", count=30)
    own = next(iter(compile_plan(circuit_of(text_of("DTH -> SIH.V -> NMH.Q"))).experiments))
    assert len(set(found.edges)) == 30
    for edge in found.edges:
        assert replace(edge, senders=own.intervention.senders) == own.intervention
        assert all(s.layer == 0 and s not in own.intervention.senders for s in edge.senders)
    assert draw("DTH -> SIH.V -> NMH.Q", count=10).edges == found.edges[:10]
    through = draw("DTH ~> SIH.V -> NMH.Q", count=30).edges
    assert {tuple(hop.through_mlps for hop in edge.hops) for edge in through} == {(True, False)}
    assert all(s.layer == 0 for edge in through for s in edge.senders)
    alone = draw("embed -> SIH.V -> NMH.Q")
    assert alone.missing == "no attention head or neuron sends, and a model has one embedding"


# Tests of the circuit


def test_the_embedding_is_no_part_of_a_circuit_to_knock_out():
    claims = "completeness within 20%\nminimal\nfaithfulness >= 10%"
    nodes = "DTH L0.H1 at S2\nIN embed at S2\nBOTH embed, L2.MLP[5] at END"
    circuit = circuit_of(text_of(claims=claims, nodes=nodes, test="random circuits 20"))
    kept = set()
    for experiment in compile_plan(circuit).experiments:
        run = experiment.intervention
        listed = run.kept if isinstance(run, RunCircuitAlone) else (*run.removed, *run.spared)
        kept |= {site.component for site in listed}
    assert Embed() not in kept
    assert {Head(0, 1), Neuron(2, 5)} <= kept
    # What is added to C in a neuron's place is another neuron, in a head's place another head.
    assert {type(component) for component in kept} == {Head, Neuron}


# Drawing, graph, mutants


def test_a_path_in_the_graph_and_the_drawing():
    circuit = circuit_of(text_of("DTH -> SIH.V -> NMH.Q -> logits >= 5%\nIN -> CELLS\n"
                                 "CELLS -> L7.H1.Q"))  # fmt: skip
    graph = to_graph(circuit)
    hops = [(s, r, data["slot"]) for s, r, data in graph.edges(data=True) if not data["claim"]]
    assert sorted(hops) == sorted(
        [(d, s, "V") for d in ("L0.H1", "L0.H10") for s in ("L7.H3", "L8.H6")]
        + [(s, "L9.H6", "Q") for s in ("L7.H3", "L8.H6")] + [("L9.H6", "logits", None)]
    )  # fmt: skip
    data = [data for *_, data in graph.edges(data=True) if not data["claim"]]
    kinds = {(hop["kind"], hop["hop"], hop["alone"]) for hop in data}
    assert kinds == {("path_hop", hop, False) for hop in (1, 2, 3)}
    assert (graph.nodes["embed"]["kind"], graph.nodes["embed"]["layer"]) == ("embed", None)
    assert (graph.nodes["L2.MLP[5]"]["kind"], graph.nodes["L2.MLP[5]"]["layer"]) == ("neuron", 2)
    dot = render_dot(circuit)
    assert dot.count(" -> ") >= 5
    assert all(name in dot for name in ("MLP 2[5]", ">embed<", "_in"))
    assert dot.count("&gt;= 5%") == 1  # the bound of a path stands once, at its end


def test_hops_through_mlps_are_drawn_as_edges_through_them():
    circuit = circuit_of(text_of("DTH ~> SIH.V -> NMH.Q ~> logits >= 5%"))
    kinds = [(r, data["kind"]) for _, r, data in to_graph(circuit).edges(data=True)]
    assert set(kinds) == {
        ("L7.H3", "path_hop_through_mlps"), ("L8.H6", "path_hop_through_mlps"),
        ("L9.H6", "path_hop"), ("logits", "path_hop_through_mlps"),
    }  # fmt: skip
    dot = render_dot(circuit)
    assert (dot.count("arrowhead=onormal"), dot.count("arrowhead=normal")) == (2, 1)
    arrows = re.findall(r"-->|==>", render_mermaid(circuit))
    assert arrows == ["==>", "-->", "==>"]


def test_positions_of_an_edge_stand_at_its_line():
    dot = render_dot(circuit_of(text_of("DTH ~> SIH.V from S1 >= 5%\nDTH -> SIH.K >= 2%")))
    assert ("&gt;= 5% at S1<" in dot, "&gt;= 2%<" in dot) == (True, True)


def test_mutants_leave_paths_whole():
    text = text_of("DTH -> SIH.V -> NMH.Q -> logits >= 5%\nDTH ~> SIH.V from S1 >= 1%\n"
                   "no DTH ~> SIH.K from S1 within 2%", "faithfulness >= 50%")  # fmt: skip
    source = SourceText("test.circuit", text)
    circuit = circuit_of(text)
    found = mutants(parse(source)[0], source, circuit)
    path = [m for m in found if m.before.startswith("DTH -> SIH.V -> NMH.Q")]
    assert [m.kind for m in path] == [Kind.DROP]
    assert path[0].after == "(dropped, and with it DTH, SIH, NMH)"  # no way to the logits is left
    # Re-slotting the edge makes the absence claim of the same place go.
    texts = {m.after for m in found if m.kind is Kind.RE_SLOT}
    assert "DTH ~> SIH.K from S1 >= 1%, without `no DTH ~> SIH.K from S1 within 2%`" in texts
    assert all(m.known is not Outcome.REFUSED or m.reason for m in found)


def test_a_dropped_edge_beside_a_path_keeps_what_the_path_holds():
    text = text_of("DTH -> SIH.V -> NMH.Q -> logits >= 5%\nDTH -> SIH.V >= 1%",
                   "faithfulness >= 50%")  # fmt: skip
    source = SourceText("test.circuit", text)
    found = mutants(parse(source)[0], source, circuit_of(text))
    drops = {m.before: m for m in found if m.kind is Kind.DROP}
    assert drops["DTH -> SIH.V >= 1%"].known is Outcome.EQUIVALENT


def test_the_pages_example_is_right():
    (example,) = (block for block in BLOCKS if "L7.MLP[310]" in block)
    edges = re.search(r"edges \{\n(.*)\}", example, re.DOTALL)[1]
    circuit = circuit_of(text_of(edges))
    kinds = [type(e.intervention) for e in compile_plan(circuit).experiments]
    assert (kinds.count(PatchPath), kinds.count(PatchEdge)) == (4, 3)


# The whole way


def test_run_and_judge_again(tmp_path, capsys):
    """Neurons, the embedding, means of neurons and random edges, and evidence judged once more."""
    text = text_of(
        "L0.H0 ~> L1.H1.V -> logits\n embed -> L0.H0.V from S2\n CELLS ~> logits from END\n"
        "L0.H1 -> CELLS2 from END",
        "ablate CELLS by mean\nablate embed by resample\nfaithfulness >= 1%",
        nodes="CELLS L0.MLP[5], L0.MLP[9] at END\nCELLS2 L1.MLP[3] at END\nIN embed",
        model="builtin ioi_tiny",
        test="random edges 6",
    )
    file, saved = tmp_path / "a.circuit", tmp_path / "a.evidence"
    words = (ROOT / "circuits" / "builtin_ioi.circuit").read_text("utf-8")
    prompts = re.search(r"prompts \{\n.*?\n\}", words, re.DOTALL)[0]
    prompts = prompts.replace("sample  120", "sample  24")
    text = re.sub(r"prompts \{\n.*?\n\}", lambda _: prompts, text, flags=re.DOTALL)
    file.write_text(text, encoding="utf-8")
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    ran = called(capsys, "run", file, "--evidence", saved, "--json", first)
    assert ran.code in (0, 1, 4), ran.err
    assert ", 0 ERROR;" in ran.out
    again = called(capsys, "judge", file, saved, "--json", second)
    assert again.code == ran.code
    one, other = (json.loads(path.read_text("utf-8")) for path in (first, second))
    assert one["claims"] == other["claims"]
    assert all(check["passed"] for check in one["self_checks"])
    kinds = [(claim["kind"], claim["random_edges"]) for claim in one["claims"]]
    assert [kind for kind, _ in kinds] == ["path", *["edge"] * 3, *["ablate"] * 2, "faithfulness"]
    drawn = [found["drawn"] if found else None for _, found in kinds]
    assert drawn == [2, 0, 6, 2, None, None, None], drawn
    whole = {claim["text"]: claim["estimate"]["value"] for claim in one["claims"]}
    assert whole["ablate embed by resample"] == pytest.approx(1, abs=1e-4)
    for command in (("plan", file), ("draw", file)):
        assert called(capsys, *command).code == 0, command


def test_neurons_outside_are_drawn_as_from_a_list():
    inside = {Neuron(0, 1), Neuron(2, 0), Neuron(2, 3), MLP(1), Neuron(1, 2), Head(0, 0)}
    every = [Neuron(layer, n) for layer in (0, 2, 3) for n in range(4)]
    listed = [neuron for neuron in every if neuron not in inside]
    found = NeuronsOutside(4, 4, inside)
    assert (list(found), len(found)) == (listed, len(listed))
    left, one, other = list(listed), Random(3), Random(3)
    popped = [left.pop(int(one.random() * len(left))) for _ in range(6)]
    assert list(drawn(found, 6, other)) == popped
    assert sorted(drawn(found, 99, Random(0))) == listed
    huge = NeuronsOutside(1_000, 1_000_000, inside)
    assert len(set(drawn(huge, 100, Random(0)))) == 100
