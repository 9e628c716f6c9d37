"""Parsing with every syntax error of the file at once.

The language is line-oriented, so a statement is the unit of recovery: the parser's state is kept
at the first token of each statement, and a statement that does not parse is reported once and
skipped up to its line's end.
"""

import re
from dataclasses import replace

from lark import Token, UnexpectedToken
from lark.parsers.lalr_interactive_parser import InteractiveParser

from circuitlang.source import Diagnostic, SourceText, Span, did_you_mean
from circuitlang.syntax.builder import TreeBuilder
from circuitlang.syntax.grammar import (
    SECTIONS,
    grammar,
    keyword_of,
    keywords,
    terminal_in_words,
)
from circuitlang.syntax.tree import Comment, Document

MAX_ERRORS = 20
MAX_TOKENS = 400_000

_FUTURE = {
    "completeness", "minimality", "patch", "attention", "copying", "direct_effect", "induction",
    "previous_token", "duplicate_token", "steer", "equivalent", "independent", "minimal",
    "sufficient", "sweep",
}  # fmt: skip
_AFTER_SECTION = {section.upper(): ("LBRACE",) for section in SECTIONS} | {
    "CIRCUIT": ("NAME",),
    "METRIC": ("NAME",),
    "MODEL": ("STRING", "BUILTIN", "GGUF"),
}


def parse(source: SourceText) -> tuple[Document, tuple[Diagnostic, ...]]:
    """The document and every syntax error; statements with an error are left out of the document."""
    lexed = _lex(source.text)
    if len(lexed) > MAX_TOKENS:
        message = f"more than {MAX_TOKENS:,} tokens, the most a circuit file may have"
        return Document((), ()), (Diagnostic("CL103", Span(0, 0), message),)
    tokens = [token for token in lexed if token.type != "COMMENT"]
    document, diagnostics = _Parse(source, tokens).run()
    return replace(document, comments=_comments(lexed)), diagnostics


def _lex(text: str) -> list[Token]:
    tokens = []
    for token in grammar().lex(text, dont_ignore=True):
        if token.type.startswith("__IGNORE") or token.type == "WS":
            continue
        tokens.append(token)
        if len(tokens) > MAX_TOKENS:
            break
    return tokens


def _comments(tokens: list[Token]) -> tuple[Comment, ...]:
    """Comments stand in COMMENT tokens and inside line ends, where no string can hide a `#`."""
    found = []
    for token in tokens:
        if token.type in ("COMMENT", "_NL"):
            for match in re.finditer(r"#[^\n]*", str(token)):
                start = (token.start_pos or 0) + match.start()
                text = match.group().rstrip()
                found.append(Comment(Span(start, start + len(text)), text))
    return tuple(found)


