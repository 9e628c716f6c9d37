"""`circuitlang import` and `circuitlang export`, and what the exported graphs say."""

import json
import re
from pathlib import Path

import jsonschema
import networkx
import pytest

from circuitlang.circuit import Circuit, to_graph
from circuitlang.interchange import graph_json, graphml, read_found, sayable, select
from circuitlang.interchange.found import EMBED_IS_A_COMPONENT
from circuitlang.interchange.names import ends_of
from circuitlang.report import Report
from tests.commands import Outcome, called
from tests.front_end import ROOT, circuit_of, read_file
from tests.sample_report import sample_circuit, sample_report
from tests.test_draw import PAYLOADS, small_circuit, with_texts
from tests.test_imports import RUN, heavy
from tests.test_interchange import EXCERPT, FILES, SCORED, pairs, pairs_of

BUILTIN = ROOT / "circuits" / "builtin_ioi.circuit"
PAGE = (ROOT / "docs" / "interchange.md").read_text("utf-8")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]):
    def run(*arguments: object) -> Outcome:
        return called(capsys, *arguments)

    return run


# import


def test_import_to_a_file_and_to_stdout(here: Path, call) -> None:
    outcome = call("import", EXCERPT, "--model", "gpt2", "-o", "a.circuit")
    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err.splitlines()[-1] == (
        "circuitlang: the prompts and the metric are an EXAMPLE: replace them"
    )
    text = (here / "a.circuit").read_text()
    assert call("import", EXCERPT, "--model", "gpt2").out == text
    assert call("check", "a.circuit").code == 0
    assert call("fmt", "--check", "a.circuit").code == 0
    found = select(read_found(EXCERPT.read_text("utf-8")))
    assert pairs_of(circuit_of(text)) == pairs(sayable(found)[0])
    assert len(found) == 13


def test_prompts_metric_test_and_model_come_from_another_file(here: Path, call) -> None:
    other = (ROOT / "circuits" / "ioi.circuit").read_text("utf-8")
    (here / "other.circuit").write_text(other)
    outcome = call("import", EXCERPT, "--prompts-from", "other.circuit", "-o", "a.circuit")
    assert outcome.code == 0
    assert "EXAMPLE" not in outcome.err
    text = (here / "a.circuit").read_text()
    assert "EXAMPLE" not in text
    ours, theirs = circuit_of(text), circuit_of(other)
    assert ours.model == theirs.model
    assert (ours.prompts, ours.metric, ours.settings) == (
        theirs.prompts, theirs.metric, theirs.settings,
    )  # fmt: skip
    again = call("import", EXCERPT, "--prompts-from", "other.circuit", "--model", "gpt2-small").out
    assert circuit_of(again).model.name == "gpt2-small"


def test_top_and_threshold(here: Path, call) -> None:
    def edges(*options: object) -> int:
        outcome = call("import", EXCERPT, "--model", "gpt2", *options)
        assert outcome.code == 0
        return len(circuit_of(outcome.out).edges)

    embedded = int(EMBED_IS_A_COMPONENT)  # one of the largest comes from the embedding
    counts = edges(), edges("--top", 7), edges("--threshold", 0.1)
    assert counts == (12 + embedded, 6 + embedded, 3 + embedded)


@pytest.mark.parametrize(
    "text, options, message",
    [
        ("m0->logits", [], "which model is it about? Say so with `--model NAME`"),
        ("m0->logits", ["--model", 'g"2'], "a model's name has no quotes"),
        ("m0->logits", ["--model", "gpt2", "--top", 1], "no edge has a score"),
        ("m0 logits", ["--model", "gpt2"], "cannot read found: line 1: `m0 logits` is no edge"),
        ("m0->logits", ["--top", 1, "--threshold", 1], "give one of them"),
        ("m0->logits", ["--model", "gpt2", "-o", "found"], "this command reads it"),
        ("m0->logits", ["--model", "gpt2", "-o", "no/a"], "cannot write no/a"),
        ("m0->logits", ["--model", "builtin none"], "so it is not written"),
        ("m12->logits", ["--model", "gpt2"], "so it is not written"),
        ("m0->m0", ["--model", "gpt2"], "found has no edge to claim"),
        (
            "m0->blocks.5.hook_resid_post[:]",
            ["--model", "gpt2"],
            'with 6 layers, but `model "gpt2"` has 12 layers, 12 heads a layer',
        ),
        (
            '{"cfg": {"n_layers": 12, "n_heads": 12}, "edges": {"m0->logits": {"score": 1}}}',
            ["--model", "gpt2"],
            "no edge is marked as in the graph: choose with `--top`",
        ),
        ("m0->logits", ["--prompts-from", "absent.circuit"], "absent.circuit has mistakes"),
    ],
)
def test_what_import_refuses(here: Path, call, text: str, options: list, message: str) -> None:
    (here / "found").write_text(text)
    outcome = call("import", "found", *options)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    assert [path.name for path in here.iterdir()] == ["found"]


