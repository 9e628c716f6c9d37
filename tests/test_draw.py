"""Drawings: the DOT text, hostile labels, verdicts, and the programs that make pictures of it."""

import json
import re
import stat
import struct
import subprocess
import sys
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitlang.circuit import MLP, AblationClaim, Circuit, Direction, Head, Role
from circuitlang.draw import DrawingError, render, render_dot, render_mermaid, renderer, style
from circuitlang.draw.label import quote
from circuitlang.draw.scene import build_scene, verdicts_of
from circuitlang.report import Verdict
from circuitlang.source import load_source
from tests.sample_report import GOLDEN, resolved, sample_circuit, sample_report

PAYLOADS = [
    '"]; evil [label="x',
    "<B>bold</B>",
    "</TD></TR></TABLE>>]; evil; n0 [label=<x",
    '<IMG SRC="/etc/passwd"/>',
    '<TD HREF="javascript:alert(1)">',
    "\\N \\G \\L \\E \\T \\l \\",
    "&amp; &lt; &#x3c; &bogus;",
    "<script>alert(1)</script>",
    "a:b:c -> d",
    "]]> <!-- --",
    "\x1b[31m\x00\ufffe\ud800\u202e",
    "中文 🙂",
    "",
    " ",
    "x" * 3000,
]


def small_circuit() -> Circuit:
    """Two roles, an absent edge, an `each` and bare components."""
    return resolved(load_source(GOLDEN / "small.circuit")[0])


def with_texts(circuit: Circuit, name: str, label: str) -> Circuit:
    """The circuit with hostile texts wherever a file or a caller can put text."""
    roles = tuple(
        replace(role, name=f"{name}{number}", label=label)
        for number, role in enumerate(circuit.roles)
    )
    names = {old.name: new.name for old, new in zip(circuit.roles, roles, strict=True)}
    edges = tuple(
        replace(
            edge,
            sender_name=names.get(edge.sender_name, edge.sender_name),
            receiver_name=_renamed(edge.receiver_name, names),
            text=label,
        )
        for edge in circuit.edges
    )
    claims = tuple(replace(claim, text=label) for claim in circuit.claims)
    model = replace(circuit.model, name=label)
    metric = replace(circuit.metric, name=label, answer=name)
    return replace(
        circuit,
        name=name,
        title=label,
        roles=roles,
        edges=edges,
        claims=claims,
        model=model,
        metric=metric,
    )


def _renamed(receiver: str, names: dict[str, str]) -> str:
    role, dot, slot = receiver.partition(".")
    return f"{names[role]}{dot}{slot}" if role in names else receiver


def drawn(dot: str) -> tuple[list[str], list[str]]:
    """Ids of nodes, and of edges, in a picture of DOT text."""
    root = ElementTree.fromstring(render(dot, "svg"))
    found: dict[str, list[str]] = {"node": [], "edge": []}
    for group in root.iter("{http://www.w3.org/2000/svg}g"):
        if group.get("class") in found:
            found[group.get("class")].append(group[0].text or "")
    return sorted(found["node"]), sorted(found["edge"])


