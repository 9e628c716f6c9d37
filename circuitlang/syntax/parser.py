"""Parsing with every syntax error of the file at once.

The language is line-oriented, so a statement is the unit of recovery: the parser's state is kept
at the first token of each statement, and a statement that does not parse is reported once and
skipped. Inside a block that is the rest of its line; outside, everything up to the next section.
"""

import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice

from lark import Token, Tree, UnexpectedToken
from lark.parsers.lalr_interactive_parser import InteractiveParser

from circuitlang.source import Diagnostic, SourceText, Span, clip, hidden_characters
from circuitlang.syntax.builder import TreeBuilder
from circuitlang.syntax.grammar import SECTIONS, grammar
from circuitlang.syntax.syntax_errors import Stop, explain, hidden_message
from circuitlang.syntax.tree import Comment, Document, Skipped

MAX_ERRORS = 20
MAX_TOKENS = 120_000

_UNREAD = Skipped("", "")
_AFTER_SECTION = {section.upper(): ("LBRACE",) for section in SECTIONS} | {
    "CIRCUIT": ("NAME",),
    "METRIC": ("NAME",),
    "MODEL": ("STRING", "BUILTIN", "GGUF"),
}
_ONE_LINE = ("CIRCUIT", "MODEL", "METRIC")


def parse(source: SourceText) -> tuple[Document, tuple[Diagnostic, ...]]:
    """The document and every syntax error, hidden characters included.

    Statements with an error are left out of the document, which lists them as ``skipped``.
    """
    with _collecting_later():
        return _parsed(source)