def test_models_of_the_size_are_proposed(here: Path, call) -> None:
    outcome = call("import", EXCERPT)
    assert outcome.code == 2
    assert "(of its size are gpt2, gpt2-small, gpt-neo-125m, pythia-160m)" in outcome.err
    (here / "a").write_bytes(b"\xff")
    assert "it is not UTF-8 text" in call("import", "a", "--model", "gpt2").err
    assert "No such file" in call("import", "b", "--model", "gpt2").err


def test_a_parallel_model_is_known_by_its_name(here: Path, call) -> None:
    (here / "found").write_text("m0->logits\na3.h0->m3\n")
    outcome = call("import", "found", "--model", "pythia-160m")
    assert outcome.code == 0
    assert "Left out 1 edge running backwards in this model: a3.h0->m3." in outcome.err
    assert len(circuit_of(outcome.out).edges) == 1


def test_what_was_found_is_tested(here: Path, call) -> None:
    """Export a circuit, import it as a stranger's, and run it: every edge that is there passes."""
    assert call("export", BUILTIN, "-f", "eap-ig", "-o", "graph.json").code == 0
    text = BUILTIN.read_text("utf-8").replace("sample  120", "sample  24")
    text = text.replace("test {", "test {\n  random edges 0")
    (here / "base.circuit").write_text(text)
    outcome = call("import", "graph.json", "--prompts-from", "base.circuit", "-o", "found.circuit")
    assert (outcome.code, outcome.err) == (0, "")
    assert call("run", "found.circuit", "-q", "--json", "report.json").code in (0, 1, 4)
    report = Report.model_validate_json((here / "report.json").read_text())
    verdicts = {claim.text: claim.verdict for claim in report.claims}
    assert len(verdicts) == len(pairs_of(circuit_of(text)))
    assert verdicts["L2.H3 -> L3.H1.Q"] == "PASS"


# export


def test_edges_there_and_back_on_the_command_line(here: Path, call) -> None:
    outcome = call("export", BUILTIN, "-f", "edges", "-o", "edges.txt")
    assert outcome.code == 0
    assert outcome.err.splitlines()[0] == "circuitlang: 3 absent edges left out"
    again = call("import", "edges.txt", "--prompts-from", BUILTIN)
    assert pairs_of(circuit_of(again.out)) == pairs_of(circuit_of(BUILTIN.read_text("utf-8")))


@pytest.mark.parametrize("path", FILES[:6], ids=lambda path: path.stem)
def test_json_is_the_graph(path: Path) -> None:
    _, circuit, _ = read_file(path)
    assert circuit is not None
    data = json.loads(graph_json(circuit))
    graph, truth = networkx.node_link_graph(data, edges="edges"), to_graph(circuit)
    assert set(graph.nodes) == set(truth.nodes)
    assert networkx.is_directed(graph)
    assert graph.is_multigraph()
    found = [(s, r, e["slot"], e["claim"], e["absent"]) for s, r, e in graph.edges(data=True)]
    assert found == [
        (s, r, e["slot"], e["claim"], e["absent"]) for s, r, e in truth.edges(data=True)
    ]
    claims = data["graph"]["claims"]
    assert [(c["text"], c["bound"]) for c in claims] == [
        (c.text, str(c.bound)) for c in circuit.all_claims
    ]
    # A claim lists its edges, and only an edge that stands alone says what is said of its claim.
    for number, claim in enumerate(claims):
        own = [e for e in data["edges"] if e["claim"] == number]
        assert claim["edges"] == [[e["source"], e["target"], e["key"]] for e in own]
        assert all(e["alone"] == (claim["kind"] == "edge") for e in own)
        assert all(e.get("bound") == (claim["bound"] if e["alone"] else None) for e in own)
    jsonschema.validate(data, _schema())


def published() -> tuple[Circuit, Report]:
    """The circuit of SmolLM2 and its report: groups, absences, and edges that stand alone."""
    _, circuit, _ = read_file(ROOT / "circuits" / "smollm2_ioi.circuit")
    assert circuit is not None
    text = (ROOT / "docs" / "evidence" / "smollm2_ioi.report.json").read_text("utf-8")
    return circuit, Report.model_validate_json(text)


JUDGED = {"verdict", "effect", "low", "high", "unit"}


