"""What a file means: positions, edges, bounds, defaults, prompts, the graph."""

from dataclasses import replace
from pathlib import Path

import networkx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from circuitlang.circuit import (
    AT_END,
    END,
    MLP,
    Ablation,
    AblationClaim,
    Bound,
    Circuit,
    Correction,
    Direction,
    EdgeClaim,
    FaithfulnessClaim,
    Head,
    Logits,
    Metric,
    ModelReference,
    Places,
    Position,
    PromptPair,
    Prompts,
    Receiver,
    Role,
    Slot,
    Template,
    TestSettings,
    Unit,
    expand,
    resolve,
    to_graph,
)
from circuitlang.models import ModelShape
from circuitlang.plan import compile_plan
from circuitlang.source import SourceText
from circuitlang.syntax import parse
from tests.front_end import GOLDEN, circuit_of, codes_of

PROMPTS = """
  clean   "When {IO} and {S} went to the {PLACE}, {S} gave a drink to"
  corrupt IO = fresh, S1 = fresh, S2 = fresh
  IO, S   from names
  PLACE   from places
"""
NODES = """
  EARLY L0.H1, L1.H2  at S2
  NEXT  L4.H11        at S1+1
  LATE  L7.H3, L8.H6  at END
  LAST  L9.H6, L9.H9  at END
  WIDE  L2.H0, L3.H0
  BOTH  L5.H0         at S2, END
"""


ADDED = "by 2 * (clean - corrupt) >= 10%"


def _text(
    edges: str = "LAST ~> logits",
    nodes: str = NODES,
    prompts: str = PROMPTS,
    claims: str = "faithfulness >= 80%",
    test: str = "",
    model: str = '"gpt2"',
) -> str:
    blocks = {"prompts": prompts, "nodes": nodes, "edges": edges, "claims": claims, "test": test}
    body = "".join(f"{name} {{\n{text}\n}}\n" for name, text in blocks.items())
    return f"model {model}\nmetric logit_diff(IO, S)\n{body}"


def _edges(*lines: str, **blocks: str) -> tuple[EdgeClaim, ...]:
    return circuit_of(_text(edges="\n".join(lines), **blocks)).edges


def _edge(line: str, **blocks: str) -> EdgeClaim:
    (edge,) = _edges(line, **blocks)
    return edge


PINNED = [
    "When Patrick and Scott went to the house, Scott gave a drink to",
    "When Jessica and Kimberly went to the station, Kimberly gave a drink to",
]
S1, S2 = Position("S", 1), Position("S", 2)


# Nodes and positions


@pytest.mark.parametrize(
    "written, meant",
    [
        ("", ()),
        ("at END", (AT_END,)),
        ("at END-2", (Position(END, 1, -2),)),
        ("at IO", (Position("IO"),)),
        ("at IO1", (Position("IO"),)),
        ("at S1", (S1,)),
        ("at S2", (S2,)),
        ("at S1+1", (Position("S", 1, 1),)),
        ("at S2 - 1", (Position("S", 2, -1),)),
        ("at S2, END, IO", (S2, AT_END, Position("IO"))),
        ("at S2, S2, S2+0", (S2,)),
    ],
)
def test_positions(written: str, meant: tuple[Position, ...]) -> None:
    circuit = circuit_of(_text(nodes=f'A L0.H0 {written} "a label"', edges="A ~> L9.H0.V"))
    assert circuit.roles == (Role("A", (Head(0, 0),), meant, "a label"),)


@pytest.mark.parametrize("written", ["S", "S3", "S0", "S01", "VERB", "END+1", "X1", "s1", "IO2"])
def test_a_position_that_no_prompt_has(written: str) -> None:
    assert codes_of(_text(nodes=f"A L0.H0 at {written}", edges="A ~> L9.H0.V")) == ["CL304"]


def test_a_slot_may_be_called_like_an_occurrence() -> None:
    prompts = PROMPTS.replace("{PLACE}", "{S2}").replace("PLACE ", "S2 ")
    assert codes_of(_text(prompts=prompts)) == []
    roles = circuit_of(_text(prompts=prompts)).roles
    assert roles[0].positions == (Position("S2"),)


def test_a_position_must_stand_in_every_template() -> None:
    prompts = PROMPTS + '  clean "{IO} met {S}, and"\n'
    prompts = prompts.replace("S1 = fresh, S2", "S")
    assert codes_of(_text(prompts=prompts, nodes="A L0.H0 at S1", edges="A ~> L9.H0.V")) == []
    assert codes_of(_text(prompts=prompts, nodes="A L0.H0 at S2", edges="A ~> L9.H0.V")) == [
        "CL304"
    ]


