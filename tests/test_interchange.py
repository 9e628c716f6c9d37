"""What circuit finders write becomes `.circuit` files, and back; nothing is dropped in silence."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitlang.circuit import Circuit, EdgeClaim, can_feed
from circuitlang.circuit.component import parse_component
from circuitlang.interchange import (
    ForeignFileError,
    FoundCircuit,
    FoundEdge,
    circuit_text,
    eap_ig_json,
    edge_list_text,
    left_out,
    model_words,
    read_found,
    sayable,
    select,
)
from circuitlang.interchange.found import receiver_of
from circuitlang.interchange.names import ends_of
from circuitlang.models import KNOWN_SHAPES
from circuitlang.source import SourceText
from circuitlang.syntax import format_source
from tests.front_end import ROOT, circuit_of, read, read_file

FILES = sorted((ROOT / "circuits").rglob("*.circuit"))
EXCERPT = ROOT / "tests" / "interchange" / "ioi_eap_ig_excerpt.json"
Pairs = set[tuple[str, str]]


def eap_ig_edges(layers: int, heads: int, *, parallel: bool = False) -> dict[str, tuple[str, str]]:
    """Every edge that EAP-IG has in a model, with its ends in this language's names.

    Written out from the definition: whatever writes to the residual stream before a part reads.
    """
    found: dict[str, tuple[str, str]] = {}
    stream = [("input", "embed")]
    for layer in range(layers):
        attention = [(f"a{layer}.h{head}", f"L{layer}.H{head}") for head in range(heads)]
        mlp = (f"m{layer}", f"L{layer}.MLP")
        for sender, our in stream:
            for head, ours in attention:
                for slot in "qkv":
                    found[f"{sender}->{head}<{slot}>"] = (our, f"{ours}.{slot.upper()}")
        for sender, our in stream if parallel else [*stream, *attention]:
            found[f"{sender}->{mlp[0]}"] = (our, mlp[1])
        stream += [*attention, mlp]
    found |= {f"{sender}->logits": (our, "logits") for sender, our in stream}
    return found


GPT2 = eap_ig_edges(12, 12)


def pairs_of(circuit: Circuit) -> Pairs:
    """The pairs that single edges join; what finders do not know, neurons and paths, left out."""
    return {
        (str(sender), str(receiver))
        for edge in circuit.edges
        if isinstance(edge, EdgeClaim) and not edge.absent
        for sender in edge.senders
        for receiver in edge.receivers
        if can_feed(sender, receiver) and "[" not in f"{sender}{receiver}"
    }


def pairs(edges: tuple[FoundEdge, ...]) -> Pairs:
    return {(edge.sender, edge.receiver) for edge in edges}


def imported(found: FoundCircuit, edges: tuple[FoundEdge, ...] | None = None, **more) -> str:
    kept, others = sayable(select(found) if edges is None else edges)
    rule = more.pop("rule", "those that it has in the circuit")
    return circuit_text(found, kept, others, name="found.json", rule=rule, model='"gpt2"', **more)


# names


def test_every_edge_of_eap_ig_is_known_by_its_name() -> None:
    assert len(GPT2) == 32_491  # as published for GPT-2 small
    for name, ends in GPT2.items():
        assert ends_of(*name.split("->")) == (*ends, "")
    assert len(set(GPT2.values())) == 32_491


@pytest.mark.parametrize(
    "name, sender, receiver",
    [
        ("A0.1->A5.5.Q", "L0.H1", "L5.H5.Q"),
        ("MLP 2->A3.0.V", "L2.MLP", "L3.H0.V"),
        ("Resid Start->MLP 0", "embed", "L0.MLP"),
        ("A9.9->Resid End", "L9.H9", "logits"),
        ("blocks.9.attn.hook_result[:, :, 9] -> blocks.11.hook_resid_post[:]", "L9.H9", "logits"),
        (
            "blocks.0.hook_mlp_out[:] -> blocks.10.hook_k_input[:, :, 7]",
            "L0.MLP",
            "L10.H7.K",
        ),
        ("blocks.0.hook_resid_pre[:] -> blocks.3.hook_resid_mid[:]", "embed", "L3.MLP"),
        (
            "blocks.2.attn.hook_result[COLON, COLON, 11] -> blocks.2.hook_mlp_in[COLON]",
            "L2.H11",
            "L2.MLP",
        ),
        ("L9.H6->L10.H0.Q", "L9.H6", "L10.H0.Q"),
        ("embed -> logits", "embed", "logits"),
        ("a05.h1->m7", "L5.H1", "L7.MLP"),
    ],
)
def test_names_of_every_tool(name: str, sender: str, receiver: str) -> None:
    (edge,) = read_found(name).edges
    assert (edge.sender, edge.receiver, edge.score, edge.unsayable) == (sender, receiver, None, "")


@pytest.mark.parametrize(
    "name, reason",
    [
        ("A0.1->A5.5", "into Q, K and V of a head together"),
        ("A0.1->Block 3 Resid Mid", "into the residual stream between two layers"),
        ("hook_pos_embed[:] -> blocks.1.hook_mlp_in[:]", "from the token or the position"),
        ("blocks.5.hook_mlp_in[:] -> blocks.5.hook_mlp_out[:]", "inside one component"),
        ("blocks.5.hook_q_input[:, :, 1] -> blocks.5.attn.hook_q[:, :, 1]", "inside one"),
        ("blocks.5.attn.hook_q[:, :, 1] -> blocks.5.attn.hook_result[:, :, 1]", "inside one"),
        ("a5.h1->a3.h0<q>", "running backwards"),
        ("m3->a3.h0<q>", "running backwards"),
    ],
)
def test_what_cannot_be_said_is_named(name: str, reason: str) -> None:
    found = read_found(f"A0.0->Resid End\n{name}")
    kept, others = sayable(found.edges)
    assert pairs(kept) == {("L0.H0", "logits")}
    assert [(edge.name, edge.unsayable.startswith(reason)) for edge in others] == [(name, True)]
    text = imported(found)
    comment = " ".join(line.removeprefix("# ") for line in text.splitlines() if line[:1] == "#")
    assert f"Left out 1 edge {others[0].unsayable}: {name}." in comment


def test_a_head_feeds_the_mlp_of_its_layer_unless_blocks_are_parallel() -> None:
    found = read_found("a3.h0->m3\na3.h0->m4")
    assert len(sayable(found.edges)[0]) == 2
    kept, others = sayable(found.edges, parallel=True)
    assert pairs(kept) == {("L3.H0", "L4.MLP")}
    assert [edge.name for edge in others] == ["a3.h0->m3"]


def test_an_edge_is_taken_once() -> None:
    kept, others = sayable(read_found("A0.1->MLP 3 0.5\na0.h1->m3 0.7").edges)
    assert [edge.score for edge in kept] == [0.5]
    assert [edge.unsayable for edge in others] == ["named twice"]


def test_edges_from_the_embedding_wait_for_the_language() -> None:
    found = read_found("Resid Start->MLP 0\nA0.1->MLP 3")
    assert pairs(sayable(found.edges, embed=True)[0]) == {("embed", "L0.MLP"), ("L0.H1", "L3.MLP")}
    kept, others = sayable(found.edges, embed=False)
    assert pairs(kept) == {("L0.H1", "L3.MLP")}
    assert left_out(others) == [
        "Left out 1 edge from the embedding, which is no component yet: Resid Start->MLP 0."
    ]
    kept, _ = sayable(found.edges, embed=True)
    rule = {"name": "x", "rule": "those", "model": '"gpt2"'}
    assert "\n  embed -> L0.MLP\n" in circuit_text(found, kept, (), **rule)


# formats


def test_a_real_graph_of_eap_ig() -> None:
    found = read_found(EXCERPT.read_text("utf-8"))
    assert (found.layers, found.heads, found.parallel, found.model) == (12, 12, False, None)
    assert len(found.edges) == 15
    assert len(select(found)) == 13
    best = select(found, top=2)
    assert [(edge.name, edge.score) for edge in best] == [
        ("input->m0", -0.2084552), ("a9.h9->logits", -0.2815381),
    ]  # fmt: skip
    assert [e.name for e in select(found, threshold=0.13)] == [
        "input->m0", "a9.h6->logits", "a9.h9->logits", "a10.h7->logits",
    ]  # fmt: skip


def test_older_graphs_and_scores_of_nodes() -> None:
    old = {
        "cfg": {},
        "nodes": {"m0": True},
        "edges": {"m0->logits": {"score": None, "in_graph": True}},
    }
    (edge,) = read_found(json.dumps(old)).edges
    assert (edge.sender, edge.score, edge.in_graph) == ("L0.MLP", None, True)
    new = {
        "cfg": {"n_layers": 2, "n_heads": 1, "parallel_attn_mlp": True, "model_name": "gpt2"},
        "nodes": {
            "m0": {"in_graph": True, "score": 1.0, "neurons": [True], "neurons_scores": [1.0]}
        },
        "edges": {"m0->logits": {"score": float("nan"), "in_graph": False}},
    }
    found = read_found(json.dumps(new))
    assert (found.layers, found.heads, found.parallel, found.model) == (2, 1, True, "gpt2")
    assert found.notes == ("scores of nodes (1)", "which neurons of nodes are in the graph (1)")
    assert (found.edges[0].score, found.edges[0].in_graph) == (None, False)
    assert "# Not read: scores of nodes (1)." in imported(found, found.edges)


LISTS = [
    "A0.1->MLP 2 0.5\n\n# a comment\nMLP 2->Resid End  -1e-2  # another\nA0.1->MLP 3",
    "A0.1 -> MLP 2, 0.5\nMLP 2 -> Resid End: -.01\nA0.1 -> MLP 3\n",
    '{"A0.1->MLP 2": 0.5, "MLP 2->Resid End": -0.01, "A0.1->MLP 3": null}',
    '[["A0.1->MLP 2", 0.5], ["MLP 2->Resid End", -0.01], "A0.1->MLP 3"]',
    '{"edges": {"A0.1->MLP 2": 0.5, "MLP 2->Resid End": -0.01, "A0.1->MLP 3": null}}',
]


@pytest.mark.parametrize("text", LISTS)
def test_lists_of_edges(text: str) -> None:
    found = read_found(text)
    assert [(edge.sender, edge.receiver, edge.score) for edge in found.edges] == [
        ("L0.H1", "L2.MLP", 0.5), ("L2.MLP", "logits", -0.01), ("L0.H1", "L3.MLP", None),
    ]  # fmt: skip
    assert read_found(text, "edges") == found


def test_token_positions_are_not_read_and_that_is_said() -> None:
    found = read_found('{"Resid Start->MLP 0": [1, 2], "MLP 0->Resid End": [5]}')
    assert found.notes == ("token positions of edges (2)",)
    assert [edge.score for edge in found.edges] == [None, None]


def test_the_last_stream_says_how_many_layers_there_are() -> None:
    assert read_found("blocks.0.hook_mlp_out[:] -> blocks.11.hook_resid_post[:]").layers == 12
    assert read_found("A0.0->Resid End").layers is None


@pytest.mark.parametrize(
    "text, kind, reason",
    [
        ("", None, "there is no edge in it"),
        ("# nothing\n", None, "there is no edge in it"),
        ("A0.1->A5.5.Q\nA0.1 A5.5.Q", None, "line 2: `A0.1 A5.5.Q` is no edge"),
        ("A0.1->A5.5.X", None, "line 1: `A0.1->A5.5.X` is no edge"),
        ("A0.1->MLP 0.3", None, "line 1"),
        ("nonsense->logits", None, "line 1: `nonsense->logits` is no edge"),
        ("{", None, "not JSON"),
        ("[" * 100_000, None, "not JSON"),
        ("A0.1->MLP 2", "eap-ig", "not JSON"),
        ("[]", "eap-ig", "an EAP-IG graph is a JSON object"),
        ('{"edges": []}', "eap-ig", "an EAP-IG graph is a JSON object"),
        ('{"edges": {"m0->m1": {}, "m0->logits": 1}}', None, "`m0->logits`: expected an object"),
        ('{"cfg": {}, "edges": {"m0->logits": {"in_graph": 1}}}', None, "must be true or false"),
        ('{"cfg": {}, "edges": {"m0->logits": {"score": "1"}}}', None, "a score must be a number"),
        ('{"cfg": {}, "edges": {"m0->m1<q>": {"score": 1}}}', None, "`m0->m1<q>` is no edge"),
        ("[1]", None, "an edge is a text"),
        ('{"A0.1->MLP 2": "high"}', None, "a score must be a number"),
        ('{"edges": 3}', None, "expected a list of edges"),
        (
            "m0->blocks.1.hook_resid_post[:]\nm0->blocks.2.hook_resid_post[:]",
            None,
            "residual stream of more than one layer",
        ),
    ],
)
def test_what_is_no_such_file_is_refused(text: str, kind: str | None, reason: str) -> None:
    with pytest.raises(ForeignFileError, match=re.escape(reason)):
        read_found(text, kind)


@settings(max_examples=200, deadline=None)
@given(
    st.text(max_size=60)
    | st.recursive(
        st.none() | st.text(max_size=9) | st.floats(),
        lambda s: (
            st.lists(s, max_size=3)
            | st.dictionaries(st.sampled_from(["edges", "cfg", "m0->logits", "x"]), s, max_size=3)
        ),
    ).map(json.dumps)
)
def test_nothing_that_a_file_can_hold_makes_another_error(text: str) -> None:
    for kind in (None, "eap-ig", "edges"):
        try:
            found = read_found(text, kind)
        except ForeignFileError:
            continue
        assert found.edges


# choosing


def test_the_largest_scores_count_without_their_sign_and_equals_in_order() -> None:
    found = read_found("m0->m1 0.5\nm0->m2 -0.5\nm0->m3 0.5\nm0->m4 -0.9\nm0->m5\nm0->m6 0.1")
    chosen = [[edge.receiver for edge in select(found, top=n)] for n in (1, 2, 3, 99)]
    assert chosen[0] == ["L4.MLP"]
    assert chosen[1] == ["L1.MLP", "L4.MLP"]
    assert chosen[2] == ["L1.MLP", "L2.MLP", "L4.MLP"]
    assert len(chosen[3]) == 5
    assert [edge.receiver for edge in select(found, threshold=0.9)] == ["L4.MLP"]
    with pytest.raises(ForeignFileError, match="no edge has a score"):
        select(read_found("m0->m1"), top=1)


# the file


def test_the_file_of_the_excerpt() -> None:
    found = read_found(EXCERPT.read_text("utf-8"))
    kept, others = sayable(select(found, top=7), embed=False)
    text = circuit_text(
        found, kept, others, name="ioi.json", rule="the 7 with the largest absolute scores",
        model='"gpt2"',
    )  # fmt: skip
    head, rest = text.split("circuit ioi\n")
    assert (
        head
        == """\
