"""Broken and hostile files: whatever bytes a file holds, the answer is diagnostics.

Every input is generated from the valid files with a fixed seed, so a failure can be repeated.
"""

import os
import random
import string
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from circuitlang.source import MAX_BYTES, Severity, SourceText, load_source, render_diagnostics
from circuitlang.syntax import NotFormattable, format_document, parse
from tests.front_end import GOLDEN, read

Case = tuple[str, bytes]

VALID = [GOLDEN / "ioi.circuit", GOLDEN / "valid.circuit"]
TEXTS = [path.read_bytes() for path in VALID]
IOI = VALID[0].read_bytes()
HIDDEN = [
    "\x00",
    "\x1b[31m",
    "\x0b",
    "\x0c",
    "\x7f",
    "\x85",
    "\ufeff",
    "\u202e",
    "\u2028",
    "\u200b",
]
STRANGE = [
    "\u00a0",
    "\u2003",
    "А",
    "Ѕ",
    "і",
    "→",
    "≥",
    "−",
    "“",
    "\U0001f600",
    "é",
    "ﬁ",
    "٣",
    "\u0301",
]
ODD_WORDS = [
    "__proto__",
    "L",
    "H1",
    "L1",
    "IO1",
    "S99",
    "END",
    "fresh",
    "logits",
    "Q",
    "_",
    "{S}",
    '"',
]