def test_heads_and_mlps_are_components() -> None:
    role = circuit_of(_text(nodes="A L0.H11, l3.mlp", edges="A ~> logits")).roles[0]
    assert role.components == (Head(0, 11), MLP(3))


@pytest.mark.parametrize(
    "component, code", [("L12.H0", "CL205"), ("L0.H12", "CL206"), ("L12.MLP", "CL205")]
)
def test_components_must_exist(component: str, code: str) -> None:
    assert codes_of(_text(nodes=f"A {component}", edges="A ~> logits")) == [code]
    assert codes_of(_text(edges=f"{component} ~> logits")) == [code]


def test_an_unknown_model_lets_every_component_pass() -> None:
    text = _text(nodes="A L90.H90", edges="A ~> logits", model='"some/model"')
    assert circuit_of(text).shape is None
    source = SourceText("x", text)
    _, mistakes = resolve(parse(source)[0], source, ModelShape(4, 4, 4))
    assert [mistake.code for mistake in mistakes] == ["CL205"]


# Where an edge lives


@pytest.mark.parametrize(
    "line, positions",
    [
        ("EARLY ~> LATE.V", (S2,)),
        ("EARLY ~> LATE.K", (S2,)),
        ("NEXT ~> LATE.K", (Position("S", 1, 1),)),
        ("WIDE ~> LATE.V", ()),
        ("LATE ~> LAST.Q", (AT_END,)),
        ("WIDE ~> LAST.Q", (AT_END,)),
        ("EARLY ~> L9.H0.Q", (S2,)),
        ("BOTH ~> LAST.Q", (AT_END,)),
        ("EARLY ~> BOTH.Q", (S2,)),
        ("EARLY ~> WIDE.Q", (S2,)),
        ("EARLY ~> L5.MLP", (S2,)),
        ("LATE -> logits", (AT_END,)),
        ("WIDE -> logits", (AT_END,)),
        ("L1.MLP -> logits", (AT_END,)),
        ("L1.MLP -> L2.H0.Q", ()),
    ],
)
def test_the_position_of_an_edge(line: str, positions: tuple[Position, ...]) -> None:
    assert _edge(line).positions == positions


@pytest.mark.parametrize(
    "line, code",
    [
        ("EARLY ~> LATE.Q", "CL216"),
        ("EARLY ~> logits", "CL216"),
        ("NEXT ~> LATE.Q", "CL216"),
        ("EARLY ~> MLPS", "CL216"),
        ("L0.H0 ~> WIDE.V", None),
        ("ENDS ~> MID.V", "CL218"),
        ("ENDS ~> MID.K", "CL218"),
        ("MID ~> ENDS.V", "CL210"),
        ("LATE ~> EARLY.V", "CL210"),
        ("L5.H0 ~> L5.H1.Q", "CL210"),
        ("L5.MLP ~> L5.H1.Q", "CL210"),
        ("L5.H1 ~> L5.MLP", None),
        ("L5.MLP ~> L5.MLP", "CL210"),
        ("each WIDE ~> L3.H5.Q", "CL210"),
        ("WIDE ~> L3.H5.Q", "CL215"),
        ("LATE ~> LAST", "CL212"),
        ("LATE ~> LAST.X", "CL211"),
        ("LATE ~> L9.MLP.Q", "CL211"),
        ("LATE ~> logits.Q", "CL211"),
        ("LATE.V ~> LAST.Q", "CL213"),
        ("logits ~> LAST.Q", "CL214"),
        ("NOBODY ~> LAST.Q", "CL201"),
    ],
)
def test_edges_that_cannot_be(line: str, code: str | None) -> None:
    nodes = NODES + "MLPS L9.MLP at END\n ENDS L2.H2 at END\n MID L3.H3 at S1\n"
    assert codes_of(_text(nodes=nodes, edges=line)) == ([code] if code else [])


