"""Positions whose token never changes: told by the texts, held against the tokens."""

import json

import pytest

from circuitlang.circuit import AT_END, Position
from circuitlang.circuit.unchanged import never_change
from circuitlang.engine.tokenizer import FastTokenizer
from circuitlang.engine.tokens import align, named_positions
from tests.front_end import SourceText, circuit_of, read
from tests.tiny_tokenizers import bpe_tokenizer

TEXT = """
model "gpt2"
prompts {{
{prompts}
}}
metric logit_diff({metric})
nodes {{
  HERE L0.H1 at {at}
}}
claims {{
  ablate HERE >= 1% by resample
}}
"""
WORDS = (" Ann", " Bob", " Cid", " Dan", " met", " saw", "When", "Ann", "Bob", "Cid", "Dan", ",")
TOKENIZER = FastTokenizer(bpe_tokenizer(*WORDS))
RULES = """  clean   "When {A}, {B} met {C} and {A} saw {D}{E} then,"
  corrupt A2 = B, D = "Bob"
  A, B, C from "Ann", "Bob", "Cid", "Dan"
  D, E    from "Ann", "Cid", "Dan"
  sample  40"""
OTHERS = """  clean   "So {A} met {B}, isn't"
  corrupt "So Dan met {B}, isn't"
  A, B    from "Ann", "Bob", "Cid"
  sample  40"""


def written(prompts, metric, at):
    return TEXT.format(prompts=prompts, metric=metric, at=", ".join(at))


def same_tokens(circuit):
    """The named positions, and END, whose tokens are the same in every pair: from the tokens."""
    aligned = align(circuit, TOKENIZER)
    assert aligned.tokens, aligned.diagnostics
    places = [*named_positions(circuit), AT_END]
    return {
        str(place)
        for place in places
        if all(
            pair.clean[at := pair.positions.get(place, len(pair.clean) - 1)] == pair.corrupt[at]
            for pair in aligned.tokens
        )
    }


def told(circuit):
    places = [*named_positions(circuit), AT_END]
    return {str(p) for p in places if never_change([p], circuit.prompts, circuit.metric)}


@pytest.mark.parametrize(
    ("prompts", "at", "told_of"),
    [
        # Glued to another slot or sign, the texts do not tell; the tokens may still be the same.
        (
            RULES,
            ["A1", "A2", "B", "C", "D", "E", "B+1", "B+2", "A2+1", "A2-1", "C+1", "C+2", "A1+1"],
            {"A1", "B", "C", "B+1", "B+2", "A2+1", "A2-1", "C+1", "END"},
        ),
        (RULES, ["END-1", "END-2", "C-1", "B-1"], {"END", "C-1", "B-1"}),
        (OTHERS, ["B", "B-1", "B+2", "END-1"], {"B", "B-1", "END", "END-1"}),
    ],
)
def test_what_the_texts_tell_is_so_in_the_tokens(prompts, at, told_of):
    circuit = circuit_of(written(prompts, "A, B", at))
    assert told(circuit) == told_of
    assert told_of <= same_tokens(circuit)


def test_what_changes_is_never_told_of():
    circuit = circuit_of(written(RULES, "A, B", ["A2", "D", "E", "C+2", "END-1"]))
    assert {"A2", "D"}.isdisjoint(same_tokens(circuit) | told(circuit))


def test_rows_of_a_file(tmp_path):
    rows = [
        {"clean": f"When {a} met {b}, Ann saw", "corrupt": f"When {c} met {b}, Bob saw",
         "answer": a, "distractor": c, "A": a, "A@corrupt": c, "B": b, "B@corrupt": b,
         "M@token": 2, "L@token": -1}
        for a in ("Cid", "Dan") for b in ("Bob", "Ann") for c in ("Ann", "Bob") if b != c
    ]  # fmt: skip
    rows = [row for row in rows if row["clean"].count(row["B"]) == 1]
    text = "".join(json.dumps({**row, "clean": row["clean"].replace("Ann saw", "Dan saw"),
                               "corrupt": row["corrupt"].replace("Bob saw", "Dan saw")}) + "\n"
                   for row in rows if row["A"] != "Dan" and row["A@corrupt"] != "Dan")  # fmt: skip
    (tmp_path / "pairs.jsonl").write_text(text, encoding="utf-8")
    source = SourceText(
        "a.circuit",
        written('  from "pairs.jsonl"', "answer, distractor", ["A", "B", "M", "L", "END-1"]),
    )
    _, circuit, diagnostics = read(source, tmp_path)
    assert circuit is not None, diagnostics
    # Only the tokens tell what token 2 is.
    assert told(circuit) == {"B", "END", "END-1"}
    assert same_tokens(circuit) == {"B", "M", "END", "END-1"}


def test_no_position_and_no_texts_say_nothing():
    circuit = circuit_of(written(RULES, "A, B", ["A2"]))
    assert not never_change([], circuit.prompts, circuit.metric)
    generated = circuit_of(written("  repeated_tokens(length = 9)", "answer, distractor", ["B1"]))
    assert not never_change([Position("B")], generated.prompts, generated.metric)
    assert not never_change([AT_END], generated.prompts, generated.metric)