def texts(svg: bytes) -> list[str]:
    """Every text that a picture shows."""
    root = ElementTree.fromstring(svg)
    return ["".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")]


def test_dot_of_a_small_circuit_is_the_golden_one():
    golden = (GOLDEN / "small.dot").read_text(encoding="utf-8")
    assert render_dot(small_circuit()) == golden


def test_a_group_edge_is_one_line_between_boxes_and_each_is_one_line_a_pair():
    dot = render_dot(small_circuit())
    edges = [line.strip() for line in dot.splitlines() if re.match(r"\s*n\d+ -> n\d+", line)]
    assert len(edges) == 5
    assert ["ltail" in edge and "lhead" in edge for edge in edges] == [True, True, *[False] * 3]


def test_the_ioi_circuit_has_a_node_for_each_head_and_a_line_for_each_edge():
    circuit = sample_circuit()
    nodes, edges = drawn(render_dot(circuit))
    assert len([node for node in nodes if re.fullmatch(r"n\d+", node)]) == 26 + 1
    assert len([edge for edge in edges if re.fullmatch(r"n\d+->n\d+", edge)]) == 9


def test_lines_meet_the_components_that_are_nearest():
    scene = build_scene(small_circuit(), verdicts_of(small_circuit(), None))
    names = {node.id: str(node.component) for node in scene.nodes}
    line = scene.lines[0]
    assert (names[line.sender.node], names[line.receiver.node]) == ("L6.H9", "L7.H3")
    assert (line.sender.group, line.receiver.group) == ("cluster_0", "cluster_1")
    assert [str(node.component) for node in scene.loose] == ["L3.MLP", "L4.H1"]
    assert scene.columns == ((3, 1), (4, 0), (5, 0), (6, 0), (7, 0), (8, 0))


def test_an_edge_inside_one_role_is_not_clipped_at_its_box():
    circuit = small_circuit()
    inner = replace(circuit.edges[0], receiver_name="A.V", receivers=())
    receivers = tuple(replace(r, component=Head(6, 9)) for r in circuit.edges[0].receivers[:1])
    circuit = replace(circuit, edges=(replace(inner, receivers=receivers),))
    (line,) = build_scene(circuit, (None,)).lines
    assert (line.sender.group, line.receiver.group) == (None, None)
    assert drawn(render_dot(circuit))[1].count("n0->n1") == 1


def test_a_component_of_two_roles_is_drawn_in_both():
    circuit = small_circuit()
    twin = Role("TWIN", circuit.roles[0].components)
    nodes, _ = drawn(render_dot(replace(circuit, roles=(*circuit.roles, twin))))
    assert len(nodes) == len(drawn(render_dot(circuit))[0]) + 2


def test_nothing_claimed_is_still_a_picture():
    circuit = replace(small_circuit(), roles=(), edges=())
    assert b"logits" in render(render_dot(circuit), "svg")


def test_slots_arrows_and_absence_are_told_apart():
    dot = render_dot(small_circuit())
    through, absent, each, _, logits = (
        line for line in dot.splitlines() if re.match(r"\s*n\d+ -> n\d+", line)
    )
    assert "arrowhead=onormal" in through
    assert f'color="{style.SLOT_COLOURS["V"]}"' in through
    assert "style=dashed" in absent
    assert "arrowhead=teenormal" in absent
    assert "\u00d7" in absent
    assert f'color="{style.ABSENT}"' in absent
    assert "arrowhead=normal" in each
    assert "&gt;= 0.2 logits" in logits


@pytest.mark.parametrize("draw", [render_dot, render_mermaid])
def test_denoising_is_told_from_noising(draw):
    """Necessity and sufficiency are two questions, so their lines must not look the same."""
    circuit = sample_circuit()
    first, *others = circuit.edges
    other = replace(first, direction=Direction.DENOISING)
    assert "denoising" not in draw(circuit)
    assert draw(replace(circuit, edges=(other, *others))).count("1% by denoising") == 1


@pytest.mark.parametrize("text", PAYLOADS)
def test_payloads_are_shown_and_do_nothing(text):
    expected = drawn(render_dot(small_circuit()))
    dot = render_dot(with_texts(small_circuit(), text, text))
    assert drawn(dot) == expected
    svg = render(dot, "svg")
    root = ElementTree.fromstring(svg)
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert not names & {"script", "a", "image", "foreignObject", "use"}
    attributes = {key.rpartition("}")[2] for element in root.iter() for key in element.attrib}
    assert "href" not in attributes
    assert not any(key.startswith("on") for key in attributes)


def test_a_backslash_is_shown_as_it_is():
    shown = texts(render(render_dot(with_texts(small_circuit(), "A", "\\N \\G \\\\ \\")), "svg"))
    assert shown.count("\\N \\G \\\\ \\") == 3  # the title and two roles


@settings(max_examples=25, deadline=None)
@given(name=st.text(max_size=30), label=st.text(max_size=60))
def test_no_text_changes_the_graph(name, label):
    assert drawn(render_dot(with_texts(small_circuit(), name, label))) == EXPECTED


EXPECTED = drawn(render_dot(small_circuit()))


@settings(max_examples=300)
@given(st.text())
def test_quoted_text_is_well_formed_and_never_empty(text):
    quoted = quote(text)
    assert quoted
    assert ElementTree.fromstring(f"<t>{quoted}</t>").text
    assert not set(quoted) & set('<>"\\\n\r\x00') - {'"'}


def test_only_six_digit_colours_are_used():
    dot = render_dot(sample_circuit(), sample_report())
    colours = re.findall(r'color="?(#[0-9A-Fa-f]+)', dot, re.IGNORECASE)
    assert len(colours) > 50
    assert {len(colour) for colour in colours} == {7}


def test_a_report_colours_the_lines_and_sets_their_width():
    dot = render_dot(sample_circuit(), sample_report())
    lines = [line for line in dot.splitlines() if re.match(r"\s*n\d+ -> n\d+", line)]
    claims = sample_report().claims
    widths = []
    for line, claim in zip(lines, claims, strict=False):
        effect = f"{100 * claim.estimate.value:+.1f}%"
        assert f">{claim.verdict} {effect}<" in line
        colour = style.VERDICT_COLOURS[claim.verdict]
        assert f'BGCOLOR="{colour}"' in line
        expected = style.ABSENT if claim.kind == "absence" else colour
        assert f' color="{expected}"' in line
        widths.append(float(re.search(r"penwidth=([\d.]+)", line)[1]))
    effects = [abs(claim.estimate.value) for claim in claims[: len(lines)]]
    assert sorted(range(9), key=widths.__getitem__) == sorted(range(9), key=effects.__getitem__)
    assert "PASS +87.4%" in dot
    assert "INCOMPLETE" not in dot


def test_slot_colours_stay_visible_under_verdicts():
    dot = render_dot(sample_circuit(), sample_report())
    for slot in "QKV":
        assert f'BGCOLOR="{style.SLOT_COLOURS[slot]}"' in dot


def test_effects_in_logits_have_the_width_of_their_fraction():
    report = sample_report()
    estimate = report.claims[0].estimate.model_copy(update={"value": 1.9, "unit": "logits"})
    claims = (report.claims[0].model_copy(update={"estimate": estimate}), *report.claims[1:])
    dot = render_dot(sample_circuit(), report.model_copy(update={"claims": claims}))
    assert f"penwidth={style.line_width(0.5):.2f}" in dot  # clean minus corrupt is 3.80
    assert "PASS +1.90 logits" in dot


def test_claims_without_a_number_are_drawn():
    report = sample_report()
    error = {"estimate": None, "verdict": Verdict.ERROR}
    claims = tuple(claim.model_copy(update=error) for claim in report.claims)
    dot = render_dot(sample_circuit(), report.model_copy(update={"claims": claims}))
    assert dot.count(">ERROR<") == 11 + 1  # and once in the legend


def test_an_incomplete_report_is_marked():
    report = sample_report().model_copy(update={"complete": False})
    assert "INCOMPLETE: the run was interrupted" in render_dot(sample_circuit(), report)


def test_a_foreign_report_is_refused():
    message = (
        r"the report does not belong to this circuit: claim 1 is `A ~> B.V >= 20%` in the "
        r"circuit and `PTH ~> IH.K >= 1%` in the report"
    )
    with pytest.raises(ValueError, match=message):
        render_dot(small_circuit(), sample_report())
    report = sample_report()
    shorter = report.model_copy(update={"claims": report.claims[:-1]})
    with pytest.raises(ValueError, match="the circuit has 11 claims and the report 10"):
        render_dot(sample_circuit(), shorter)
    other = report.claims[0].model_copy(update={"experiments": ("of other heads",)})
    same_words = report.model_copy(update={"claims": (other, *report.claims[1:])})
    with pytest.raises(ValueError, match="claim 1 reads the same, but other components"):
        render_dot(sample_circuit(), same_words)
    provenance = report.provenance.model_copy(update={"model": "distilgpt2"})
    with pytest.raises(ValueError, match="it is about distilgpt2"):
        render_dot(sample_circuit(), report.model_copy(update={"provenance": provenance}))


def test_mlps_stand_after_the_heads_of_their_layer():
    circuit = small_circuit()
    role = Role("M", (MLP(5),))
    claim = AblationClaim((MLP(5),), (), circuit.settings.ablation, circuit.edges[0].bound, "t")
    dot = render_dot(replace(circuit, roles=(*circuit.roles, role), claims=(claim,)))
    assert ">MLP 5<" in dot
    assert dot.index("layer5 -> layer5m") < dot.index("layer5m -> layer6")


def test_the_same_values_give_the_same_bytes():
    first = render_dot(sample_circuit(), sample_report())
    assert first == render_dot(sample_circuit(), sample_report())
    for kind in ("svg", "png"):
        assert render(first, kind) == render(first, kind)


def test_hash_seeds_change_nothing():
    code = (
        "import hashlib; from tests.sample_report import sample_circuit, sample_report;"
        "from circuitlang.draw import render_dot;"
        "print(hashlib.sha256(render_dot(sample_circuit(), sample_report()).encode()).hexdigest())"
    )
    root = GOLDEN.parents[2]
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            cwd=root,
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(digests) == 1


def test_svg_names_the_roles_and_links_nowhere():
    svg = render(render_dot(sample_circuit(), sample_report()), "svg")
    shown = texts(svg)
    for role in sample_circuit().roles:
        assert role.label in shown
        assert any(text.startswith(f"{role.name} at ") for text in shown)
    assert "9.6" in shown
    assert b"<script" not in svg
    assert b"href" not in svg


def test_png_is_a_picture_of_some_size():
    png = render(render_dot(sample_circuit()), "png")
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    assert 1000 < width < 6000
    assert 500 < height < 4000


def test_it_draws_without_graphviz_on_the_path(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert b"<svg" in render(render_dot(small_circuit()), "svg")
    assert render(render_dot(small_circuit()), "png").startswith(b"\x89PNG")


def fake_dot(folder, body: str) -> None:
    """A program called `dot` in a folder."""
    program = folder / "dot"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for `dot` is a shell script")
class TestPrograms:
    """What is done about programs that are missing, broken or slow."""

    def test_the_systems_dot_comes_first(self, monkeypatch, tmp_path):
        fake_dot(tmp_path, "echo '<svg>by the system</svg>'")
        monkeypatch.setenv("PATH", str(tmp_path))
        assert render("digraph {}", "svg") == b"<svg>by the system</svg>\n"

    @pytest.mark.parametrize("body", ["exit 3", "echo no picture", ": nothing at all"])
    def test_a_broken_dot_is_passed_over(self, monkeypatch, tmp_path, body):
        fake_dot(tmp_path, body)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert b"Pages: 1" in render("digraph {}", "svg")

    def test_when_nothing_works_the_message_says_what_to_do(self, monkeypatch, tmp_path):
        fake_dot(tmp_path, "echo 'boom: disk on fire' >&2; exit 3")
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(renderer, "_installed_with_pip", lambda: None)
        with pytest.raises(DrawingError, match="status 3: boom: disk on fire") as caught:
            render("digraph {}", "svg")
        assert "pip install graphviz-pure" in str(caught.value)

    def test_a_program_that_hangs_is_given_up(self, monkeypatch, tmp_path):
        fake_dot(tmp_path, "exec /bin/sleep 30")
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(renderer, "_installed_with_pip", lambda: None)
        monkeypatch.setattr(renderer, "TIMEOUT", 0.2)
        with pytest.raises(DrawingError, match=r"no picture within 0\.2 seconds"):
            render("digraph {}", "png")

    def test_a_program_that_cannot_start_is_a_drawing_error(self, monkeypatch, tmp_path):
        fake_dot(tmp_path, "")
        (tmp_path / "dot").write_bytes(b"\x00not a program")
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(renderer, "_installed_with_pip", lambda: None)
        with pytest.raises(DrawingError, match="did not start"):
            render("digraph {}", "svg")


def test_nothing_installed_is_a_drawing_error(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(renderer, "_installed_with_pip", lambda: None)
    with pytest.raises(DrawingError, match="neither `dot` nor `graphviz-pure` was found"):
        render("digraph {}", "png")


def test_syntax_errors_of_dot_are_drawing_errors():
    with pytest.raises(DrawingError, match="cannot draw SVG"):
        render("digraph {", "svg")


def test_drawing_and_reporting_import_neither_torch_nor_what_they_do_not_need():
    code = (
        "import sys, json; import circuitlang.draw, circuitlang.report;"
        "print(json.dumps([m for m in ('torch', 'numpy', 'rich', 'graphviz') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert json.loads(done.stdout) == []