def test_every_template_must_let_attention_look_back() -> None:
    prompts = PROMPTS + '  clean "{S} thought that {S} liked the {PLACE} that {IO} and"\n'
    nodes = "A L0.H0 at S1\n B L9.H0 at PLACE"
    assert _edge("A ~> B.V", nodes=nodes, prompts=prompts).positions == (Position("S"),)
    for nodes in ("A L0.H0 at IO\n B L9.H0 at S1", "A L0.H0 at PLACE\n B L9.H0 at S1"):
        for edge in ("A ~> B.V", "A -> B.V -> logits", "L0.H0 ~> L9.H0.K from IO to S1"):
            assert codes_of(_text(edges=edge, nodes=nodes, prompts=prompts))[:1] == ["CL218"]
    for query, codes in (("S1", ["CL218"]), ("END", [])):
        claims, edges = f"attention L9.H0 {query} -> IO >= 0.5", "L0.H0 ~> logits"
        assert codes_of(_text(claims=claims, edges=edges, nodes="", prompts=prompts)) == codes


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_what_is_called_blind_is_blind_and_without_offsets_nothing_is_missed(
    data: st.DataObject,
) -> None:
    """Templates of words and slots, each filled with one to three tokens, counted here."""
    parts = st.lists(st.sampled_from(["A", "B", "a", "word"]), min_size=1, max_size=7)
    own = data.draw(parts.filter(lambda p: {"A", "B"} <= {*p}))
    texts, slots = [""], []
    for part in own:
        if part in ("A", "B"):
            slots.append(part)
            texts.append("")
        else:
            texts[-1] += f" {part}"
    sizes = [data.draw(st.integers(1, 3)) if part in ("A", "B") else 1 for part in own]
    ranges: dict[tuple[str, int], tuple[int, int]] = {}
    for index, part in enumerate(own):
        ranges[part, own[: index + 1].count(part)] = (
            sum(sizes[:index]), sum(sizes[: index + 1]) - 1
        )
    ranges[END, 1] = (sum(sizes) - 1, sum(sizes) - 1)
    template = Template(tuple(texts), tuple(slots))
    names = st.sampled_from([name for name in ranges if name[0] in ("A", "B", END)])
    offsets = st.integers(-2, 2) if data.draw(st.booleans()) else st.just(0)
    positions = st.lists(st.tuples(names, offsets), min_size=1, max_size=3).map(
        lambda found: tuple(Position(*name, offset) for name, offset in found)
    )
    readers, sources = data.draw(positions), data.draw(positions)

    def token(position: Position) -> int:
        first, last = ranges[position.slot, position.occurrence]
        return (first if position.offset < 0 else last) + position.offset

    blind = max(map(token, readers)) < min(map(token, sources))
    found = Places([template]).blind(readers, sources)
    if found:
        assert blind
    if not any(p.offset for p in (*readers, *sources)):
        assert (found == 1) == blind


def test_an_mlp_of_a_parallel_block_does_not_read_its_own_heads() -> None:
    assert codes_of(_text(edges="L5.H1 ~> L5.MLP", model='"EleutherAI/pythia-160m"')) == ["CL210"]


# What an edge says


def test_an_edge_in_full() -> None:
    edge = _edge("no LATE -> LAST.Q within 2% by denoising")
    assert edge == EdgeClaim(
        senders=(Head(7, 3), Head(8, 6)),
        receivers=(Receiver(Head(9, 6), Slot.Q), Receiver(Head(9, 9), Slot.Q)),
        positions=(AT_END,),
        through_mlps=False,
        direction=Direction.DENOISING,
        absent=True,
        bound=Bound(-0.02, 0.02, is_margin=True),
        sender_name="LATE",
        receiver_name="LAST.Q",
        text="no LATE -> LAST.Q within 2% by denoising",
    )


def test_the_arrow_says_what_recomputes() -> None:
    assert _edge("LATE ~> LAST.Q").through_mlps
    assert not _edge("LATE -> LAST.Q").through_mlps


def test_each_is_one_edge_for_every_pair() -> None:
    edges = _edges("each LATE ~> LAST.Q >= 5%")
    assert [edge.text for edge in edges] == [
        "L7.H3 ~> L9.H6.Q >= 5%",
        "L7.H3 ~> L9.H9.Q >= 5%",
        "L8.H6 ~> L9.H6.Q >= 5%",
        "L8.H6 ~> L9.H9.Q >= 5%",
    ]
    assert {edge.bound for edge in edges} == {Bound(0.05, None)}
    assert {edge.positions for edge in edges} == {(AT_END,)}
    assert all(len(edge.senders) == len(edge.receivers) == 1 for edge in edges)


def test_each_counts_against_an_edge_that_is_written_out() -> None:
    assert codes_of(_text(edges="each EARLY ~> LATE.V\n each EARLY ~> LATE.V")) == ["CL217"]
    assert codes_of(_text(edges="each WIDE ~> L9.H9.V\n L2.H0 -> L9.H9.V")) == []
    assert codes_of(_text(edges="each WIDE ~> L9.H9.V\n L2.H0 ~> L9.H9.V")) == ["CL217"]


