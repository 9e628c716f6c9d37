"""Prompt pairs from data files, against pairs written by hand and against templates."""

import csv
import json
import os
import random
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from circuitlang.circuit import AT_END, Circuit, ModelReference, PromptPair, expand
from circuitlang.circuit.resolve.limits import MAX_DATA_BYTES, MAX_ROWS
from circuitlang.cli.running import _mismatch as mismatch
from circuitlang.engine.loading import LoadedModel, load_transformer
from circuitlang.engine.measurement import measure
from circuitlang.engine.tokenizer import FastTokenizer
from circuitlang.engine.tokens import align
from circuitlang.evidence import Evidence, Misalignment
from circuitlang.plan import Plan, check_design, compile_plan
from circuitlang.source import Diagnostic, SourceText, render_diagnostics
from tests.front_end import ROOT, read
from tests.tiny_tokenizers import bpe_tokenizer

_WORDS = "Mary John Paul Anna and met at the park play gave it to a then"
TOKENIZER = FastTokenizer(bpe_tokenizer(*(f" {w}" for w in _WORDS.split()), "Then", "ground", ","))


def text_of(
    name: str,
    at: str = "END",
    claims: str = "ablate B >= 5% by resample",
    sample: str = "",
    metric: str = "logit_diff(answer, distractor)",
) -> str:
    return (
        f'model "gpt2"\nprompts {{\n  from "{name}"\n  {sample}\n}}\nmetric {metric}\n'
        f"nodes {{\n  B L9.H6 at {at}\n}}\nclaims {{\n  {claims}\n}}\n"
    )


def told(folder: Path, text: str) -> tuple[Circuit | None, tuple[Diagnostic, ...]]:
    _, circuit, diagnostics = read(SourceText("test.circuit", text), folder)
    return circuit, diagnostics


def circuit_in(folder: Path, text: str) -> Circuit:
    circuit, diagnostics = told(folder, text)
    assert circuit is not None, render_diagnostics(diagnostics, SourceText("test.circuit", text))
    return circuit


def codes(folder: Path, text: str) -> list[str]:
    return [d.code for d in told(folder, text)[1]]


