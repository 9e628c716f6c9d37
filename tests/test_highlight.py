"""Editors colour what the grammar says: Lark's tokens, Pygments' and TextMate's, character by
character."""

import json
import re
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from hypothesis import given, settings
from pygments.token import Comment, Error, Keyword, Name, Number, Operator, Punctuation, String
from pygments.token import Token as PygmentsToken

from circuitlang.highlight import CircuitLexer, textmate_grammar
from circuitlang.highlight.pygments_lexer import TOKENS
from circuitlang.source import SourceText, load_source
from circuitlang.syntax import parse
from circuitlang.syntax.grammar import SECTIONS, grammar, keyword_of, keywords, signs
from scripts.update_editors import TEXTMATE, textmate_text
from tests.documents import Messy, messy
from tests.front_end import GOLDEN, ROOT

FILES = sorted(ROOT.rglob("*.circuit"))
FILES = [path for path in FILES if not {".venv", "venv", "build"} & set(path.parts)]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [
    block
    for page in PAGES
    for block in re.findall(r"^```circuit\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S)
]
SPACE, WORD, PART, NAME = "space", "keyword", "component", "name"
NUMBER, TEXT, COMMENT, SIGN, BAD = "number", "string", "comment", "sign", "bad"

OF_LARK = {
    "COMPONENT": PART, "NAME": NAME, "NUMBER": NUMBER, "STRING": TEXT, "COMMENT": COMMENT,
    "BAD": BAD, "SIGN": SIGN, "SWEEP_PAIRS": WORD,
}  # fmt: skip
OF_PYGMENTS = {
    Comment: COMMENT, String: TEXT, Name.Constant: PART, Keyword: WORD, Name: NAME,
    Number: NUMBER, Operator: SIGN, Punctuation: SIGN, Error: BAD,
}  # fmt: skip
OF_TEXTMATE = {
    "comment": COMMENT, "string": TEXT, "constant.other.component": PART, "keyword.control": WORD,
    "keyword.other": WORD, "variable": NAME, "constant.numeric": NUMBER, "keyword.operator": SIGN,
    "punctuation": SIGN,
}  # fmt: skip


def by_lark(text: str) -> list[str]:
    """The class of each character, as the grammar's own lexer says it."""
    found = [SPACE] * len(text)
    for token in grammar().lex(text, dont_ignore=True):
        if token.type == "_NL" or token.type.startswith("__IGNORE"):
            kind = SPACE
        elif token.type in OF_LARK:
            kind = OF_LARK[token.type]
        else:
            kind = WORD if keyword_of(token.type) else SIGN
        _fill(found, token.start_pos or 0, len(token), kind)
    # Comments at a line's end are inside the terminal for line ends; the parser takes them out.
    for comment in parse(SourceText("x", text))[0].comments:
        _fill(found, comment.span.start, len(comment.text), COMMENT)
    return found


def by_pygments(text: str) -> list[str]:
    found = [SPACE] * len(text)
    for start, token, piece in CircuitLexer().get_tokens_unprocessed(text):
        kinds = [kind for name, kind in OF_PYGMENTS.items() if token in name]
        _fill(found, start, len(piece), kinds[0] if kinds else SPACE)
    return found


def by_textmate(text: str, patterns: list[dict] | None = None) -> list[str]:
    """TextMate's way: line by line, the match that begins first, of equal ones the first rule's."""
    patterns = textmate_grammar()["patterns"] if patterns is None else patterns
    compiled = [(p["name"], re.compile(p["match"])) for p in patterns]
    found, start = [BAD] * len(text), 0
    for line in text.splitlines(keepends=True):
        for place, char in enumerate(line):
            if char.isspace():
                found[start + place] = SPACE
        at = 0
        while at < len(line):
            matches = [(m, scope) for scope, p in compiled if (m := p.search(line, at))]
            if not matches:
                break
            match, scope = min(matches, key=lambda one: one[0].start())
            kind = next(kind for name, kind in OF_TEXTMATE.items() if scope.startswith(name))
            _fill(found, start + match.start(), len(match.group().rstrip("\n")), kind)
            at = max(match.end(), at + 1)
        start += len(line)
    return found


def _fill(found: list[str], start: int, length: int, kind: str) -> None:
    found[start : start + length] = [kind] * length


def shown(text: str, classes: list[str]) -> list[tuple[str, str]]:
    """Classes of what can be seen; blanks have a colour only inside strings and comments."""
    return [
        (char, kind)
        for char, kind in zip(text, classes, strict=True)
        if not char.isspace() or kind == TEXT
    ]


def read(path: Path) -> str:
    return load_source(path)[0].text


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_file_is_coloured_as_its_tokens_are(path: Path) -> None:
    text = read(path)
    truth = shown(text, by_lark(text))
    assert shown(text, by_pygments(text)) == truth
    assert shown(text, by_textmate(text)) == truth
    if not parse(SourceText("x", text))[1]:
        assert BAD not in dict.fromkeys(kind for _, kind in truth)


def test_there_are_files_of_every_sort() -> None:
    assert {"circuits", "false", "golden"} <= {path.parent.name for path in FILES}
    assert len(BLOCKS) >= 10
    kinds = {kind for path in FILES for kind in by_lark(read(path))}
    assert kinds == {SPACE, WORD, PART, NAME, NUMBER, TEXT, COMMENT, SIGN, BAD}


@pytest.mark.parametrize("text", BLOCKS, ids=range(len(BLOCKS)))
def test_every_example_of_the_docs_is_coloured_as_its_tokens_are(text: str) -> None:
    truth = shown(text, by_lark(text))
    assert shown(text, by_pygments(text)) == truth == shown(text, by_textmate(text))


@settings(max_examples=60, deadline=None)
@given(messy())
def test_generated_files_are_coloured_as_their_tokens_are(case: Messy) -> None:
    truth = shown(case.text, by_lark(case.text))
    assert shown(case.text, by_pygments(case.text)) == truth
    assert shown(case.text, by_textmate(case.text)) == truth


def test_every_word_and_sign_of_the_grammar_has_its_colour() -> None:
    for word in keywords():
        assert by_lark(word) == by_pygments(word) == by_textmate(word) == [WORD] * len(word)
        longer = word + "_1"
        assert by_pygments(longer) == by_textmate(longer) == [NAME] * len(longer)
    for sign in (*signs(), "+", "-"):
        assert by_lark(sign) == by_pygments(sign) == by_textmate(sign) == [SIGN] * len(sign)


def test_the_keywords_of_both_are_the_grammars() -> None:
    """Taken out of the checked-in file and out of the lexer, not out of the table of rules."""
    patterns = json.loads(TEXTMATE.read_text("utf-8"))["patterns"]
    in_file = [p["match"] for p in patterns if p["name"].startswith(("keyword.c", "keyword.other"))]
    assert _words(in_file) == keywords() >= set(SECTIONS)
    rows = CircuitLexer.tokens["root"]
    assert _words([p for p, token in rows if token in (Keyword, Keyword.Declaration)]) == keywords()


def _words(patterns: list[str]) -> set[str]:
    lists = [re.match(r"\(\?:([\w|]+)\)", pattern) for pattern in patterns]
    return {word for found in lists if found for word in found[1].split("|")}


def test_sweep_is_a_word_of_the_language_before_pairs_alone() -> None:
    setting, name = [WORD] * 5 + [WORD] * 5, [NAME] * 5
    for colour in (by_lark, by_pygments, by_textmate):
        assert [kind for _, kind in shown("sweep pairs", colour("sweep pairs"))] == setting
        assert colour("sweep") == name
        assert colour("sweep pairs_1")[:5] == name


def test_the_textmate_file_is_up_to_date() -> None:
    assert TEXTMATE.read_text("utf-8") == textmate_text(), "run scripts/update_editors.py"


def test_the_comparison_sees_a_missing_keyword_and_a_wrong_order() -> None:
    text = read(GOLDEN / "ioi.circuit")
    patterns = textmate_grammar()["patterns"]
    without = [{**p, "match": p["match"].replace("|within", "")} for p in patterns]
    assert by_textmate(text, without) != by_textmate(text)
    names_first = sorted(patterns, key=lambda p: p["name"] != "variable.other.circuit")
    assert shown(text, by_textmate(text, names_first)) != shown(text, by_lark(text))


def test_slots_of_templates_stand_out() -> None:
    text = 'clean "{{a}} {IO} and {S1} {"'
    pieces = [
        (str(token).removeprefix("Token.Literal.String."), piece)
        for _, token, piece in CircuitLexer().get_tokens_unprocessed(text)
        if token in String
    ]
    assert pieces == [
        ("Double", '"'), ("Escape", "{{"), ("Double", "a"), ("Escape", "}}"), ("Double", " "),
        ("Interpol", "{IO}"), ("Double", " and "), ("Interpol", "{S1}"), ("Double", ' {"'),
    ]  # fmt: skip
    (inside,) = (p["captures"]["0"] for p in textmate_grammar()["patterns"] if "captures" in p)
    escape, slot = inside["patterns"]
    found = re.findall(f"(?P<escape>{escape['match']})|({slot['match']})", text)
    assert found == [("{{", ""), ("}}", ""), ("", "{IO}"), ("", "{S1}")]


def test_names_with_a_meaning_stand_out() -> None:
    tokens = {text: token for _, token, text in CircuitLexer().get_tokens_unprocessed("A.Q END B")}
    assert [tokens[word] for word in ("A", "Q", "END", "B")] == [
        Name, Name.Attribute, Name.Builtin, Name,
    ]  # fmt: skip


@pytest.mark.parametrize("path", FILES[:3], ids=lambda path: path.stem)
def test_nothing_is_lost(path: Path) -> None:
    text = read(path)
    tokens = list(CircuitLexer().get_tokens_unprocessed(text))
    assert "".join(piece for _, _, piece in tokens) == text
    assert all(token in PygmentsToken for _, token, _ in tokens)


def test_pygments_finds_the_lexer_by_its_entry_point() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    ((name, value),) = project["entry-points"]["pygments.lexers"].items()
    assert EntryPoint(name, value, "pygments.lexers").load() is CircuitLexer
    assert CircuitLexer.aliases == ["circuit"]
    assert CircuitLexer.filenames == ["*.circuit"]


def test_the_extension_names_files_that_are_there() -> None:
    folder = TEXTMATE.parent
    package = json.loads((folder / "package.json").read_text("utf-8"))["contributes"]
    (language,), (colours,) = package["languages"], package["grammars"]
    assert language["extensions"] == [".circuit"]
    assert language["id"] == colours["language"]
    assert colours["scopeName"] == json.loads(TEXTMATE.read_text("utf-8"))["scopeName"]
    assert (folder / colours["path"]).resolve() == TEXTMATE
    configuration = json.loads((folder / language["configuration"]).read_text("utf-8"))
    assert configuration["comments"]["lineComment"] == "#"


PAGE = (ROOT / "docs" / "editors.md").read_text("utf-8")


def test_the_page_names_every_scope_and_token() -> None:
    rows = re.findall(r"^\| .* \| `([\w.-]+\.circuit)` \| `([\w.]+)` \|$", PAGE, re.M)
    inside = next(p for p in textmate_grammar()["patterns"] if "captures" in p)["captures"]["0"]
    scopes = {p["name"] for p in [*textmate_grammar()["patterns"], *inside["patterns"]]}
    assert {scope for scope, _ in rows} == scopes
    tokens = {str(token).removeprefix("Token.") for token in TOKENS.values()}
    said = {token for _, token in rows} - {"String.Interpol", "String.Escape"}
    assert {token.removeprefix("Literal.") for token in tokens} == said


def test_the_example_of_the_page_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    names: dict[str, str] = {}
    exec(example, names)
    assert '<span class="no">' not in names["html"]
    assert '<span class="na">Q</span>' in names["html"]
    assert names["html"].count('<span class="o">') == 3
