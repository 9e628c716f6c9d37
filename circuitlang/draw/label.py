r"""Labels: the one place where text becomes Graphviz markup.

Graphviz reads three small languages inside a label (escapes such as `\N`, HTML-like tags, XML
entities). Everything drawn is an HTML-like label whose text went through :func:`quote`; tags are
written only here and in this package's own tables.
"""

import html
from collections.abc import Iterable

from circuitlang.draw.style import WHITE
from circuitlang.report.plain import plain

LONGEST = 72
GAP = "&#160;&#160;"
SPACER = '<TD HEIGHT="4"></TD>'
"""A thin empty row, which keeps a line clear of its label."""


def quote(text: str, longest: int = LONGEST) -> str:
    r"""Text that Graphviz shows as it is: one line, cut when it is long.

    A backslash is doubled, since Graphviz replaces `\G` by the graph's name even in the text of
    tags; an empty text becomes a no-break space, since an empty tag is a syntax error to Graphviz.
    """
    shown = plain(text)
    if len(shown) > longest:
        shown = shown[: longest - 1].rstrip() + "\u2026"
    return html.escape(shown, quote=False).replace("\\", "&#92;&#92;") or "&#160;"


def font(text: str, colour: str, *, size: int = 11, bold: bool = False) -> str:
    """Quoted text in a colour and size."""
    quoted = f"<B>{quote(text)}</B>" if bold else quote(text)
    return f'<FONT COLOR="{colour}" POINT-SIZE="{size}">{quoted}</FONT>'


def cell(content: str, colour: str | None = None, *, align: str = "LEFT") -> str:
    """A table cell around markup, filled with a colour if one is given."""
    fill = f' BGCOLOR="{colour}"' if colour else ""
    return f'<TD ALIGN="{align}"{fill}>{content}</TD>'


def chip(text: str, colour: str, *, size: int = 10) -> str:
    """A cell of white text on a colour."""
    return cell(font(text, WHITE, size=size, bold=True), colour, align="CENTER")


def table(rows: Iterable[Iterable[str]], *, padding: int = 0, spacing: int = 0) -> str:
    """Markup of a borderless table of cells."""
    body = "".join(f"<TR>{''.join(cells)}</TR>" for cells in rows)
    return (
        f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="{spacing}" CELLPADDING="{padding}">'
        f"{body}</TABLE>"
    )


def label(markup: str) -> str:
    """Markup as the value of a Graphviz label attribute."""
    return f"<{markup}>"