def write_jsonl(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


NAMES = ["Mary", "John", "Paul", "Anna"]


def row(io: str, s: str, other: str, place: str = "park") -> dict[str, Any]:
    return {
        "clean": f"Then {io} and {s} met at the {place}, and {s} gave it to",
        "corrupt": f"Then {io} and {other} met at the {place}, and {other} gave it to",
        "answer": io,
        "distractor": s,
        "IO": io,
        "S": s,
        "S@corrupt": other,
    }


def rows(count: int = 24) -> list[dict[str, Any]]:
    draw = random.Random(0)
    return [row(*draw.sample(NAMES, 3)) for _ in range(count)]


def texts(pairs: Iterable[PromptPair]) -> list[tuple[str, str, str, str]]:
    return [(p.clean.text, p.corrupt.text, p.answer, p.distractor) for p in pairs]


def written(rows: Iterable[Mapping[str, str]]) -> list[tuple[str, str, str, str]]:
    return [(r["clean"], r["corrupt"], r["answer"], r["distractor"]) for r in rows]


@pytest.mark.parametrize("name, write", [("a.jsonl", write_jsonl), ("b.csv", write_csv)])
def test_the_pairs_are_the_rows_in_their_order(tmp_path: Path, name: str, write: Any) -> None:
    write(tmp_path / name, rows())
    circuit = circuit_in(tmp_path, text_of(name))
    assert texts(expand(circuit.prompts, circuit.metric)) == written(rows())
    assert circuit.prompts.sample == 24


def test_a_sample_is_some_of_the_rows_and_the_same_each_time(tmp_path: Path) -> None:
    names = [f"{first}{second}" for first in "ABCDEFGHIJ" for second in "klmnopqrst"]
    data = [row(names[i], names[i + 1], names[i + 2]) for i in range(90)]
    write_jsonl(tmp_path / "a.jsonl", data)
    drawn = {}
    for seed in (0, 1):
        circuit = circuit_in(tmp_path, text_of("a.jsonl", sample=f"sample 30 seed {seed}"))
        drawn[seed] = texts(expand(circuit.prompts, circuit.metric))
        assert drawn[seed] == texts(expand(circuit.prompts, circuit.metric))
        order = [written(data).index(pair) for pair in drawn[seed]]
        assert order == sorted(set(order)), "in the order of the file, and none twice"
        assert len(order) == 30
    assert drawn[0] != drawn[1]
    # A draw that was seen once and may never change: saved evidence depends on it.
    assert [written(data).index(pair) for pair in drawn[0]][:6] == FIRST_ROWS


FIRST_ROWS = [6, 18, 21, 22, 25, 27]


def test_templates_take_turns_as_long_as_their_rows_last(tmp_path: Path) -> None:
    kinds = "aaaabbbbbbbbcc"
    data = [{**row("Mary", "John", "Paul"), "clean": f"Then it {i}", "template": kind}
            for i, kind in enumerate(kinds)]  # fmt: skip
    for one in data:
        one["S@corrupt"] = one["S"] = "x"
    write_jsonl(tmp_path / "a.jsonl", data)
    circuit = circuit_in(tmp_path, text_of("a.jsonl"))
    numbers = [p.clean.text.split()[-1] for p in expand(circuit.prompts, circuit.metric)]
    assert numbers == ["0", "4", "12", "1", "5", "13", "2", "6", "3", "7", "8", "9", "10", "11"]
    assert circuit.prompts.shares == (4, 8, 2)
    assert [str(t) for t in circuit.prompts.templates] == ["a", "b", "c"]
    for count in range(2, 15):
        some = circuit_in(tmp_path, text_of("a.jsonl", sample=f"sample {count} seed 3"))
        pairs = expand(some.prompts, some.metric)
        shares = tuple(sum(p.template == number for p in pairs) for number in range(3))
        assert some.prompts.shares == shares
        assert len(pairs) == len(set(texts(pairs))) == count
    assert "a template gets 2 of 14 prompts" in {d.message for d in check_design(circuit)}


def test_positions_as_texts_are_those_of_templates(tmp_path: Path) -> None:
    """The same prompts from templates, their places known from how they were filled."""
    text = (
        'model "gpt2"\nprompts {\n  clean "Then {IO} and {S} met at the {PLACE}, and {S} gave it '
        'to"\n  corrupt S = fresh\n  IO, S from "Mary", "John", "Paul", "Anna"\n'
        '  PLACE from "playground", "park"\n  sample 24\n}\nmetric logit_diff(IO, S)\n'
        "nodes {\n  B L9.H6 at IO, S1, S2, S1+1, S2-1, PLACE, PLACE-1, PLACE+1\n}\n"
        "claims {\n  ablate B >= 5% by resample\n}\n"
    )
    known = circuit_in(tmp_path, text)
    pairs = expand(known.prompts, known.metric)
    words = [{(s, n): p.clean.text[a:b] for s, n, a, b in p.clean.places} for p in pairs]
    others = [{(s, n): p.corrupt.text[a:b] for s, n, a, b in p.corrupt.places} for p in pairs]
    data = [
        {
            "clean": p.clean.text, "corrupt": p.corrupt.text, "PLACE": own["PLACE", 1],
            "IO": own["IO", 1], "S": own["S", 1], "S@corrupt": other["S", 1], "note": i,
        }
        for i, (p, own, other) in enumerate(zip(pairs, words, others, strict=True))
    ]  # fmt: skip
    write_jsonl(tmp_path / "a.jsonl", data)
    positions = "IO, S1, S2, S1+1, S2-1, PLACE, PLACE-1, PLACE+1"
    circuit = circuit_in(tmp_path, text_of("a.jsonl", positions, metric="logit_diff(IO, S)"))
    assert texts(expand(circuit.prompts, circuit.metric)) == texts(pairs)
    expected, found = align(known, TOKENIZER), align(circuit, TOKENIZER)
    assert expected.diagnostics == found.diagnostics == ()
    for one, other in zip(expected.tokens, found.tokens, strict=True):
        assert (one.clean, one.corrupt) == (other.clean, other.corrupt)
        assert one.target == other.target
        # `S1` is the first place of S in both.
        assert one.positions == other.positions
    # The same once more, each position as the number of a token.
    for line, tokens in zip(data, found.tokens, strict=True):
        for position, index in tokens.positions.items():
            if not position.offset:
                line[f"{position}@token"] = index
    write_csv(tmp_path / "b.csv", data)
    wanted = "IO, S1, S2, S1+1, PLACE, PLACE+1"
    numbered = circuit_in(tmp_path, text_of("b.csv", wanted, metric="logit_diff(IO, S)"))
    again = align(numbered, TOKENIZER)
    assert again.diagnostics == ()
    for one, other in zip(found.tokens, again.tokens, strict=True):
        places = {str(p): index for p, index in one.positions.items()}
        assert {str(p): index for p, index in other.positions.items()} == {
            name: places[name] for name in wanted.split(", ")
        }


def test_numbers_of_tokens_may_count_from_the_end(tmp_path: Path) -> None:
    data = [{**one, "LAST@token": -1, "FIRST@token": 0, "TO@token": "-2"} for one in rows(8)]
    write_jsonl(tmp_path / "a.jsonl", data)
    circuit = circuit_in(tmp_path, text_of("a.jsonl", "LAST, FIRST, TO, FIRST+2"))
    for pair in align(circuit, TOKENIZER).tokens:
        found = {str(position): pair.shown[index] for position, index in pair.positions.items()}
        assert found == {"FIRST": "Then", "TO": " it", "FIRST+2": " and"}
    assert [str(p) for p in circuit.roles[0].positions if p == AT_END] == ["LAST"]


@pytest.mark.parametrize("number", [14, -15, 99_999])
def test_a_token_outside_of_the_prompt_is_an_error(tmp_path: Path, number: int) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{**one, "X@token": number} for one in rows(8)])
    aligned = align(circuit_in(tmp_path, text_of("a.jsonl", "X")), TOKENIZER)
    assert len(TOKENIZER.encode(rows(1)[0]["clean"])[0]) == 14
    (found,) = aligned.diagnostics
    assert found.code == "CL313"
    assert text_of("a.jsonl", "X")[found.span.start : found.span.end] == "X"