@pytest.mark.parametrize(
    "written, bound",
    [
        ("", Bound(0.01, None, is_default=True)),
        (">= 20%", Bound(0.2, None)),
        (">= 0.2", Bound(0.2, None)),
        ("<= -5%", Bound(None, -0.05)),
        ("<= - 5 %", Bound(None, -0.05)),
        ("in 10%..30%", Bound(0.1, 0.3)),
        ("in -2..+2", Bound(-2.0, 2.0)),
        (">= 1.5 logits", Bound(1.5, None, Unit.LOGITS)),
        ("in -1 logits..2 logits", Bound(-1.0, 2.0, Unit.LOGITS)),
    ],
)
def test_bounds(written: str, bound: Bound) -> None:
    assert _edge(f"LATE ~> LAST.Q {written}").bound == bound


@pytest.mark.parametrize(
    "written, code",
    [
        (">= 20", "CL223"),
        (">= 1 nat", "CL223"),
        ("in 1%..1 logits", "CL223"),
        ("in 3%..3%", "CL222"),
        ("in 3%..-3%", "CL222"),
        (">= 1% >= 2%", "CL221"),
        ("within 2%", "CL226"),
        (">= 99999999 logits", "CL224"),
        ("by chance", "CL220"),
        ("by noising by noising", "CL225"),
    ],
)
def test_bounds_that_make_no_sense(written: str, code: str) -> None:
    assert codes_of(_text(edges=f"LATE ~> LAST.Q {written}")) == [code]


@pytest.mark.parametrize("written, code", [(">= 2%", "CL226"), ("within 0%", "CL222")])
def test_absence_is_an_interval_around_zero(written: str, code: str) -> None:
    assert codes_of(_text(edges=f"no LATE ~> LAST.Q {written}")) == [code]


def test_absence_is_by_default_within_the_smallest_effect() -> None:
    edge = _edge("no LATE ~> LAST.Q", test="minimum effect 3%")
    assert edge.absent
    assert edge.bound == Bound(-0.03, 0.03, is_default=True, is_margin=True)


# Settings and claims


def test_defaults() -> None:
    circuit = circuit_of(_text(claims="ablate LATE\n faithfulness >= 80%"))
    assert circuit.settings == TestSettings(
        ablation=Ablation.MEAN,
        per_template=True,
        direction=Direction.NOISING,
        significance=0.05,
        correction=Correction.HOLM,
        resamples=10_000,
        seed=0,
        minimum_effect=0.01,
    )
    assert circuit.edges[0].direction is Direction.NOISING
    assert (circuit.name, circuit.title) == ("test", "")
    assert (circuit.prompts.sample, circuit.prompts.seed) == (100, 0)
    assert circuit.model == ModelReference("name", "gpt2")
    assert circuit.claims == (
        AblationClaim(
            (Head(7, 3), Head(8, 6)),
            (AT_END,),
            Ablation.MEAN,
            Bound(0.01, None, is_default=True),
            "ablate LATE",
        ),
        FaithfulnessClaim(Ablation.MEAN, Bound(0.8, None), "faithfulness >= 80%"),
    )


def test_every_setting_can_be_set() -> None:
    test = """
      ablation zero
      significance 1% correction none
      direction denoising
      resamples 2000
      seed 7
      minimum effect 0.05
      random edges 100
    """
    circuit = circuit_of(_text(test=test, claims="ablate LATE\n ablate LAST by resample"))
    assert circuit.settings == TestSettings(
        Ablation.ZERO, False, Direction.DENOISING, 0.01, Correction.NONE, 2000, 7, 0.05, 100
    )
    assert circuit.edges[0].direction is Direction.DENOISING
    assert circuit.edges[0].bound == Bound(0.05, None, is_default=True)
    assert [claim.reference for claim in circuit.claims] == [Ablation.ZERO, Ablation.RESAMPLE]


@pytest.mark.parametrize("written, meant", [("mean", False), ("mean per template", True)])
def test_a_mean_is_per_template_when_it_says_so(written: str, meant: bool) -> None:
    assert circuit_of(_text(test=f"ablation {written}")).settings.per_template is meant


@pytest.mark.parametrize(
    "written, code",
    [
        ("faithfulness", "CL221"),
        ("faithfulness >= 1 logits", "CL223"),
        ("faithfulness >= 80% by median", "CL220"),
        ("ablate NOBODY", "CL201"),
        ("ablate logits", "CL201"),
        ("ablate LATE.Q", "CL213"),
        ("ablate LATE\n ablate LATE >= 50%", "CL217"),
        ("patch embed\n patch L0.resid_pre >= 50%", "CL217"),
        ("patch embed by noising\n ablate embed by resample", "CL217"),
        ("patch L0.resid_pre by noising\n ablate embed by resample", "CL217"),
        ("patch L5.MLP[3] by noising\n ablate L5.MLP[3] by resample", "CL217"),
        ("patch L5.MLP[3].V", "CL211"),
        (f'steer LATE by 2 * ("{"a" * 4001}" - "b") >= 1%', "CL228"),
        ('steer LATE by 2 * ("a" - "") >= 1%', "CL249"),
        ('steer LATE by 2 * ("a" - corrupt) >= 1%', "CL226"),
        ('steer LATE by 2 * ("a" + "b") >= 1%', "CL226"),
        ("patch L5.MLP[99999]", "CL206"),
        (f"steer embed {ADDED}\n steer L0.resid_pre {ADDED}", "CL217"),
        ("faithfulness >= 80% within 2%", "CL221"),
    ],
)
def test_claims_that_make_no_sense(written: str, code: str) -> None:
    assert code in codes_of(_text(claims=written))


