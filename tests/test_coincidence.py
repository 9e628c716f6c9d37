"""One token has one position, however a file names it; against where real tokens stand."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitlang.circuit import AT_END, END, Circuit, Position, Role, canonical, resolve
from circuitlang.circuit.prompts import RepeatedTokens
from circuitlang.circuit.repetition import draw_tokens
from circuitlang.circuit.sweep import named_places
from circuitlang.engine.tokenizer import FastTokenizer
from circuitlang.engine.tokens import align
from circuitlang.source import SourceText
from circuitlang.syntax import parse
from tests.front_end import circuit_of, codes_of
from tests.tiny_tokenizers import word_tokenizer

ABOUT = FastTokenizer(word_tokenizer("the", "saw", "and", "Ann", "Bob", "Cid", "Dan", "Eve"))
TWO = """
  clean   "the {A} saw {S}"
  clean   "{S} and {A} saw {S}"
  corrupt S = fresh
  A, S    from "Ann", "Bob", "Cid", "Dan", "Eve"
"""
ONE = TWO.replace('  clean   "{S} and {A} saw {S}"\n', "")
REPEATED = "\n  repeated_tokens(length = 6, repeats = 3, end = 4)\n"


def text_of(prompts: str, nodes: str = "", edges: str = "", claims: str = "") -> str:
    metric = "answer, distractor" if "repeated" in prompts else "A, S"
    blocks = {"nodes": nodes, "edges": edges, "claims": claims}
    written = "".join(f"\n{name} {{\n{lines}\n}}\n" for name, lines in blocks.items() if lines)
    model = "model builtin ioi_tiny"
    return f"{model}\n\nprompts {{{prompts}}}\n\nmetric logit_diff({metric})\n{written}"


def position_of(prompts: str, written: str) -> Position:
    text = text_of(prompts, f"N L1.H0 at {written}", claims="ablate N by resample")
    (found,) = circuit_of(text).roles[0].positions
    return found


@pytest.mark.parametrize(
    "prompts, written, meant",
    [
        (ONE, "S", AT_END),
        (ONE, "S1", AT_END),
        (ONE, "A", Position("A")),
        (ONE, "S-1", Position("S", 1, -1)),
        (TWO, "S1", Position("S")),
        (ONE.replace("saw {S}", "saw {S}."), "S", Position("S")),
        (REPEATED, "A3", AT_END),
        (REPEATED, "A3-2", Position(END, 1, -2)),
        (REPEATED, "B2", Position("B", 2)),
        (REPEATED, "A2+1", Position("B", 2)),
        (REPEATED, "END-6", Position("A", 2)),
        (REPEATED, "B1-1", Position("A", 1)),
        (REPEATED, "A1+6", Position("A", 2)),
        (REPEATED, "A2+3", Position(END, 1, -3)),
        (REPEATED, "B1+11", AT_END),
    ],
)
def test_a_position_has_one_name(prompts: str, written: str, meant: Position) -> None:
    found = position_of(prompts, written)
    assert found == meant
    assert str(found) == written, "a reader sees what the file says"


@pytest.mark.parametrize(
    "prompts, written",
    [(ONE, "S+1"), (REPEATED, "A3+1"), (REPEATED, "B2+6"), (REPEATED, "A1+100"), (TWO, "S1+1")],
)
def test_nothing_stands_after_the_end(prompts: str, written: str) -> None:
    found = codes_of(text_of(prompts, f"N L1.H0 at {written}", claims="ablate N by resample"))
    assert found == ["CL304"]


@given(
    st.integers(2, 9),
    st.integers(2, 4),
    st.data(),
    st.sampled_from(["A", "B", "copy"]),
)
@settings(max_examples=60, deadline=None)
def test_names_of_random_tokens_are_one_exactly_where_their_tokens_are(
    length: int, repeats: int, data: st.DataObject, change: str
) -> None:
    generator = RepeatedTokens(length, repeats, data.draw(st.integers(1, length - 1)), change)
    prompts = replace(circuit_of(text_of(REPEATED, edges="L1.H0 ~> logits")).prompts)
    prompts = replace(prompts, generator=generator)
    # Where names stand is counted here from the definition: A ends the last copy, B follows A.
    end = (repeats - 1) * length + generator.end - 1
    place = {("A", n): (n - 1) * length + generator.end - 1 for n in range(1, repeats + 1)}
    place |= {("B", n): (n - 1) * length + generator.end for n in range(1, repeats)}
    place[END, 1] = end
    assert len(draw_tokens(generator, _Halves()).layout.clean) == end + 1
    names = st.tuples(st.sampled_from(sorted(place)), st.integers(-20, 20))
    (one, first), (other, second) = data.draw(names), data.draw(names)
    same = place[one] + first == place[other] + second
    found = [
        canonical(Position(*name, offset), prompts)
        for name, offset in ((one, first), (other, second))
    ]
    assert (found[0] == found[1]) == same
    assert [str(p) for p in found] == [str(Position(*one, first)), str(Position(*other, second))]
    assert all(canonical(each, prompts) == each for each in found)


class _Halves:
    def random(self) -> float:
        return 0.5


def test_what_is_called_end_stands_on_the_last_token() -> None:
    circuit = circuit_of(text_of(ONE, "N L1.H0 at S", claims="ablate N by resample"))
    by_slot = replace(circuit, roles=(Role("N", circuit.roles[0].components, (Position("S"),)),))
    pairs = align(by_slot, ABOUT).tokens
    assert pairs
    assert all(pair.positions[Position("S")] == len(pair.clean) - 1 for pair in pairs)


@pytest.mark.parametrize(
    "prompts, edges",
    [
        (REPEATED, "L1.H0 ~> logits from A3\nL1.H0 ~> logits from END"),
        (REPEATED, "L0.H0 ~> L1.H0.K from A2+1\nL0.H0 ~> L1.H0.K from B2"),
        (ONE, "L0.H0 ~> L1.H0.V from S to END\nL0.H0 ~> L1.H0.V from END"),
    ],
)
def test_one_experiment_stands_once_whatever_its_positions_are_called(
    prompts: str, edges: str
) -> None:
    assert codes_of(text_of(prompts, edges=edges)) == ["CL217"]
    assert codes_of(text_of(prompts, edges=edges.split("\n")[0])) == []


def test_a_node_at_the_last_a_reaches_the_logits() -> None:
    nodes = "N L1.H0 at A3"
    text = text_of(REPEATED, nodes, "N ~> logits", "direct_effect N\nattention N END -> A3 >= 10%")
    (edge,) = circuit_of(text).edges
    assert edge.positions == (AT_END,)


def test_a_sweep_by_position_has_each_token_once() -> None:
    circuit = circuit_of(text_of(REPEATED, claims="sweep resid_pre"))
    assert [str(p) for p in named_places(circuit)] == ["A1", "B1", "A2", "B2", "END"]
    circuit = circuit_of(text_of(ONE, claims="sweep resid_pre"))
    assert [str(p) for p in named_places(circuit)] == ["A", "END"]


def rows(tmp_path: Path, *rows: dict[str, object]) -> Circuit:
    """A circuit whose node is at the position S of these rows."""
    base = {"answer": "x", "distractor": "y"}
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(base | row) for row in rows), encoding="utf-8")
    text = text_of(f'\n  from "{path.name}"\n', "N L1.H0 at S", claims="ablate N by resample")
    source = SourceText(str(tmp_path / "file.circuit"), text.replace("A, S", "answer, distractor"))
    circuit, found = resolve(parse(source)[0], source)
    assert circuit is not None, found
    return circuit


def _row(s: str, **others: object) -> dict[str, object]:
    return {"clean": "Ann saw Bob", "corrupt": "Ann saw Cid", "S": s, **others}


@pytest.mark.parametrize(
    "second, meant",
    [
        (_row("Bob"), AT_END),
        (_row("Ann"), Position("S")),
        (_row("Bob", **{"S@corrupt": "Cid"}), AT_END),
        (_row("Bob", corrupt="Cid saw Ann", **{"S@corrupt": "Cid"}), Position("S")),
    ],
)
def test_a_text_that_ends_every_row_is_the_end(
    second: dict[str, object], meant: Position, tmp_path: Path
) -> None:
    circuit = rows(tmp_path, _row("Bob"), second)
    assert circuit.roles[0].positions == (meant,)


@pytest.mark.parametrize(
    "numbers, meant",
    [
        ((-1, -1), AT_END),
        ((-2, -2), Position(END, 1, -1)),
        ((2, 2), Position("S")),
        ((-1, 2), Position("S")),
        ((-1, -2), Position("S")),
    ],
)
def test_a_number_counts_from_the_end_only_where_every_row_does(
    numbers: tuple[int, int], meant: Position, tmp_path: Path
) -> None:
    base = {"clean": "Ann saw Bob", "corrupt": "Ann saw Cid"}
    circuit = rows(tmp_path, *({**base, "S@token": number} for number in numbers))
    assert circuit.roles[0].positions == (meant,)
    assert str(circuit.roles[0].positions[0]) == "S"