def test_a_text_on_other_tokens_in_the_corrupt_prompt_is_told(tmp_path: Path) -> None:
    """The longer word before S is made up for by a shorter one behind it."""
    clean = "Then at the {}, {} met {} at the {}, and it gave"
    data = [
        {
            "clean": clean.format("playground", io, s, "park"),
            "corrupt": clean.format("park", io, other, "playground"),
            "answer": io, "distractor": s, "S": s, "S@corrupt": other,
        }
        for io, s, other in (("Mary", "John", "Paul"), ("Paul", "Anna", "Mary")) * 3
    ]  # fmt: skip
    write_jsonl(tmp_path / "a.jsonl", data)
    circuit = circuit_in(tmp_path, text_of("a.jsonl", "S"))
    aligned = align(circuit, TOKENIZER)
    assert {d.code for d in aligned.diagnostics} == {"CL314"}
    assert {p.reason for p in aligned.misaligned} == {Misalignment.POSITION}
    # Without the column nothing says where it stands there, and the token's number counts.
    for one in data:
        del one["S@corrupt"]
    write_jsonl(tmp_path / "a.jsonl", data)
    assert align(circuit_in(tmp_path, text_of("a.jsonl", "S")), TOKENIZER).diagnostics == ()


def test_rows_of_unequal_length_are_told(tmp_path: Path) -> None:
    data = rows(8)
    data[5]["corrupt"] = data[5]["corrupt"].replace("park", "playground")
    write_jsonl(tmp_path / "a.jsonl", data)
    aligned = align(circuit_in(tmp_path, text_of("a.jsonl")), TOKENIZER)
    assert [(d.code, d.hint) for d in aligned.diagnostics] == [
        ("CL310", "give both texts of the row the same number of tokens")
    ]
    assert [(p.number, p.reason) for p in aligned.misaligned] == [(6, Misalignment.LENGTH)]