# Imported from ioi.json, an EAP-IG graph with 15 edges: the 7 with the largest absolute scores, 6
# of them claimed here. Each edge is claimed as a direct one, with at least the `minimum effect` of
# the `test` block. An edge that works against the task has a negative effect: give it a bound such
# as `<= -1%`. Scores are the finder's, in its own unit and with its own sign.
# Left out 1 edge from the embedding, which is no component yet: input->m0.
"""
    )
    assert (
        rest
        == """
model "gpt2"

# EXAMPLE: REPLACE THESE PROMPTS AND THIS METRIC by those of the task that the circuit was found on.
prompts {
  clean   "When {IO} and {S} went to the {PLACE}, {S} gave a drink to"
  clean   "When {S} and {IO} went to the {PLACE}, {S} gave a drink to"
  corrupt S2 = IO
  IO, S   from names
  PLACE   from places
}

metric logit_diff(IO, S)

nodes {
  # scores -0.13, -0.2815, -0.05882, +0.1964
  TO_LOGITS L9.H6, L9.H9, L10.H0, L10.H7
}

edges {
  L5.H5 -> L8.H6.V    # score -0.07767
  L9.H9 -> L11.H10.Q  # score +0.08118
  each TO_LOGITS -> logits
}
"""
    )
    source = SourceText("ioi.circuit", text)
    _, circuit, diagnostics = read(source)
    assert diagnostics == ()
    assert circuit is not None
    assert pairs_of(circuit) == pairs(kept)
    assert len(circuit.edges) == 6  # `each` makes a claim of every pair


names_of_edges = st.lists(st.sampled_from(sorted(GPT2)), min_size=1, max_size=60, unique=True)


@settings(max_examples=40, deadline=None)
@given(names_of_edges, st.data())
def test_a_file_claims_just_the_edges_that_were_found(
    names: list[str], data: st.DataObject
) -> None:
    numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False, width=32)
    infos = {
        name: {"score": data.draw(numbers), "in_graph": data.draw(st.booleans())} for name in names
    }
    found = read_found(json.dumps({"cfg": {}, "edges": infos}))
    taken = select(found)
    assert [edge.name for edge in taken] == [n for n in names if infos[n]["in_graph"]]
    kept, others = sayable(taken, embed=False)
    assert len(kept) + len(others) == len(taken)
    if not kept:
        return
    text = circuit_text(found, kept, others, name="f.json", rule="those", model='"gpt2"')
    source = SourceText("f.circuit", text)
    assert format_source(source) == text
    circuit = circuit_of(text)
    assert pairs_of(circuit) == {GPT2[edge.name] for edge in kept}
    assert len(circuit.edges) == len(kept)
    assert all(
        len(e.senders) == len(e.receivers) == 1 and not e.through_mlps for e in circuit.edges
    )
    words = text.replace("\n# ", " ")
    assert all(edge.name in words for edge in others)


def test_many_edges_get_a_test_block_for_a_long_search() -> None:
    names = [name for name, (sender, _) in GPT2.items() if sender != "embed"]
    few, many = ("\n".join(names[:count]) for count in (50, 51))
    assert "test {" not in imported(read_found(few))
    assert "significance 5% correction bh" in imported(read_found(many))


@pytest.mark.parametrize(
    "name, identifier",
    [
        ("a-b c.json", "a_b_c"),
        ("edges.txt", "imported_edges"),
        ("9.json", "imported_9"),
        ("é", "imported"),
    ],
)
def test_a_circuit_is_named_after_the_file(name: str, identifier: str) -> None:
    found = read_found("m0->logits")
    text = circuit_text(found, found.edges, (), name=name, rule="those", model='"gpt2"')
    assert f"\ncircuit {identifier}\n" in text
    assert circuit_of(text).name == identifier


def test_names_of_models() -> None:
    assert model_words("gpt2") == '"gpt2"'
    assert model_words("builtin ioi_tiny") == "builtin ioi_tiny"
    for name in ('a"b', "a\nb", "", "a\u202eb"):
        with pytest.raises(ValueError, match="no quotes"):
            model_words(name)


# there and back


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_exported_edges_are_imported_again(path: Path) -> None:
    _, circuit, _ = read_file(path)
    assert circuit is not None
    text, lost = edge_list_text(circuit, {})
    if not pairs_of(circuit):  # only absences
        assert text == ""
        return
    assert pairs(read_found(text).edges) == pairs_of(circuit)
    absent = sum(edge.absent for edge in circuit.edges)
    assert any("absent" in words for words in lost) == bool(absent)
    if circuit.shape is None:
        return
    text, again = eap_ig_json(circuit, circuit.shape, 16, {})
    assert again == lost
    graph = json.loads(text)
    found = read_found(text)
    assert pairs(found.edges) == pairs_of(circuit)
    allowed = eap_ig_edges(
        circuit.shape.layers, circuit.shape.heads, parallel=circuit.shape.parallel
    )
    assert set(graph["edges"]) <= set(allowed)
    # What EAP-IG's reader needs: scores that are numbers, sizes, and every node it may look up.
    assert all(isinstance(info["score"], float) for info in graph["edges"].values())
    assert set(graph["cfg"]) == {"n_layers", "n_heads", "parallel_attn_mlp", "d_model"}
    nodes = {re.sub(r"<.>", "", end) for name in allowed for end in name.split("->")}
    assert set(graph["nodes"]) == nodes
    inside = {re.sub(r"<.>", "", end) for name in graph["edges"] for end in name.split("->")}
    in_graph = {name for name, info in graph["nodes"].items() if info["in_graph"]}
    assert in_graph == inside | {"logits"}


SCORED = """model "gpt2"
prompts {
 clean "When {IO} and {S} went home, {S} thanked"
 corrupt S2 = IO
 IO, S from names
}
metric logit_diff(IO, S)
nodes {
 A L0.H1, L1.H2
 B L5.H5
}
edges {
 A -> B.V
 L0.H1 -> L5.H5.V
 B -> logits
 L6.H6 ~> logits
 A -> B.K -> L9.H9.Q
}
"""


def test_a_score_is_the_effect_of_that_edge_alone() -> None:
    """Not of its group, of a path, or of all ways through the MLPs: these are no edge's own."""
    circuit = circuit_of(SCORED)
    effects = {0: 0.5, 1: -0.123456789, 2: 0.25, 3: 0.75, 4: 0.875}
    text, lost = edge_list_text(circuit, effects)
    scored = {(e.sender, e.receiver): e.score for e in read_found(text).edges}
    assert scored == {
        ("L0.H1", "L5.H5.V"): -0.123457, ("L1.H2", "L5.H5.V"): None,
        ("L5.H5", "logits"): 0.25, ("L6.H6", "logits"): None,
    }  # fmt: skip
    told = [line for line in text.splitlines() if line.startswith("#")]
    assert told == [
        "# the effect of `A -> B.V` as a whole: 0.5",
        "# the effect of `L6.H6 ~> logits` as a whole: 0.75",
    ]
    assert lost[-1].startswith("2 effects left out, not of one direct edge alone")
    graph, also = eap_ig_json(circuit, KNOWN_SHAPES["gpt2"], 768, effects)
    scores = {name: info["score"] for name, info in json.loads(graph)["edges"].items()}
    assert scores == {
        "a0.h1->a5.h5<v>": -0.123456789, "a1.h2->a5.h5<v>": 0.0,
        "a5.h5->logits": 0.25, "a6.h6->logits": 0.0,
    }  # fmt: skip
    assert also == lost
    assert not any("effect" in words for words in edge_list_text(circuit, {})[1])


def test_what_the_formats_cannot_hold_is_counted() -> None:
    text = (ROOT / "circuits" / "builtin_ioi.circuit").read_text("utf-8")
    circuit = circuit_of(text)
    assert edge_list_text(circuit, {})[1] == (
        "3 absent edges left out",
        "5 edges through MLPs written as direct",
        "4 edges between groups written pair by pair",
        "5 edges without the positions",
        "4 claims that are no edges left out",
    )


def test_receivers_by_name() -> None:
    assert str(receiver_of("L5.H5.Q")) == "L5.H5.Q"
    assert str(receiver_of("L3.MLP")) == "L3.MLP"
    assert str(receiver_of("logits")) == "logits"
    assert parse_component("L5.H5.Q") is None
    for name in ("nothing", "L5.H5", "L5.H5.X", "L3.MLP.Q", "embed"):
        with pytest.raises(ValueError, match="no receiver"):
            receiver_of(name)
