"""The wording of every message is pinned: `NAME.circuit` beside `NAME.diagnostics`.

After a change of wording run `python scripts/update_golden.py` and read the difference.
"""

import re
from pathlib import Path

import pytest

from circuitlang.source import CODES
from tests.front_end import GOLDEN, read_file, rendered

FILES = sorted(GOLDEN.glob("*.circuit"))
ELSEWHERE = {
    "CL101": "the file cannot be read: test_hostile.py tries missing files and folders",
    "CL103": "the file is too large: test_hostile.py makes one",
    "CL229": "of the plan: the design cannot reach a verdict",
    "CL240": "of the plan: a test that can pass only late",
    "CL310": "of the tokens, which need a model",
    "CL311": "of the tokens, which need a model",
    "CL312": "of the tokens, which need a model",
    "CL313": "of the tokens, which need a model",
    "CL314": "of the tokens, which need a model",
    "CL315": "of the tokens, which need a model",
    "CL325": "of the tokens, which need a model",
    "CL326": "of the tokens, which need a model",
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_is_answered_as_its_golden_says(path: Path) -> None:
    golden = path.with_suffix(".diagnostics")
    assert golden.is_file(), "run scripts/update_golden.py and read what it wrote"
    assert rendered(path) == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.diagnostics")), ids=lambda path: path.stem)
def test_a_golden_has_its_file(path: Path) -> None:
    assert path.with_suffix(".circuit").is_file()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_circuit_comes_out_unless_there_is_an_error(path: Path) -> None:
    _, circuit, diagnostics = read_file(path)
    assert (circuit is None) == any(d.severity == "error" for d in diagnostics)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_mistake_is_reported_twice(path: Path) -> None:
    source, _, diagnostics = read_file(path)
    many = ("CL120", "CL323")  # a missing part each, a row of a file each
    places = [(d.span, d.code) for d in diagnostics if d.code not in many]
    assert len(places) == len(set(places)), f"{source.name} repeats itself"


def _shown() -> set[str]:
    texts = [path.read_text(encoding="utf-8") for path in GOLDEN.glob("*.diagnostics")]
    return {code for text in texts for code in re.findall(r"\[(CL\d+)\]: ", text)}


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_is_shown_in_a_golden(code: str) -> None:
    assert (code in _shown()) != (code in ELSEWHERE), ELSEWHERE.get(code, "no golden shows it")


def test_goldens_show_known_codes_only() -> None:
    assert _shown() <= set(CODES)


def test_a_valid_file_is_answered_with_silence() -> None:
    assert rendered(GOLDEN / "valid.circuit") == ""


def test_many_mistakes_are_all_reported_at_once() -> None:
    _, _, diagnostics = read_file(GOLDEN / "many_mistakes.circuit")
    assert len({d.code for d in diagnostics}) >= 10