def test_patches_of_parts_that_differ_are_two_experiments() -> None:
    """Of a neuron and its MLP, of a neuron and a head of the same number, of two directions."""
    claims = """patch L5.MLP[3]
      patch L5.MLP
      patch L5.H3
      patch L5.MLP[3] by denoising
      patch embed
      patch embed by denoising
      steer L5.MLP[3] by 2 * (clean - corrupt)
      steer L5.MLP by 2 * (clean - corrupt)
      ablate L5.MLP[3] by mean"""
    circuit = circuit_of(_text(claims=claims, test="random edges 0"))
    assert len({experiment.id for experiment in compile_plan(circuit).experiments}) == 9 + 1


@pytest.mark.parametrize(
    "model, meant",
    [
        ('"gpt2" dtype float64', ModelReference("name", "gpt2", dtype="float64")),
        ('"gpt2" revision main', ModelReference("name", "gpt2", revision="main")),
        ('"gpt2" revision "607a30d"', ModelReference("name", "gpt2", revision="607a30d")),
        ('"gpt2" weights folded', ModelReference("name", "gpt2", weights="folded")),
        ('"some/model"', ModelReference("name", "some/model")),
        ('gguf "a/b.gguf"', ModelReference("gguf", str(Path("a/b.gguf")))),
        ('"./folder"', ModelReference("name", "./folder")),
    ],
)
def test_models(model: str, meant: ModelReference) -> None:
    assert circuit_of(_text(model=model)).model == meant


def test_a_folder_is_found_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text('{"n_layer": 3, "n_head": 2}')
    text = _text(model='"mine"', nodes="A L2.H1\n B L3.H0\n C L0.H2")
    source = SourceText(str(tmp_path / "x.circuit"), text)
    _, mistakes = resolve(parse(source)[0], source)
    assert {"CL205", "CL206"} <= {mistake.code for mistake in mistakes}


def test_a_builtin_model_that_there_is_not() -> None:
    assert codes_of(_text(model="builtin no_such_model")) == ["CL401"]


def test_one_mistake_is_one_diagnostic() -> None:
    """What follows from a mistake is no mistake: neither unused nodes nor misplaced edges."""
    assert codes_of(_text(nodes=NODES.replace("at S2\n", "at S9\n"))) == ["CL304"]
    assert codes_of(_text(edges="EARLY ~> LATE.W", claims="ablate LAST")).count("CL203") == 3
    assert codes_of(_text(edges="EARLY ~> LATE.W\nNEXT ~> BOTH.V\nWIDE ~> LAST.Q", claims="")) == [
        "CL211"
    ]
    assert codes_of(_text(nodes="logits L0.H0", edges="L0.H0 ~> L9.H0.V")) == ["CL208"]


def test_a_circuit_never_comes_out_of_a_text_with_syntax_errors() -> None:
    source = SourceText("x", _text(edges="LAST ~> logits\n oops"))
    document, errors = parse(source)
    assert [error.code for error in errors] == ["CL110"]
    assert resolve(document, source) == (None, ())


# Prompts


def _prompts(text: str) -> tuple[Prompts, tuple[PromptPair, ...]]:
    circuit = circuit_of(_text(prompts=text, nodes="A L0.H0", edges="A ~> logits"))
    return circuit.prompts, expand(circuit.prompts, circuit.metric)


def _words(pair: PromptPair) -> tuple[dict[str, str], dict[str, str]]:
    clean = {f"{s}{n}": pair.clean.text[a:b] for s, n, a, b in pair.clean.places}
    corrupt = {f"{s}{n}": pair.corrupt.text[a:b] for s, n, a, b in pair.corrupt.places}
    return clean, corrupt


def test_the_corruption_of_the_paper() -> None:
    _, pairs = _prompts(PROMPTS + "sample 50")
    assert len(pairs) == 50
    for pair in pairs:
        clean, corrupt = _words(pair)
        names = [clean["IO1"], clean["S1"], corrupt["IO1"], corrupt["S1"], corrupt["S2"]]
        assert clean["S1"] == clean["S2"]
        assert len(set(names)) == 5, "three fresh names differ from each other and from the clean"
        assert clean["PLACE1"] == corrupt["PLACE1"]
        assert (pair.answer, pair.distractor) == (clean["IO1"], clean["S1"])