def test_rows_of_different_lengths_are_measured_unless_a_mean_is_taken(tmp_path: Path) -> None:
    data = [row(*one[:2], "Anna", "playground" if i % 2 else "park")
            for i, one in enumerate([("Mary", "John"), ("Paul", "John")] * 6)]  # fmt: skip
    write_jsonl(tmp_path / "a.jsonl", data)
    aligned = align(circuit_in(tmp_path, text_of("a.jsonl", "S2, IO")), TOKENIZER)
    assert aligned.diagnostics == ()
    assert {len(pair.clean) for pair in aligned.tokens} == {14, 15}
    mean = circuit_in(tmp_path, text_of("a.jsonl", "S2, IO", "ablate B >= 5% by mean"))
    assert [d.code for d in align(mean, TOKENIZER).diagnostics] == ["CL312"]
    write_jsonl(tmp_path / "a.jsonl", [{**one, "template": len(one["clean"])} for one in data])
    mean = circuit_in(tmp_path, text_of("a.jsonl", "S2, IO", "ablate B >= 5% by mean"))
    assert align(mean, TOKENIZER).diagnostics == ()


def test_other_content_is_another_plan_and_the_same_content_is_not(tmp_path: Path) -> None:
    def plan_id(name: str) -> str:
        return compile_plan(circuit_in(tmp_path, text_of(name))).id

    write_jsonl(tmp_path / "a.jsonl", rows())
    (tmp_path / "b.jsonl").write_bytes((tmp_path / "a.jsonl").read_bytes())
    crlf = (tmp_path / "a.jsonl").read_bytes().replace(b"\n", b"\r\n")
    (tmp_path / "c.jsonl").write_bytes(crlf)
    write_jsonl(tmp_path / "d.jsonl", [*rows()[:-1], row("Anna", "Mary", "John", "a")])
    assert plan_id("a.jsonl") == plan_id("b.jsonl") == plan_id("c.jsonl")
    assert plan_id("d.jsonl") != plan_id("a.jsonl")


def test_the_order_of_positions_is_known_where_all_rows_agree(tmp_path: Path) -> None:
    edge = 'nodes {\n  B L9.H6 at END\n}\nclaims {\n  ablate B >= 5% by resample\n}\n'
    looks_ahead = (
        "nodes {\n  A L1.H1 at S1\n  B L9.H6 at IO\n}\nedges {\n  A ~> B.V >= 5%\n}\n"
    )
    write_jsonl(tmp_path / "a.jsonl", rows(8))
    text = text_of("a.jsonl")
    assert edge in text
    assert codes(tmp_path, text.replace(edge, looks_ahead)) == ["CL218"]
    swapped = rows(8)
    swapped[3]["clean"] = "Then {1} and {0} met, and {1} gave it to".format(*NAMES)
    swapped[3] |= {"IO": NAMES[0], "S": NAMES[1], "S@corrupt": NAMES[2]}
    swapped[3]["corrupt"] = swapped[3]["clean"].replace(NAMES[1], NAMES[2])
    write_jsonl(tmp_path / "a.jsonl", swapped)
    assert codes(tmp_path, text.replace(edge, looks_ahead)) == []


def test_files_outside_of_the_project_are_refused(tmp_path: Path) -> None:
    home = tmp_path / "project" / "circuits"
    home.mkdir(parents=True)
    write_jsonl(tmp_path / "secret.jsonl", rows(8))
    write_jsonl(tmp_path / "project" / "own.jsonl", rows(8))
    (home / "link.jsonl").symlink_to(tmp_path / "secret.jsonl")
    (home / "inner.jsonl").symlink_to(tmp_path / "project" / "own.jsonl")
    (home / "folder").symlink_to(tmp_path)
    outside = ["../../secret.jsonl", str(tmp_path / "secret.jsonl"), "link.jsonl",
               "folder/secret.jsonl", "../circuits/../../secret.jsonl"]  # fmt: skip
    inside = ["../own.jsonl", "inner.jsonl", str(tmp_path / "project" / "own.jsonl")]
    # Without a mark the project is the circuit's own folder.
    above = [name for name in inside if name != "inner.jsonl"]
    assert all(codes(home, text_of(name)) == ["CL321"] for name in (*outside, *above))
    for mark in ("pyproject.toml", ".git"):
        (tmp_path / "project" / mark).write_text("")
        assert all(codes(home, text_of(name)) == ["CL321"] for name in outside)
        assert all(codes(home, text_of(name)) == [] for name in inside)
        (tmp_path / "project" / mark).unlink()