def test_verdicts_stand_at_the_claim_and_at_an_edge_alone() -> None:
    circuit, report = published()
    data = json.loads(graph_json(circuit, report))
    jsonschema.validate(data, _schema())
    claims = data["graph"]["claims"]
    for claim, judged in zip(claims, report.claims, strict=True):
        if (estimate := judged.estimate) is None:
            assert claim.keys() & JUDGED == {"verdict"}
            continue
        numbers = (estimate.value, estimate.interval.low, estimate.interval.high, estimate.unit)
        assert (claim["effect"], claim["low"], claim["high"], claim["unit"]) == numbers
        assert claim["verdict"] == judged.verdict
    for edge in data["edges"]:
        claim = claims[edge["claim"]]
        assert {name: edge[name] for name in edge.keys() & JUDGED} == (
            {name: claim[name] for name in JUDGED} if edge["alone"] else {}
        )
    assert {edge["alone"] for edge in data["edges"]} == {True, False}
    assert [c["kind"] for c in claims if c["text"].startswith("ablate")] == ["other"]


def test_a_claim_without_an_estimate_has_a_verdict_alone() -> None:
    data = json.loads(graph_json(sample_circuit(), sample_report()))
    jsonschema.validate(data, _schema())
    (ablate,) = (c for c in data["graph"]["claims"] if c["text"].startswith("ablate"))
    assert (ablate["verdict"], ablate.keys() & JUDGED) == ("ERROR", {"verdict"})


def test_no_hop_of_a_path_says_what_the_path_does() -> None:
    circuit = circuit_of(SCORED)
    data = json.loads(graph_json(circuit))
    paths = [c for c in data["graph"]["claims"] if c["kind"] == "path"]
    assert paths
    hops = [e for e in data["edges"] if e["kind"] == "path_hop"]
    assert len(hops) == sum(len(c["edges"]) for c in paths)
    assert all(not e["alone"] and e["hop"] >= 1 and "bound" not in e for e in hops)
    assert all((e["hop"] is None) == (e["kind"] != "path_hop") for e in data["edges"])


def test_the_page_describes_every_field() -> None:
    """The tables of docs/interchange.md are the schema: no field more, none less."""
    circuit, report = published()
    data = json.loads(graph_json(circuit, report))
    tables = _tables()
    for name, rows in (
        ("graph", [data["graph"]]), ("node", data["nodes"]), ("edge", data["edges"]),
        ("claim", data["graph"]["claims"]),
    ):  # fmt: skip
        assert {key for row in rows for key in row} == set(tables[name])


def _tables() -> dict[str, dict[str, str]]:
    """Fields and types of each table of the page, by the word that stands in its first cell."""
    found: dict[str, dict[str, str]] = {}
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if heading := re.fullmatch(r"field of (?:an?|the) (\w+)", cells[0]):
            table = found.setdefault(heading[1], {})
        elif found and line.startswith("| `"):
            table[cells[0].strip("`")] = cells[1]
    return found


def _schema() -> dict:
    """A JSON Schema from the page's tables."""
    types = {"text": "string", "number": "number", "true or false": "boolean"}
    types |= dict.fromkeys(("list of texts", "list of claims", "list of lists"), "array")

    def of(fields: dict[str, str]) -> dict:
        properties = {
            name: {"type": [types[t.removesuffix(" or null")], *(["null"] if "null" in t else [])]}
            for name, t in fields.items()
        }
        return {"type": "object", "properties": properties, "additionalProperties": False}

    tables = _tables()
    graph = of(tables["graph"])
    graph["properties"]["claims"] = {"type": "array", "items": of(tables["claim"])}
    lists = {"nodes": of(tables["node"]), "edges": of(tables["edge"])}
    properties: dict = {"directed": {"const": True}, "multigraph": {"const": True}, "graph": graph}
    properties |= {name: {"type": "array", "items": items} for name, items in lists.items()}
    return {"type": "object", "properties": properties, "required": [*properties]}


def in_order(edges: list[dict], without: str) -> list[list]:
    return sorted(sorted((k, v) for k, v in e.items() if k != without) for e in edges)


def test_graphml_is_read_again_with_its_types(tmp_path: Path) -> None:
    circuit, report = published()
    (tmp_path / "a.graphml").write_text(graphml(circuit, report), encoding="utf-8")
    graph = networkx.read_graphml(tmp_path / "a.graphml", force_multigraph=True)
    truth = json.loads(graph_json(circuit, report))
    assert set(graph.nodes) == {node["id"] for node in truth["nodes"]}
    assert graph.nodes["L24.H4"] == {
        "kind": "head", "layer": 24, "roles": "NNMH", "positions": "END",
    }  # fmt: skip
    assert "layer" not in graph.nodes["logits"]
    edges = [{"source": s, "target": r, **e} for s, r, e in graph.edges(data=True)]
    truth_edges = [
        {n: ", ".join(v) if isinstance(v, list) else v for n, v in e.items() if v is not None}
        for e in truth["edges"]
    ]
    assert in_order(edges, "id") == in_order(truth_edges, "key")
    assert graph.graph["model"] == truth["graph"]["model"]
    assert json.loads(graph.graph["claims"]) == truth["graph"]["claims"]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_hostile_texts_stay_texts(payload: str) -> None:
    circuit = with_texts(small_circuit(), "N", payload)
    graph = networkx.parse_graphml(graphml(circuit), force_multigraph=True)
    assert set(graph.nodes) == set(to_graph(circuit).nodes)
    if "\ud800" not in payload:
        assert json.loads(graph_json(circuit))["graph"]["title"] == payload