class _Parse:
    """One run over a token list: where the current statement began and which block is open."""

    def __init__(self, source: SourceText, tokens: list[Token]) -> None:
        self.source = source
        self.tokens = tokens
        self.parser: InteractiveParser = grammar().parse_interactive()
        self.diagnostics: list[Diagnostic] = []
        self.block: Token | None = None  # the keyword of the open block
        self.section: Token | None = None  # the keyword of the section that is being read
        self.fresh = True  # the next token begins a statement
        self.anchor: tuple[list[object], list[object]] | None = None

    def run(self) -> tuple[Document, tuple[Diagnostic, ...]]:
        index = 0
        while index < len(self.tokens):
            try:
                self._feed(self.tokens[index])
                index += 1
            except UnexpectedToken:
                index = self._recover(index)
            if len(self.diagnostics) >= MAX_ERRORS:
                message = f"{MAX_ERRORS} syntax errors; the rest of the file was not read"
                self._report("CL113", self.tokens[min(index, len(self.tokens) - 1)], message)
                return Document((), ()), tuple(self.diagnostics)
        return self._finish(), tuple(self.diagnostics)

    def _feed(self, token: Token) -> None:
        begins = self.fresh and token.type != "_NL"
        self.parser.feed_token(token)
        if begins:
            # The state just before this statement: everything earlier is reduced by now.
            state = self.parser.parser_state
            self.anchor = (list(state.state_stack[:-1]), list(state.value_stack[:-1]))
            self.fresh = False
            if self.block is None:
                self.section = token
        if token.type == "LBRACE":
            self.block = self.section
        elif token.type == "RBRACE":
            self.block = None
        if token.type in ("_NL", "LBRACE"):
            self.fresh = True

    def _rewind(self) -> None:
        if not self.fresh and self.anchor is not None:
            state = self.parser.parser_state
            state.state_stack[:] = self.anchor[0]  # type: ignore[assignment]
            state.value_stack[:] = self.anchor[1]
        self.fresh = True

    def _recover(self, index: int) -> int:
        """Report the error at a token and return the index to go on from."""
        token = self.tokens[index]
        if self.block is not None and self.fresh and self._begins_section(index):
            message = f"`{token}` begins here, but the block `{self.block}` is not closed"
            self._report("CL112", token, message, "close the block with `}` on a line of its own")
            self._close_block(token)
            return index
        self._explain(token)
        in_block = self.block is not None
        self._rewind()
        return self._skip(index, in_block)

    def _begins_section(self, index: int) -> bool:
        following = self.tokens[index + 1].type if index + 1 < len(self.tokens) else "$END"
        return following in _AFTER_SECTION.get(self.tokens[index].type, ())

    def _close_block(self, before: Token) -> None:
        """Feed the `}` that is missing before a token."""
        self.parser.feed_token(_empty("RBRACE", before))
        if before.type != "$END":
            self.parser.feed_token(_empty("_NL", before))
        self.block, self.fresh = None, True

    def _skip(self, index: int, in_block: bool) -> int:
        depth = 0
        for i in range(index, len(self.tokens)):
            kind = self.tokens[i].type
            if kind == "LBRACE":
                depth += 1
            elif kind == "RBRACE":
                if depth == 0 and in_block:
                    return i
                depth = max(0, depth - 1)
            elif kind == "_NL" and (depth == 0 or in_block):
                return i + 1
        return len(self.tokens)

    def _finish(self) -> Document:
        length = len(self.source.text)
        end = Token("$END", "", start_pos=length, end_pos=length)
        for _ in range(3):
            try:
                return TreeBuilder().transform(self.parser.feed_eof(end))
            except UnexpectedToken:
                if self.block is not None and self.fresh:
                    message = f"the block `{self.block}` is not closed"
                    self._report("CL112", self.block, message, "close it with `}`")
                    self._close_block(end)
                else:
                    self._explain(end)
                    self._rewind()
        return Document((), ())

    def _explain(self, token: Token) -> None:
        text = str(token)
        if token.type == "BAD" and text == '"':
            hint = "a string ends on the line where it begins"
            self._report("CL111", token, "this string is not closed", hint)
            return
        allowed = sorted(name for name in self.parser.accepts() if name != "BAD")
        words = [terminal_in_words(name) for name in allowed]
        found = {"_NL": "the end of the line", "$END": "the end of the file"}.get(token.type)
        if token.type == "BAD" and ord(text) > 127:
            found = f"the character `{text}` (U+{ord(text):04X})"
        expected = ", ".join(words[:-1]) + (" or " if len(words) > 1 else "") + "".join(words[-1:])
        message = f"expected {expected or 'nothing more'}, found {found or f'`{text}`'}"
        self._report("CL110", token, message, self._hint(token, allowed))

    def _hint(self, token: Token, allowed: list[str]) -> str:
        text = str(token)
        known = [word for name in allowed if (word := keyword_of(name))]
        if text in _FUTURE and self.block == "claims":
            return f"this version does not test `{text}` yet; it tests {' and '.join(known)}"
        if token.type == "NAME" and known:
            return did_you_mean(text, known)
        if text in keywords() and "NAME" in allowed:
            return f"`{text}` is a word of the language and cannot be a name"
        if token.type in ("DIRECT", "THROUGH_MLPS"):
            return "one edge a line: chains such as `A -> B.V -> C.Q` are not in this version"
        if text == "[":
            return "single neurons are not in this version"
        if "COMPONENT" in allowed and (head := re.match(r"[Ll]?(\d+)[._]?[Hh]?(\d+)$", text)):
            return f"a head is written `L{head[1]}.H{head[2]}`"
        if token.type == "NUMBER" and "STRING" in allowed:
            return "put it in quotes"
        return ""

    def _report(self, code: str, token: Token, message: str, hint: str = "") -> None:
        start, end = token.start_pos or 0, token.end_pos or 0
        if token.type == "_NL":
            end = start
        self.diagnostics.append(Diagnostic(code, Span(start, end), message, hint))


def _empty(kind: str, before: Token) -> Token:
    return Token(kind, "", start_pos=before.start_pos, end_pos=before.start_pos)