def test_a_rule_may_take_the_word_of_another_slot() -> None:
    _, pairs = _prompts(PROMPTS.replace("IO = fresh, S1 = fresh, S2 = fresh", "S2 = IO"))
    for pair in pairs:
        clean, corrupt = _words(pair)
        assert corrupt == {**clean, "S2": clean["IO1"]}


def test_a_rule_may_give_a_word() -> None:
    _, pairs = _prompts(PROMPTS.replace("IO = fresh, S1 = fresh, S2 = fresh", 'S = "Zed"'))
    for pair in pairs:
        clean, corrupt = _words(pair)
        assert corrupt == {**clean, "S1": "Zed", "S2": "Zed"}


def test_a_rule_for_a_slot_is_one_word_for_all_its_places() -> None:
    _, pairs = _prompts(PROMPTS.replace("S1 = fresh, S2 = fresh", "S = fresh"))
    for pair in pairs:
        _, corrupt = _words(pair)
        assert corrupt["S1"] == corrupt["S2"]


def test_two_slots_may_be_swapped() -> None:
    _, pairs = _prompts(PROMPTS.replace("IO = fresh, S1 = fresh, S2 = fresh", "IO = S, S = IO"))
    for pair in pairs:
        clean, corrupt = _words(pair)
        assert (corrupt["IO1"], corrupt["S1"]) == (clean["S1"], clean["IO1"])


def test_slots_of_one_list_differ_on_one_line_and_on_two() -> None:
    for text in (PROMPTS, PROMPTS.replace("IO, S   from", "IO from names\n S from")):
        prompts, pairs = _prompts(text + "sample 500")
        assert prompts.word_lists[0].slots == ("IO", "S")
        assert all(pair.answer != pair.distractor for pair in pairs)


def test_slots_whose_lists_overlap_cannot_be_compared() -> None:
    text = PROMPTS.replace(
        "IO, S   from names", 'IO from names\n S from "Mary", "Zed", "Ann", "Bob", "Cid"'
    )
    assert codes_of(_text(prompts=text)) == ["CL222"]


def test_templates_take_turns() -> None:
    text = PROMPTS + '  clean "{S} and {IO} saw {S} at the {PLACE} with"\n sample 7'
    _, pairs = _prompts(text)
    assert [pair.template for pair in pairs] == [0, 1, 0, 1, 0, 1, 0]


def test_pairs_are_the_same_for_the_same_seed() -> None:
    circuit = circuit_of(_text())
    first = expand(circuit.prompts, circuit.metric)
    assert expand(circuit.prompts, circuit.metric) == first
    other = expand(replace(circuit.prompts, seed=1), circuit.metric)
    assert other != first
    assert other[0].clean.text != first[0].clean.text


def test_pairs_do_not_change_between_versions() -> None:
    """Saved evidence names its prompts by their seed, so the drawing must never change."""
    _, pairs = _prompts(PROMPTS + "sample 2 seed 5")
    assert [pair.clean.text for pair in pairs] == PINNED


def test_pairs_repeat_only_when_the_words_run_out() -> None:
    text = """
      clean "{IO} {S} {S} and"
      corrupt S2 = IO
      IO, S from "a", "b", "c"
    """
    _, pairs = _prompts(text + "sample 6")
    assert len({pair.clean.text for pair in pairs}) == 6
    _, pairs = _prompts(text + "sample 3000")
    assert len(pairs) == 3000


def test_braces_are_written_twice() -> None:
    _, pairs = _prompts(PROMPTS.replace("When {IO}", "{{When}} {IO}"))
    assert all(pair.clean.text.startswith("{When} ") for pair in pairs)
    for pair in pairs:
        clean, _ = _words(pair)
        assert clean["IO1"] == pair.answer


