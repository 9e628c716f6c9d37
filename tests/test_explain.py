"""Every code has a page; its first example gets the code, its second gets no diagnostic at all."""

import json
import re
from pathlib import Path

import pytest

from circuitlang.circuit import resolve
from circuitlang.engine.locating import locate_model
from circuitlang.engine.tokenizer import FastTokenizer
from circuitlang.engine.tokens import align
from circuitlang.models import context_of_folder
from circuitlang.plan import check_design
from circuitlang.source import CODES, SourceText, explain
from circuitlang.source.explanation import _PAGES
from circuitlang.syntax import parse
from tests.commands import circuitlang

FRAME = """circuit example

model builtin ioi_tiny

prompts {
  clean   "When {IO} and {S} had lunch at the {PLACE}, {S} offered a {OBJECT} to"
  corrupt IO = fresh, S1 = fresh, S2 = fresh
  IO, S   from "Stephen", "Patrick", "Sean", "Erin", "Jamie", "Kelly"
  PLACE   from places
  OBJECT  from objects
  sample  60 seed 0
}

metric logit_diff(IO, S)

nodes {
  DTH L1.H2         at S2
  SIH L2.H0, L2.H3  at END
  NMH L3.H1, L3.H2  at END
}

edges {
  DTH ~> SIH.V   >= 20%
  SIH ~> NMH.Q   >= 20%
  NMH ~> logits  >= 20%
}
"""
NAMES = ("Stephen", "Patrick", "Sean", "Erin", "Jamie", "Kelly")
PLACES = ("store", "garden", "restaurant", "school", "hospital", "office", "house", "station")
WITHOUT_EXAMPLE = {"CL101", "CL102", "CL103", "CL331", "CL332"}
"""Of the file itself, not of what it says; and of numbers, which the frame's tokenizer lacks."""
_SECTION = re.compile(r"^(\w+)(?: [^{\n]*\n| \{\n(?:.*\n)*?\})", re.MULTILINE)


def completed(example: str) -> str:
    """An example in the frame: its sections stand in for those of the same name."""
    if "model" in example and "prompts" in example:
        return example
    own = {match[1]: match[0] for match in _SECTION.finditer(example)}
    kept = [m[0] for m in _SECTION.finditer(FRAME) if m[1] not in own]
    return "\n".join([*kept, example])


def _row(number: int, **changes: object) -> str:
    io, s = NAMES[number % 5], NAMES[5]
    clean = f"When {io} and {s} had lunch at the {PLACES[number // 5]}, {s} offered a book to"
    corrupt = clean.replace(s, "Paul")
    row = {"clean": clean, "corrupt": corrupt, "answer": io, "distractor": s, "S": s}
    return json.dumps({key: value for key, value in (row | changes).items() if value})


def data_files(folder: Path) -> None:
    """The files that the pages about data files name."""
    good = [_row(number) for number in range(40)]
    (folder / "pairs.jsonl").write_text("\n".join(good), encoding="utf-8")
    bad = [good[0], _row(1, clean=""), *good[2:]]
    (folder / "bad_row.jsonl").write_text("\n".join(bad), encoding="utf-8")
    short = [_row(number, corrupt="") for number in range(40)]
    (folder / "no_corrupt.jsonl").write_text("\n".join(short), encoding="utf-8")


def codes_of(text: str, folder: Path) -> list[str]:
    """Everything that is said of a text without weights: front end, design and tokens."""
    source = SourceText(str(folder / "example.circuit"), text)
    document, errors = parse(source)
    circuit, mistakes = resolve(document, source)
    found = [*errors, *mistakes]
    if circuit is not None:
        found += check_design(circuit)
        folder, _ = locate_model(circuit.model, weights=False)
        tokenizer = FastTokenizer.from_folder(folder)
        found += align(circuit, tokenizer, context_of_folder(folder)).diagnostics
    return [diagnostic.code for diagnostic in found]


def test_every_code_has_a_page_and_every_page_a_code() -> None:
    assert {path.stem for path in Path(_PAGES).glob("*.md")} == set(CODES)


def test_the_frame_itself_is_right(tmp_path: Path) -> None:
    assert codes_of(FRAME, tmp_path) == []


@pytest.mark.parametrize("code", sorted(CODES))
def test_a_page_shows_its_code_and_how_to_mend_it(code: str, tmp_path: Path) -> None:
    data_files(tmp_path)
    page = explain(code)
    assert page is not None
    assert len(page.text.split("\n\n")[1]) > 30  # words of its own between title and examples
    assert (page.fails == "") == (page.mended == "") == (code in WITHOUT_EXAMPLE)
    if page.fails:
        assert code in codes_of(completed(page.fails), tmp_path)
        assert codes_of(completed(page.mended), tmp_path) == []


def test_an_unknown_code_has_no_page() -> None:
    assert explain("CL999") is None
    assert explain(" cl216 ") == explain("CL216")


def test_the_command(tmp_path: Path) -> None:
    run = circuitlang("explain", "cl216", home=tmp_path)
    assert (run.code, run.out) == (0, explain("CL216").text)
    every = circuitlang("explain", home=tmp_path)
    assert all(code in every.out for code in CODES)
    wrong = circuitlang("explain", "CL2166", home=tmp_path)
    assert wrong.code == 2
    assert "did you mean `CL216`" in wrong.err