def test_export_to_a_file_to_stdout_and_with_a_report(here: Path, call) -> None:
    assert call("export", BUILTIN, "-f", "json", "-o", "a.json").code == 0
    assert (here / "a.json").read_text() == call("export", BUILTIN, "-f", "json").out
    report = ROOT / "docs" / "evidence" / "smollm2_ioi.report.json"
    smollm = ROOT / "circuits" / "smollm2_ioi.circuit"
    outcome = call("export", smollm, "-f", "json", "--report", report)
    judged = json.loads(outcome.out)["graph"]["claims"]
    assert {claim["verdict"] for claim in judged} == {"PASS"}
    outcome = call("export", smollm, "-f", "edges", "--report", report)
    scored = {e.name: e.score for e in read_found(outcome.out).edges if e.score is not None}
    assert [*scored] == ["A17.4->A23.3.K"]  # the only edge that is claimed by itself
    outcome = call("export", BUILTIN, "-f", "json", "--report", report)
    assert outcome.code == 2
    assert "does not fit" in outcome.err
    assert call("export", BUILTIN, "-f", "json", "--report", "absent").code == 2
    assert call("export", BUILTIN, "-f", "json", "-o", "no/a").code == 2


def test_a_picture_is_no_export(call) -> None:
    outcome = call("export", BUILTIN, "-f", "dot")
    assert outcome.code == 2
    assert "'json', 'graphml', 'eap-ig', 'edges'" in " ".join(outcome.err.split())


def test_an_eap_ig_graph_needs_the_models_size(here: Path, call) -> None:
    text = BUILTIN.read_text("utf-8").replace("model builtin ioi_tiny", 'model "who/knows"')
    (here / "a.circuit").write_text(text)
    outcome = call("export", "a.circuit", "-f", "eap-ig")
    assert outcome.code == 3
    assert "the size of `who/knows` is not known here" in outcome.err


@pytest.mark.parametrize(
    "arguments",
    [["export", str(BUILTIN), "-f", "eap-ig"], ["import", str(EXCERPT), "--model", "gpt2"]],
    ids=lambda arguments: arguments[0],
)
def test_neither_loads_a_model_library(arguments: list[str], tmp_path: Path) -> None:
    assert heavy(RUN, *arguments, home=tmp_path) == (0, [])


def test_the_example_of_the_page_is_what_import_writes(here: Path, call) -> None:
    (example,) = re.findall(r"```text\n(.*?)```", PAGE, re.S)
    (shown,) = re.findall(r"```circuit\n(.*?)```", PAGE, re.S)
    command = re.findall(r"^circuitlang (import .*)$", PAGE, re.M)[0].split()
    language = (ROOT / "docs" / "language.md").read_text("utf-8")
    blocks = re.findall(r"```circuit\n(.*?)```", language, re.S)
    (here / "ioi.circuit").write_text(next(b for b in blocks if "thanked" in b and "edges" in b))
    (here / "found.txt").write_text(example)
    assert call(*command).code == 0
    assert (here / "found.circuit").read_text() == shown
    for line in re.findall(r"^circuitlang ((?:export|draw) .*)$", PAGE, re.M):
        arguments = [word.replace("circuits/", f"{ROOT}/circuits/") for word in line.split()]
        report = str(ROOT / "docs" / "evidence" / "smollm2_ioi.report.json")
        assert call(*[report if a == "report.json" else a for a in arguments]).code == 0


def test_the_names_of_the_page_are_read() -> None:
    rows = re.findall(r"^\| (EAP-IG|\[.*?\]\(.*?\)|this language) \| (.*) \| (.*) \|$", PAGE, re.M)
    assert len(rows) == 4
    for _, senders, receivers in rows:
        names = [re.findall(r"`([^`]+)`", cell) for cell in (senders, receivers)]
        names[1] = [name for name in names[1] if name != "hook_resid_mid"]
        assert [ends_of(sender, "logits")[0] for sender in names[0]] == ["embed", "L0.H1", "L0.MLP"]
        found = [ends_of("m0", receiver)[1] for receiver in names[1]]
        assert found == ["L5.H5.Q", "L3.MLP", "logits"]