slots = st.sampled_from(["IO", "S", "PLACE"])
literals = st.text("ab ,.{}", max_size=5)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.tuples(literals, slots), min_size=1, max_size=8),
    st.sampled_from(["IO = S", "S = fresh", 'S = "Zed"', "IO = fresh, S = fresh"]),
    st.integers(0, 50),
)
def test_places_are_where_the_words_are(parts: list[tuple[str, str]], rule: str, seed: int) -> None:
    """Cutting the places out of a prompt and putting the slots back gives the template."""
    parts = [*parts, (" ", "IO"), (" ", "S")]
    template = "".join(
        text.replace("{", "{{").replace("}", "}}") + f"{{{slot}}}" for text, slot in parts
    )
    text = f"""
      clean "{template}"
      corrupt {rule}
      IO, S from names
      PLACE from "park", "big garden"
      sample 5 seed {seed}
    """
    prompts, pairs = _prompts_of(text)
    for pair in pairs:
        for filled in (pair.clean, pair.corrupt):
            rest, start = [], 0
            for slot, number, begin, end in filled.places:
                rest.append((filled.text[start:begin], slot))
                assert filled.place(slot, number) == (begin, end)
                start = end
            assert rest == parts
            assert filled.text[start:] == ""
            assert len(set(filled.places)) == len(parts)
        clean, corrupt = _words(pair)
        untouched = {name for name in clean if name.startswith("PLACE")}
        assert {name: clean[name] for name in untouched} == {
            name: corrupt[name] for name in untouched
        }
        for name, word in clean.items():
            slot = name.rstrip("0123456789")
            assert word in prompts.words_of(slot)
            assert word == clean[f"{slot}1"], "a slot has one word in a clean prompt"


def _prompts_of(text: str) -> tuple[Prompts, tuple[PromptPair, ...]]:
    """As `_prompts`, where a word list may be unused."""
    source = SourceText("x", _text(prompts=text, nodes="A L0.H0", edges="A ~> logits"))
    circuit, mistakes = resolve(parse(source)[0], source)
    assert circuit is not None, mistakes
    return circuit.prompts, expand(circuit.prompts, circuit.metric)


# The graph


def _ioi() -> Circuit:
    return circuit_of((GOLDEN / "ioi.circuit").read_text(encoding="utf-8"))


def test_the_graph_has_an_edge_for_every_pair() -> None:
    circuit = _ioi()
    graph = to_graph(circuit)
    pairs = sum(len(edge.senders) * len(edge.receivers) for edge in circuit.edges)
    assert graph.number_of_edges() == pairs
    assert networkx.is_directed_acyclic_graph(graph)
    heads = {str(part) for role in circuit.roles for part in role.components}
    assert set(graph.nodes) == heads | {"logits"}


def test_the_graph_says_what_the_file_says() -> None:
    circuit = circuit_of(_text(edges="EARLY ~> LATE.V >= 5%\n no L1.MLP -> logits"))
    graph = to_graph(circuit)
    assert graph.nodes["L0.H1"] == {
        "kind": "head",
        "layer": 0,
        "roles": ("EARLY",),
        "positions": ("S2",),
    }
    assert graph.nodes["logits"]["kind"] == "logits"
    assert graph.nodes["L1.MLP"]["kind"] == "mlp"
    assert graph.edges["L0.H1", "L7.H3", 0] == {
        "slot": "V",
        "kind": "through_mlps",
        "direction": "noising",
        "absent": False,
        "positions": ("S2",),
        "claim": 0,
        "hop": None,
        "alone": False,
        "text": "EARLY ~> LATE.V >= 5%",
    }
    (absent,) = graph.get_edge_data("L1.MLP", "logits").values()
    assert (absent["absent"], absent["slot"], absent["kind"]) == (True, None, "direct")
    assert circuit.all_claims[absent["claim"]].text == "no L1.MLP -> logits"


def test_pairs_that_run_backwards_are_not_drawn() -> None:
    graph = to_graph(circuit_of(_text(edges="WIDE ~> L3.H5.Q")))
    assert graph.has_edge("L2.H0", "L3.H5")
    assert not graph.has_edge("L3.H0", "L3.H5")


def test_values_are_frozen_and_hashable() -> None:
    circuit = _ioi()
    assert hash(circuit) == hash(_ioi())
    assert circuit == _ioi()
    assert circuit.metric == Metric("logit_diff", "IO", "S")
    assert isinstance(circuit.edges[4].receivers[0].component, Logits)


@pytest.mark.parametrize(
    "rule, codes",
    [
        ('S2 = "Mary"', ["CL245"]),
        ('S = "Mary"', ["CL245"]),
        ('S2 = "Zelda"', []),
        ('PLACE = "Mary"', []),
        ("S2 = fresh", []),
        ("S2 = IO", []),
    ],
)
def test_a_fixed_corrupt_word_is_new_to_its_slot(rule: str, codes: list[str]) -> None:
    text = (GOLDEN / "valid.circuit").read_text(encoding="utf-8")
    text = text.replace("corrupt IO = fresh, S1 = fresh, S2 = fresh", f"corrupt {rule}")
    assert [code for code in codes_of(text) if code == "CL245"] == codes
    # What is warned of happens, and nothing else: some pair keeps its word.
    source = SourceText("test.circuit", text)
    found, _ = resolve(parse(source)[0], source)
    assert found is not None
    many = expand(replace(found.prompts, sample=2000), found.metric)
    assert any(pair.clean.text == pair.corrupt.text for pair in many) == bool(codes)