def _truncated() -> Iterator[Case]:
    for number, text in enumerate(TEXTS):
        step = max(1, len(text) // 60)
        for at in range(0, len(text), step):
            yield f"cut {number} at {at}", text[:at]


def _mutated(rng: random.Random) -> Iterator[Case]:
    for number in range(150):
        data = bytearray(rng.choice(TEXTS))
        for _ in range(rng.randint(1, 8)):
            at = rng.randrange(len(data))
            change = rng.randrange(3)
            if change == 0:
                data[at] = rng.randrange(256)
            elif change == 1:
                del data[at]
            else:
                data.insert(at, rng.choice(b'{}"#->~.,=%()0123456789 \n\tQKVLHS'))
        yield f"mutation {number}", bytes(data)


def _shuffled(rng: random.Random) -> Iterator[Case]:
    for number in range(100):
        lines = rng.choice(TEXTS).split(b"\n")
        for _ in range(rng.randint(1, 4)):
            at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
            change = rng.randrange(3)
            if change == 0:
                lines[at], lines[other] = lines[other], lines[at]
            elif change == 1:
                lines.insert(at, lines[other])
            elif len(lines) > 1:
                del lines[at]
        yield f"lines {number}", b"\n".join(lines)


def _renamed(rng: random.Random) -> Iterator[Case]:
    """One word of the file becomes another one, or an odd one, or looks like itself."""
    words = sorted({word for text in TEXTS for word in text.decode().split()})
    for number in range(120):
        text = rng.choice(TEXTS).decode()
        old, new = rng.choice(words), rng.choice([*words, *ODD_WORDS])
        yield f"word {number}", text.replace(old, new).encode()
    for number, new in enumerate([*HIDDEN, *STRANGE, *ODD_WORDS]):
        for old in ("SIH", " ", "S2", "{PLACE}", "IO"):
            changed = IOI.decode().replace(old, old[:-1] + new, 3)
            yield f"sign {number} for {old}", changed.encode()


def _line_ends() -> Iterator[Case]:
    yield "CRLF", IOI.replace(b"\n", b"\r\n")
    yield "CR", IOI.replace(b"\n", b"\r")
    yield "mixed", IOI.replace(b"}\n", b"}\r").replace(b"0\n", b"0\r\n")
    yield "BOM", b"\xef\xbb\xbf" + IOI
    yield "UTF-16", IOI.decode().encode("utf-16")
    yield "all bytes", bytes(range(256))
    yield "overlong", b"\xc0\xaf" + IOI
    yield "surrogate", b"\xed\xa0\x80" + IOI
    yield "empty", b""
    yield "one newline", b"\n"
    yield "blank", b" \t\n \n"
    yield "no last newline", IOI.rstrip(b"\n")
    yield "comment without newline", b"# nothing"
    yield "nothing but braces", b"{}{}}{\n" * 50


def _huge() -> Iterator[Case]:
    head, tail = IOI.split(b"edges {\n")
    edge = b"  L1.H1 ~> L5.H5.V >= 1%\n"
    yield "20,000 equal edges", head + b"edges {\n" + edge * 20_000 + tail
    different = b"".join(
        b"  L%d.H%d ~> L%d.H%d.Q\n" % (i % 5, i // 5 % 12, 5 + i // 60 % 7, i // 420 % 12)
        for i in range(9_000)
    )
    yield "9,000 edges", head + b"edges {\n" + different + tail
    yield "just below the limit", IOI + b"#" * (MAX_BYTES - len(IOI))
    yield "just above the limit", IOI + b"#" * (MAX_BYTES - len(IOI) + 1)
    for char in ("{", "}", '"', "#", " ", "\n", "a", "1", "-", ".", ",", "\x00", "\u00a0", "\t"):
        data = char.encode()
        yield f"a mebibyte of {char!r}", data * (MAX_BYTES // len(data))
    for pair in (b'"a', b"a ", b"a{", b"{\n", b"L1.H1,", b"no\n", b"}\n", b"a\n", b"test {}\n"):
        yield f"half a mebibyte of {pair!r}", pair * (MAX_BYTES // 2 // len(pair))
    yield from _huge_parts().items()


def _with(text: bytes, old: bytes, new: bytes) -> bytes:
    assert old in text
    return text.replace(old, new)


def _huge_parts() -> dict[str, bytes]:
    """Valid up to one part that is far too big."""
    heads = b", ".join(b"L%d.H%d" % (i % 9_999, i // 9_999) for i in range(50_000))
    nodes = b"".join(b"  N%d L1.H1 at S%d\n" % (i, i % 5) for i in range(15_000))
    lists = b"".join(b"  A%d from names\n" % i for i in range(25_000))
    words = b", ".join(b'"w%d"' % i for i in range(50_000))
    rules = b", ".join(b"S2 = fresh" for _ in range(25_000))
    clean = b"".join(b'  clean "{IO} %d {S} {S}"\n' % i for i in range(20_000))
    unknown = b"".join(b"  A%d ~> B%d.Q\n" % (i, i) for i in range(12_000))
    unmodelled = _with(IOI, b'"gpt2"', b'"somebody/something"')
    huge_node = _with(unmodelled, b"L0.H1, L0.H10, L3.H0", heads)
    return {
        "a node of 50,000 heads": huge_node,
        "each pair of a huge node": _with(huge_node, b"DTH  ~>", b"each DTH ~>"),
        "15,000 nodes": _with(IOI, b"nodes {\n", b"nodes {\n" + nodes),
        "25,000 word lists": _with(IOI, b"  sample", lists + b"  sample"),
        "50,000 words": _with(IOI, b'"store", "park", "office"', words),
        "25,000 rules": _with(IOI, b"S2 = fresh", rules),
        "20,000 templates": _with(IOI, b"  corrupt", clean + b"  corrupt"),
        "12,000 unknown names": _with(IOI, b"edges {\n", b"edges {\n" + unknown),
        "a template of slots": _with(IOI, b"{PLACE}", b"{PLACE}" * 100_000),
        "a long template": _with(IOI, b"gave", b"gave" * 200_000),
        "a long name": _with(IOI, b"SIH", b"S" * 50_000),
        "a long model": _with(IOI, b"gpt2", b"gpt2/" * 100_000),
        "a long comment": _with(IOI, b"# a built-in list", b"# a" * 300_000),
        "a long number": _with(IOI, b"5%", b"5" * 10_000 + b"%"),
        "a long count": _with(IOI, b"sample  100", b"sample  1" + b"0" * 10_000),
        "a long fraction": _with(IOI, b"5%", b"0." + b"0" * 10_000 + b"1"),
        "a long offset": _with(IOI, b"S1+1", b"S1+" + b"9" * 10_000),
        "a long layer": _with(IOI, b"L9.H6", b"L" + b"9" * 10_000 + b".H1"),
        "a far layer": _with(IOI, b"L9.H6", b"L99999999999.H1"),
        "a thousand positions": _with(IOI, b"at S2", b"at " + b", ".join([b"S2"] * 1_000)),
        "a thousand bounds": _with(IOI, b">= 1%", b">= 1%" * 1_000),
        "a thousand options": _with(IOI, b'"gpt2"', b'"gpt2"' + b" dtype float32" * 1_000),
    }


SMALL = [
    *_truncated(),
    *_mutated(random.Random(1)),
    *_shuffled(random.Random(2)),
    *_renamed(random.Random(3)),
    *_line_ends(),
]
HUGE = dict(_huge())


def _survives(data: bytes, path: Path) -> None:
    path.write_bytes(data)
    source, diagnostics = load_source(path)
    circuit = None
    if not diagnostics:
        document, circuit, diagnostics = read(source)
        if document.skipped:
            with pytest.raises(NotFormattable):
                format_document(document, source)
        else:
            formatted = SourceText(source.name, format_document(document, source))
            assert parse(formatted)[0] == document
    assert circuit is not None or any(d.severity is Severity.ERROR for d in diagnostics)
    for diagnostic in diagnostics:
        assert 0 <= diagnostic.span.start <= diagnostic.span.end <= len(source.text)
        assert diagnostic.message
    shown = render_diagnostics(diagnostics, source)
    assert all(char == "\n" or char == "\t" or char >= " " for char in shown)
    assert max(map(len, shown.splitlines()), default=0) < 1_000


def test_there_are_enough_of_them() -> None:
    assert len({data for _, data in SMALL}) >= 500


@pytest.mark.parametrize("start", range(0, len(SMALL), 50))
def test_a_broken_file_gets_diagnostics(start: int, tmp_path: Path) -> None:
    for name, data in SMALL[start : start + 50]:
        try:
            _survives(data, tmp_path / "broken.circuit")
        except Exception as error:
            raise AssertionError(name) from error


@pytest.mark.parametrize("name", HUGE)
def test_a_huge_file_gets_diagnostics(name: str, tmp_path: Path) -> None:
    _survives(HUGE[name], tmp_path / "huge.circuit")


def test_a_random_text_gets_diagnostics(tmp_path: Path) -> None:
    rng = random.Random(4)
    alphabet = string.printable + "".join([*HIDDEN, *STRANGE])
    for _ in range(200):
        text = "".join(rng.choices(alphabet, k=rng.randint(1, 300)))
        _survives(text.encode(), tmp_path / "random.circuit")


def test_deep_nesting_is_no_recursion(tmp_path: Path) -> None:
    _survives(b"nodes {" * 50_000, tmp_path / "deep.circuit")
    _survives(b"metric a" + b"(" * 50_000, tmp_path / "deep.circuit")


def _refusal(path: Path) -> str:
    source, diagnostics = load_source(path)
    assert source.text == ""
    assert [d.code for d in diagnostics] == ["CL101"]
    return diagnostics[0].message


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert "is a directory" in _refusal(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "no such file" in _refusal(tmp_path / "missing.circuit")


def test_a_path_that_no_file_can_have(tmp_path: Path) -> None:
    assert _refusal(tmp_path / ("a" * 5_000))
    assert _refusal(Path("a\0b"))


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="the administrator may read everything"
)
def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret.circuit"
    path.write_bytes(IOI)
    path.chmod(0)
    assert "ermission denied" in _refusal(path)


@pytest.mark.parametrize("data, code", [(IOI + b"#" * MAX_BYTES, "CL103"), (b"\xff", "CL102")])
def test_a_file_that_is_no_text_is_refused(data: bytes, code: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.circuit"
    path.write_bytes(data)
    source, diagnostics = load_source(path)
    assert source.text == ""
    assert [d.code for d in diagnostics] == [code]


def test_every_kind_of_line_end_is_the_same_file(tmp_path: Path) -> None:
    texts = set()
    for end in (b"\n", b"\r\n", b"\r"):
        path = tmp_path / "ends.circuit"
        path.write_bytes(b"\xef\xbb\xbf" + IOI.replace(b"\n", end))
        texts.add(load_source(path)[0].text)
    assert texts == {IOI.decode()}


@pytest.mark.parametrize("char", [*HIDDEN, "\u2066", "\u00ad"])
def test_a_hidden_character_is_an_error_wherever_it_hides(char: str) -> None:
    for old in ("SIH", "# the paper", "went to", "\n\nmetric"):
        text = IOI.decode().replace(old, old[:2] + char[0] + old[2:], 1)
        _, circuit, diagnostics = read(SourceText("hidden.circuit", text))
        assert circuit is None
        assert "CL104" in {d.code for d in diagnostics}
        assert "CL110" not in {d.code for d in diagnostics}