def lines(*texts: str) -> bytes:
    return "".join(text + "\n" for text in texts).encode()


GOOD = json.dumps(row("Mary", "John", "Paul"))
HOSTILE: dict[str, tuple[str, bytes, set[str]]] = {
    "nothing": ("a.jsonl", b"", {"CL321"}),
    "no header": ("a.csv", b"", {"CL321"}),
    "a header alone": ("a.csv", b"clean,corrupt\n", {"CL321"}),
    "bytes": ("a.jsonl", bytes(range(256)), {"CL321"}),
    "latin": ("a.csv", "clean,corrupt\né,e\n".encode("latin-1"), {"CL321"}),
    "NUL in a table": ("a.csv", b"clean,corrupt\na\0,b\n", {"CL321"}),
    "NUL in a text": ("a.jsonl", lines(r'{"clean": "a\u0000", "corrupt": "b"}'), {"CL323"}),
    "escape": ("a.jsonl", lines(r'{"clean": "a\u001b[31m", "corrupt": "b"}'), {"CL323"}),
    "surrogate": ("a.jsonl", lines(r'{"clean": "a\ud800", "corrupt": "b"}'), {"CL323"}),
    "deep": ("a.jsonl", lines("[" * 200_000), {"CL323"}),
    "deeper": ("a.jsonl", lines('{"a":' * 200_000), {"CL323"}),
    "long number": ("a.jsonl", lines(GOOD[:-1] + ', "x": ' + "9" * 20_000 + "}"), {"CL322"}),
    "NaN": ("a.jsonl", lines('{"clean": NaN, "corrupt": "b"}'), {"CL323"}),
    "infinite": ("a.jsonl", lines('{"clean": 1e999, "corrupt": "b"}'), {"CL323"}),
    "no object": ("a.jsonl", lines("1", '"a"', "null", "[]"), {"CL323"}),
    "an empty object": ("a.jsonl", lines("{}"), {"CL323"}),
    "many keys": ("a.jsonl", lines("{" + '"a": 1, ' * 100_000 + '"b": 1}'), {"CL323"}),
    "many columns": ("a.csv", b"a," * 500_000 + b"clean\n1\n", {"CL321"}),
    "a column twice": ("a.csv", b"clean,corrupt,clean\na,b,c\n", {"CL321"}),
    "a quote left open": ("a.csv", b'clean,corrupt\n"a,b\n' + b"c,d\n" * 100_000, {"CL321"}),
    "rows too short": ("a.csv", b"clean,corrupt\na\n", {"CL323"}),
    "a million rows": ("a.csv", b"clean,corrupt\n" + b"a,b\n" * 1_000_000, {"CL321"}),
    "a million bad rows": ("a.jsonl", b"{\n" * 90_000, {"CL323"}),
    "long texts": ("a.csv", b"clean,corrupt\n" + b"a" * 100_000 + b",b\n", {"CL323"}),
    "one long line": ("a.csv", b"clean,corrupt\n" + b"a" * 3_000_000 + b",b\n", {"CL321"}),
    "one letter often": (
        "a.jsonl",
        lines(json.dumps({"clean": "a" * 20_000, "corrupt": "b", "END1": "a"})) * 500,
        {"CL322"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_files_are_answered(tmp_path: Path, kind: str) -> None:
    name, data, expected = HOSTILE[kind]
    (tmp_path / name).write_bytes(data)
    text = text_of(name)
    circuit, diagnostics = told(tmp_path, text)
    found = {d.code for d in diagnostics}
    if kind == "long number":  # in a column that nothing reads
        assert circuit is not None
        return
    assert circuit is None
    assert found <= expected | {"CL322"}
    assert found & expected
    assert len(diagnostics) < 30
    assert len(render_diagnostics(diagnostics, SourceText("test.circuit", text))) < 20_000


def test_a_position_that_stands_everywhere_is_refused(tmp_path: Path) -> None:
    data = [{"clean": "a" * 20_000, "corrupt": "b", "answer": "x", "distractor": "y", "S": "a"}]
    write_jsonl(tmp_path / "a.jsonl", data * 500)
    assert set(codes(tmp_path, text_of("a.jsonl", "S1"))) == {"CL323"}


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.jsonl").open("wb") as stream:
        stream.truncate(1 << 30)
    (problem,) = told(tmp_path, text_of("a.jsonl"))[1]
    assert problem.code == "CL321"
    assert f"{MAX_DATA_BYTES:,}" in problem.message


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "loop.csv").symlink_to(tmp_path / "loop.csv")
    names = ["folder.csv", "pipe.csv", "loop.csv", "none.csv", "x" * 5_000 + ".csv", ".csv", ""]
    for name in names:
        assert codes(tmp_path, text_of(name)) == ["CL321"], name


def test_every_row_may_be_used(tmp_path: Path) -> None:
    with (tmp_path / "a.csv").open("w") as stream:
        stream.write("clean,corrupt,answer,distractor\n")
        stream.writelines(f"a {i},b {i},x,y\n" for i in range(MAX_ROWS))
    circuit = circuit_in(tmp_path, text_of("a.csv"))
    assert circuit.prompts.shares == (MAX_ROWS,)


def test_positions_that_no_column_has(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", rows(8))
    _, found = told(tmp_path, text_of("a.jsonl", "S3, SS, I0"))
    assert [(d.code, d.message) for d in found] == [
        ("CL304", "no `S3` in the prompts: `S` stands 2 times there"),
        ("CL304", "no prompt has a position `SS`"),
        ("CL304", "no prompt has a position `I0`"),
    ]
    assert found[1].hint == "did you mean `S`?"
    _, found = told(tmp_path, text_of("a.jsonl", "S"))
    assert [d.code for d in found] == ["CL304"]
    assert "say which: `S1` or `S2`" in found[0].hint
    assert found[0].message == "`S` stands 2 times in the prompts"
    kinds = [{**one, "template": "xy"[number % 2]} for number, one in enumerate(rows(8))]
    for one in kinds[1::2]:
        one["clean"] += f" {one['S']} and {one['S']}"
        one["corrupt"] += f" {one['S@corrupt']} and {one['S@corrupt']}"
    write_jsonl(tmp_path / "a.jsonl", kinds)
    _, found = told(tmp_path, text_of("a.jsonl", "S4"))
    message = "no `S4` in rows of kind `x`: `S` stands 2 times there"
    assert [(d.code, d.message) for d in found] == [("CL304", message)]


def test_a_space_before_an_answer_is_the_one_of_the_prompt(tmp_path: Path) -> None:
    data = [{**one, "answer": f" {one['answer']}"} for one in rows(8)]
    write_jsonl(tmp_path / "a.jsonl", data)
    circuit = circuit_in(tmp_path, text_of("a.jsonl"))
    assert texts(expand(circuit.prompts, circuit.metric)) == written(rows(8))
    tokens = align(circuit, TOKENIZER).tokens
    answers = [TOKENIZER.show(t.target.tokens[0][0]) for t in tokens]
    assert answers == [one["answer"] for one in data]


def test_a_number_goes_on_where_its_own_row_ends_in_a_digit(tmp_path: Path) -> None:
    """Rows of one kind, of which some end in a number: 32 goes on with it, and ` 32` does not."""
    tokenizer = FastTokenizer(bpe_tokenizer("Then", " it", " at", " 32", " 17", "32", "33", " 33"))
    ends = [" 17", " at", " 17", " it"]
    data = [{"clean": f"Then it at{end}", "corrupt": f"Then at it{end}", "answer": "32",
             "distractor": "33"} for end in ends]  # fmt: skip
    write_jsonl(tmp_path / "a.jsonl", data)
    aligned = align(circuit_in(tmp_path, text_of("a.jsonl")), tokenizer)
    assert aligned.diagnostics == ()
    shown = [[tokenizer.show(i) for (i,) in t.target.tokens] for t in aligned.tokens]
    assert shown == [["32", "33"], [" 32", " 33"]] * 2


def test_sets_of_words_are_those_of_a_column(tmp_path: Path) -> None:
    tokenizer = FastTokenizer(bpe_tokenizer("Then", " it", " at", *(f"{n}" for n in range(10, 30))))
    data = [{"clean": f"Then it at{n}", "corrupt": "Then at at10", "YY": f"{n}", "answer": f"{n}"}
            for n in range(12, 20)]  # fmt: skip
    write_csv(tmp_path / "a.csv", data)
    metric = "prob_diff(answer > YY, answer <= YY)"
    circuit = circuit_in(tmp_path, text_of("a.csv", "YY", metric=metric))
    aligned = align(circuit, tokenizer)
    assert {d.code for d in aligned.diagnostics} == {"CL331"}, "19 is the largest answer"
    rule = "test {\n  pairs misaligned skip\n}\n"
    aligned = align(circuit_in(tmp_path, text_of("a.csv", "YY", metric=metric) + rule), tokenizer)
    assert len(aligned.tokens) == 7
    for pair, tokens in zip(aligned.pairs, aligned.tokens, strict=True):
        above, below = ([int(tokenizer.show(i)) for i in each] for each in tokens.target.tokens)
        limit = int(pair.clean.text[-2:])
        assert above == [*range(limit + 1, 20)]
        assert below == [*range(12, limit + 1)]


def test_line_ends_and_quotes_inside_texts(tmp_path: Path) -> None:
    clean = 'def f(a, b):\n    """Say "hello".\n\n    :param'
    data = [{"clean": clean, "corrupt": clean.replace("f(a, b)", "f(c, d)"), "answer": "a",
             "distractor": "c"}]  # fmt: skip
    write_csv(tmp_path / "a.csv", data)
    write_jsonl(tmp_path / "a.jsonl", data)
    for name in ("a.csv", "a.jsonl"):
        circuit = circuit_in(tmp_path, text_of(name))
        assert texts(expand(circuit.prompts, circuit.metric)) == written(data)


def test_what_is_read_of_the_data_is_not_what_it_is(tmp_path: Path) -> None:
    """Evidence can still be judged when the file speaks of other positions."""
    write_jsonl(tmp_path / "a.jsonl", rows())
    ids = {compile_plan(circuit_in(tmp_path, text_of("a.jsonl", at))).id for at in ("S2", "END")}
    assert len(ids) == 1
    fewer = circuit_in(tmp_path, text_of("a.jsonl", sample="sample 20"))
    assert compile_plan(fewer).id not in ids


def test_the_conversions_of_the_reference_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files laid out as those of auto-circuit and EAP-IG, through the page's own code."""
    page = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    known = rows(8)
    prompts = [
        {"clean": one["clean"], "corrupt": one["corrupt"], "answers": [f" {one['answer']}"],
         "wrong_answers": [f" {one['distractor']}"]}
        for one in known
    ]  # fmt: skip
    places = {"IO": 1, "S1": 3, "S2": 10, "end": 13}
    auto_circuit = {"prompts": prompts, "word_idxs": places, "seq_labels": ["<t>"]}
    Path("ioi_prompts.json").write_text(json.dumps(auto_circuit))
    ids = {name: TOKENIZER.encode(f" {name}")[0][0] for name in NAMES}
    table = [
        {"clean": one["clean"], "corrupted": one["corrupt"], "correct_idx": ids[one["answer"]],
         "incorrect_idx": ids[one["distractor"]]}
        for one in known
    ]  # fmt: skip
    write_csv(Path("ioi.csv"), table)

    class Decoding:
        def decode(self, ids: list[int]) -> str:
            return "".join(TOKENIZER.show(token) for token in ids)

    first, second = code.split("# EAP-IG")
    for part, at in ((first, "IO, S1, S2"), ("import csv, json\n# EAP-IG" + second, "END")):
        exec(part, {"tokenizer": Decoding()})
        circuit = circuit_in(tmp_path, text_of("pairs.jsonl", at))
        assert texts(expand(circuit.prompts, circuit.metric)) == written(known)
        aligned = align(circuit, TOKENIZER)
        assert aligned.diagnostics == ()
        for pair, one in zip(aligned.tokens, known, strict=True):
            shown = {str(place): pair.shown[index] for place, index in pair.positions.items()}
            io, s = f" {one['IO']}", f" {one['S']}"
            assert shown == ({"IO": io, "S1": s, "S2": s} if at != "END" else {})


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_transformer(ModelReference("builtin", "ioi_tiny"))


IN_WORDS = (
    'model builtin ioi_tiny\nprompts {\n  %s\n}\nmetric logit_diff(%s)\n'
    "nodes {\n  A L0.H1 at %s, END\n  B L3.H1 at END\n}\n"
    "edges {\n  A ~> B.K >= 5%%\n  B -> logits >= 5%%\n}\n"
    "claims {\n  ablate A >= 5%% by mean\n}\ntest {\n  random edges 2\n}\n"
)
TEMPLATES = """
  clean "When {IO} and {S} had lunch at the {PLACE}, {S} gave a ring to"
  clean "Then {S} and {IO} had lunch at the {PLACE}, {S} gave a ring to"
  corrupt S2 = IO
  IO, S from "Paul", "Sean", "Erin", "Kelly"
  PLACE from places
  sample 12"""


def measured(circuit: Circuit, model: LoadedModel) -> tuple[Plan, Evidence]:
    plan = compile_plan(circuit)
    aligned = align(circuit, model.tokenizer)
    assert aligned.diagnostics == ()
    return plan, measure(plan, model, aligned.pairs, aligned.tokens)


def test_a_file_is_measured_as_the_templates_that_it_was_made_of(
    tmp_path: Path, model: LoadedModel
) -> None:
    known = circuit_in(tmp_path, IN_WORDS % (TEMPLATES, "IO, S", "IO, S1"))
    pairs = expand(known.prompts, known.metric)
    data = [
        {
            "clean": p.clean.text, "corrupt": p.corrupt.text, "template": p.template,
            "answer": p.answer, "distractor": p.distractor, "note": 1,
            "S1@token": re.findall(r"\w+|,", p.clean.text).index(p.distractor),
        }
        for p in pairs
    ]  # fmt: skip
    write_csv(tmp_path / "a.csv", data)
    text = IN_WORDS % ('from "a.csv"', "answer, distractor", "answer, S1")
    circuit = circuit_in(tmp_path, text)
    plan, evidence = measured(circuit, model)
    other, expected = measured(known, model)
    assert (evidence.clean, evidence.corrupt) == (expected.clean, expected.corrupt)
    assert all(check.holds for check in evidence.self_checks)
    numbers = [evidence.patched[each.id] for each in plan.experiments]
    for one, known_one in zip(numbers, other.experiments, strict=True):
        assert one == pytest.approx(expected.patched[known_one.id], abs=1e-4)
    assert len({numbers[0], numbers[1], numbers[2]}) == 3
    assert mismatch(plan, evidence) is None
    # The same prompts and words, but another content: what S1 is may be another one.
    write_csv(tmp_path / "a.csv", [{**one, "note": 2} for one in data])
    changed = compile_plan(circuit_in(tmp_path, text))
    assert mismatch(changed, evidence) == "its model, prompts or metric are not this file's"
    write_csv(tmp_path / "a.csv", [*data[:-1], {**data[-1], "answer": "Sara"}])
    changed = compile_plan(circuit_in(tmp_path, text.replace("at answer, S1", "at S1")))
    assert mismatch(changed, evidence) == "it was measured on other prompts"