@contextmanager
def _collecting_later() -> Iterator[None]:
    """Without the garbage collector, which looks at all of a growing tree over and over.

    Half of the time for a file of 10,000 edges; nothing here makes cycles that would pile up.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _parsed(source: SourceText) -> tuple[Document, tuple[Diagnostic, ...]]:
    text = source.text
    lexed = _lex(text)
    if len(lexed) > MAX_TOKENS:
        message = f"more than {MAX_TOKENS:,} tokens, the most a circuit file may have"
        return Document((), (), (_UNREAD,)), (Diagnostic("CL103", Span(0, 0), message),)
    hidden = hidden_characters(text)
    document, diagnostics = _Parse(source, lexed, frozenset(hidden)).run()
    found = [_hidden(text, offset) for offset in hidden[:MAX_ERRORS]]
    skipped = (*(Skipped("hidden character", text[i]) for i in hidden[:1]), *document.skipped)
    document = replace(document, comments=_comments(text), skipped=skipped)
    return document, (*found, *diagnostics)


def _hidden(text: str, offset: int) -> Diagnostic:
    return Diagnostic("CL104", Span(offset, offset + 1), hidden_message(text[offset]), "delete it")


def _lex(text: str) -> list[Token]:
    return [*islice(grammar().lex(text), MAX_TOKENS + 1)]


def _comments(text: str) -> tuple[Comment, ...]:
    """What stands between a `#` and the end of its line, where no string hides the `#`."""
    found = []
    for match in re.finditer(r'"[^"\n]*"|(#[^\n]*)', text):
        if match[1]:
            comment = match[1].rstrip()
            found.append(Comment(Span(match.start(), match.start() + len(comment)), comment))
    return tuple(found)


class _Parse:
    """One run over a token list: where the current statement began and which block is open."""

    def __init__(self, source: SourceText, tokens: list[Token], hidden: frozenset[int]) -> None:
        self.source = source
        self.tokens = tokens
        self.hidden = hidden
        self.parser: InteractiveParser = grammar().parse_interactive()
        self.diagnostics: list[Diagnostic] = []
        self.skipped: list[Skipped] = []
        self.block: Token | None = None  # the keyword of the open block
        self.first: Token | None = None  # the first token of the current statement
        self.anchor: tuple[list[object], list[object]] | None = None
        self.going_on = 0  # the line that a broken statement seems to go on in
        self.stray = 0  # braces that opened no block

    def run(self) -> tuple[Document, tuple[Diagnostic, ...]]:
        index = 0
        while index < len(self.tokens):
            try:
                self._feed(self.tokens[index])
                index += 1
            except UnexpectedToken:
                index = self._recover(index)
            if len(self.skipped) >= MAX_ERRORS and index < len(self.tokens):
                message = f"{MAX_ERRORS} syntax errors; the rest of the file was not read"
                self._report("CL113", self.tokens[index], message)
                return Document((), (), (_UNREAD,)), tuple(self.diagnostics)
        document = self._finish()
        return replace(document, skipped=tuple(self.skipped)), tuple(self.diagnostics)

    def _feed(self, token: Token) -> None:
        begins = self.first is None and token.type not in ("_NL", "RBRACE")
        self.parser.feed_token(token)
        if begins:
            # The state just before this statement: everything earlier is reduced by now.
            state = self.parser.parser_state
            self.anchor = (list(state.state_stack[:-1]), list(state.value_stack[:-1]))
            self.first = token
        if token.type == "LBRACE":
            self.block = self.first
        elif token.type == "RBRACE":
            self.block = None
        if token.type in ("_NL", "LBRACE", "RBRACE"):
            self.first = None

    def _rewind(self) -> None:
        if self.first is not None and self.anchor is not None:
            state = self.parser.parser_state
            state.state_stack[:], state.value_stack[:] = self.anchor
        self.first = None

    def _recover(self, index: int) -> int:
        """Report the error at a token and return the index to go on from."""
        token = self.tokens[index]
        if self.first is None and self._follows_a_mistake(token):
            self.skipped.append(Skipped(str(self.block or ""), str(token)))
            return self._end_of_line(index + (token.type == "RBRACE"))
        if self.block is not None and self.first is None and self._begins_section(index):
            if (behind := self._nested(index)) is not None:
                message = f"`{token}` stands inside of the block `{self.block}`"
                hint = f"write it after the `}}` that closes `{self.block}`"
                self._report("CL110", token, message, hint)
                self.skipped.append(Skipped(str(token), str(token)))
                return behind
            message = f"`{token}` begins here, but the block `{self.block}` is not closed"
            self._report("CL112", token, message, "close the block with `}` on a line of its own")
            self._close_block(token)
            return index
        if self._is_dotted(index):
            section = self.tokens[index + 1]
            message = "a section is named alone, not as a part of the circuit"
            self._report("CL110", token, message, f"write `{section} {{`")
            self.skipped.append(Skipped(str(self.first), str(token)))
            self._rewind()
            return index + 1
        rest = self._rest_of_line(index)
        self._explain(token, rest)
        is_one_line = self.first is not None and self.first.type in _ONE_LINE
        self.going_on = self._goes_on(index)
        closes = str(self.first or token) in (")", "]", "end")
        self._rewind()
        behind = self._end_of_line(index)
        if self.block is not None and closes and self._begins_section(behind):
            self._close_block(self.tokens[behind])
            return behind
        if is_one_line and any(t.type == "LBRACE" for t in rest):
            behind = self._next_section(index)
            self.stray += self._depth(index, behind)
            return behind
        if self.block is not None or is_one_line:
            return self._end_of_line(index)
        return self._next_section(index)

    def _is_dotted(self, index: int) -> bool:
        """Whether `circuit.nodes {` was written for `nodes {`."""
        is_circuit = self.first is not None and self.first.type == "CIRCUIT"
        return is_circuit and str(self.tokens[index]) == "." and self._begins_section(index + 1)

    def _goes_on(self, index: int) -> int:
        """The line that a broken statement seems to go on in; 0 where it ends with its own."""
        token, before = self.tokens[index], str(self.tokens[index - 1]) if index else ""
        broken = token.type == "_NL" and before == ","
        if not broken and not (token.type == "BAD" and str(token) in ("\\", '"')):
            return 0
        return self.source.line_column(token.start_pos or 0)[0] + 1

    def _follows_a_mistake(self, token: Token) -> bool:
        """Whether a token that can begin nothing is the rest of a mistake before it.

        That is the next line of a broken statement, or the `}` of a block that should be none.
        """
        if token.type == "RBRACE" and self.block is None and self.stray:
            self.stray -= 1
            return True
        at = self.source.line_column(token.start_pos or 0)[0]
        return self.block is not None and self.going_on == at

    def _nested(self, index: int) -> int | None:
        """Behind the section that begins here, if the open block goes on after it; else None."""
        end = index
        depth = 0
        while end < len(self.tokens):
            token = self.tokens[end]
            depth += (token.type == "LBRACE") - (token.type == "RBRACE")
            if depth < 0 or (depth == 0 and token.type == "_NL"):
                break
            end += 1
        following = next((i for i in (end, end + 1) if self._type(i) not in ("_NL", "")), None)
        goes_on = following is not None and self._type(following) not in _AFTER_SECTION
        return end + (self._type(end) == "_NL") if goes_on else None

    def _depth(self, start: int, end: int) -> int:
        """How many braces a range of tokens opens and does not close."""
        types = [token.type for token in self.tokens[start:end]]
        return types.count("LBRACE") - types.count("RBRACE")

    def _type(self, index: int) -> str:
        return self.tokens[index].type if index < len(self.tokens) else ""

    def _begins_section(self, index: int) -> bool:
        return self._type(index + 1) in _AFTER_SECTION.get(self._type(index), ())

    def _close_block(self, before: Token) -> None:
        """Feed the `}` that is missing before a token."""
        self.skipped.append(Skipped(str(self.block), "}"))
        self.parser.feed_token(_empty("RBRACE", before))
        if before.type != "$END":
            self.parser.feed_token(_empty("_NL", before))
        self.block = self.first = None

    def _rest_of_line(self, index: int) -> list[Token]:
        end = index
        while end < len(self.tokens) and self.tokens[end].type != "_NL":
            end += 1
        return self.tokens[index:end]

    def _end_of_line(self, index: int) -> int:
        """Past the line's end, or at a `}` that closes the block and is in no broken string."""
        rest = self._rest_of_line(index)
        broken = any(_is_quote(token) for token in rest)
        depth = 0
        for i, token in enumerate(rest, index):
            if token.type == "LBRACE":
                depth += 1
            elif token.type == "RBRACE" and not broken:
                if depth == 0:
                    return i
                depth -= 1
        return min(index + len(rest) + 1, len(self.tokens))

    def _next_section(self, index: int) -> int:
        """The next line that begins a section; its line end too where the parser waits for one."""
        # After a `}` a section needs a line end before it; elsewhere the state is past one.
        back = 1 if "_NL" in self._accepted() else 0
        for i in range(index + 1, len(self.tokens)):
            if self.tokens[i - 1].type == "_NL" and self.tokens[i].type in _AFTER_SECTION:
                return i - back
        return len(self.tokens)

    def _finish(self) -> Document:
        length = len(self.source.text)
        end = Token("$END", "", start_pos=length, end_pos=length)
        for _ in range(3):
            try:
                return TreeBuilder(visit_tokens=False).transform(self._end(end))
            except UnexpectedToken:
                whole = self.first is None or "RBRACE" in self._accepted()
                if self.block is not None and whole:
                    message = f"the block `{self.block}` is not closed"
                    self._report("CL112", self.block, message, "close it with `}`")
                    self._close_block(end)
                else:
                    self._explain(end, [])
                    self._rewind()
        return Document((), ())

    def _end(self, end: Token) -> "Tree[Token]":
        tree: Tree[Token] = self.parser.feed_eof(end)  # type: ignore[no-untyped-call]
        return tree

    def _explain(self, token: Token, rest: list[Token]) -> None:
        """Report what was expected; a hidden character has its own diagnostic already."""
        first = self.first or token
        section = self.block or self.first
        # A statement without a whole name at its start could have defined any.
        name = section if section and first.type in ("BAD", "STRING", "NUMBER") else first
        self.skipped.append(Skipped(str(section or ""), str(name)))
        if any(t.start_pos in self.hidden for t in [token, *rest]):
            return
        odd = any(_is_quote(t) for t in rest)
        before, after = self._line_around(first, token)
        accepted, block = frozenset(self._accepted()), str(self.block or "")
        stop = Stop(token, first, accepted, block, before, after, odd)
        code, place, message, hint = explain(stop)
        self._report(code, place, message, hint)

    def _line_around(self, first: Token, token: Token) -> tuple[str, str]:
        """The statement's line before a token, and from it on."""
        text, at = self.source.text, token.start_pos or 0
        end = text.find("\n", at)
        start = min(first.start_pos or 0, at)
        return text[start:at], text[at : end if end >= 0 else len(text)]

    def _accepted(self) -> set[str]:
        accepted: set[str] = self.parser.accepts()  # type: ignore[no-untyped-call]
        return accepted

    def _report(self, code: str, token: Token, message: str, hint: str = "") -> None:
        start, end = token.start_pos or 0, token.end_pos or 0
        if token.type == "_NL":
            end = start
        self.diagnostics.append(Diagnostic(code, Span(start, end), clip(message), clip(hint)))


def _is_quote(token: Token) -> bool:
    return token.type == "BAD" and str(token) == '"'


def _empty(kind: str, before: Token) -> Token:
    return Token(kind, "", start_pos=before.start_pos, end_pos=before.start_pos)