@given(
    st.sampled_from(["prob", "prob_diff", "accuracy", "logit_diff", "logprob"]),
    st.sampled_from([">=", "<="]),
    st.floats(-3, 3).map(lambda limit: round(limit, 2)),
)
@settings(max_examples=80, deadline=None)
def test_a_bound_is_refused_where_no_values_of_the_metric_meet_or_miss_it(
    metric: str, sign: str, limit: float
) -> None:
    """The effect is a difference of two values of the metric; extremes are tried one by one."""
    values = {"prob": (0, 1), "accuracy": (0, 1), "prob_diff": (-1, 1)}.get(metric, (-1e6, 1e6))
    inside = [x - y for x in values for y in values]
    met = [effect > limit if sign == ">=" else effect < limit for effect in inside]
    missed = [effect < limit if sign == ">=" else effect > limit for effect in inside]
    arguments = "IO, S" if metric.endswith("diff") else "IO"
    unit = {"logit_diff": "logits", "logprob": "nats", "prob_diff": "prob"}.get(metric, metric)
    text = (GOLDEN / "valid.circuit").read_text(encoding="utf-8")
    text = text.replace("logit_diff(IO, S)", f"{metric}({arguments})")
    text = text.replace(">= 50%", f"{sign} {limit} {unit}")
    assert codes_of(text) == ([] if any(met) and any(missed) else ["CL222"])


@pytest.mark.parametrize("margin, codes", [("99%", []), ("100%", ["CL222"]), ("1.5", ["CL222"])])
def test_absence_is_less_than_the_whole_effect(margin: str, codes: list[str]) -> None:
    assert codes_of(_text(edges=f"no LATE ~> LAST.Q within {margin}")) == codes
    assert codes_of(_text(claims=f"completeness within {margin}", edges="WIDE ~> logits")) == []


@pytest.mark.parametrize(
    "edges, claims, warned",
    [
        ("EARLY ~> LATE.V\nLATE ~> LAST.Q\nLAST ~> logits", "", 0),
        ("EARLY ~> LATE.V\nLATE ~> LAST.Q", "", 0),  # nothing leads to the logits at all
        ("EARLY ~> LATE.V\nLAST ~> logits", "", 1),
        ("EARLY -> LATE.V -> LAST.Q\nLAST ~> logits", "", 0),
        ("EARLY -> LATE.V -> LAST.Q -> logits", "", 0),
        ("EARLY ~> LATE.V\nLAST ~> logits", "ablate LATE", 0),
        ("EARLY ~> LATE.V\nLAST ~> logits", "patch LATE >= 5%", 0),
        ("EARLY ~> LATE.V\nLAST ~> logits", "direct_effect LATE", 0),
        ("EARLY ~> LATE.V\nLAST ~> logits", "attention LATE END -> S2 >= 50%", 1),
        ("EARLY ~> LATE.V\nno LATE ~> LAST.Q\nLAST ~> logits", "", 0),
        ("no EARLY ~> LATE.V\nLAST ~> logits", "", 0),
        ("L0.H1 ~> L7.H3.V\nLAST ~> logits", "", 1),  # by another name
        ("EARLY ~> L5.MLP[3] from S2\nL5.MLP ~> LATE.V from S2\nLATE ~> logits", "", 0),
    ],
)
def test_a_node_leads_on_to_the_logits(edges: str, claims: str, warned: int) -> None:
    assert codes_of(_text(edges=edges, claims=claims)).count("CL244") == warned


SOME_BOUND = st.one_of(
    st.floats(-1, 1).map(lambda low: Bound(low, None)),
    st.floats(-1, 1).map(lambda high: Bound(None, high)),
    st.tuples(st.floats(-1, 0), st.floats(0, 1)).map(lambda ends: Bound(*ends)),
)


@given(SOME_BOUND, SOME_BOUND)
@settings(deadline=None)
def test_bounds_exclude_each_other_where_no_effect_lies_in_both(one: Bound, other: Bound) -> None:
    ends = [end for b in (one, other) for end in (b.low, b.high) if end is not None]

    def holds(bound: Bound, effect: float) -> bool:
        return (bound.low is None or effect >= bound.low) and (
            bound.high is None or effect <= bound.high
        )

    # If any effect is in both, one of the ends is.
    assert one.excludes(other) == (not any(holds(one, x) and holds(other, x) for x in ends))
    assert not one.excludes(replace(other, unit=Unit.LOGITS))
