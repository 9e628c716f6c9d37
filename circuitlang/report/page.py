"""A page of fixed width that paragraphs, fields and tables are written on."""

import io
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from circuitlang.report.plain import ascii_only as to_ascii
from circuitlang.report.plain import plain

INDENT = 2
_ANY_HEIGHT = 50


class Page:
    """Collects text; everything written on it is made plain first and never read as markup."""

    def __init__(self, width: int, *, color: bool, ascii_only: bool) -> None:
        """Start an empty page."""
        self.width = width
        self.ascii_only = ascii_only
        self._color = color
        self._file = io.StringIO()
        # The sixteen standard colours are those that readers have chosen for their terminal.
        self._console = Console(
            file=self._file,
            width=width,
            height=_ANY_HEIGHT,  # without it rich takes the width from TERM=dumb
            color_system="standard" if color else None,
            no_color=not color,
            force_terminal=color,
            force_jupyter=False,
            legacy_windows=False,
            markup=False,
            emoji=False,
            highlight=False,
        )

    def text(self) -> str:
        """What has been written so far."""
        lines = self._file.getvalue().splitlines()
        if not self._color:  # rich fills table cells with blanks
            lines = [line.rstrip() for line in lines]
        return "\n".join(lines) + "\n"

    def clean(self, text: str) -> str:
        """Text as it may be printed here."""
        shown = plain(text)
        return to_ascii(shown) if self.ascii_only else shown

    def styled(self, *parts: str | tuple[str, str]) -> Text:
        """Parts in a row, each plain text or text with a style; the blanks around it are kept."""
        text = Text(overflow="fold")
        for part in parts:
            words, style = (part, "") if isinstance(part, str) else part
            before = words[: len(words) - len(words.lstrip(" "))]
            after = words[len(words.rstrip(" ")) :] if words.strip(" ") else ""
            text.append(before + self.clean(words) + after, style=style or None)
        return text

    def blank(self) -> None:
        """An empty line."""
        self._console.print()

    def heading(self, title: str) -> None:
        """The start of a section."""
        self.blank()
        self.line((title, "bold"))

    def line(self, *parts: str | tuple[str, str], indent: int = 0) -> None:
        """A paragraph, wrapped."""
        self._console.print(Padding(self.styled(*parts), (0, 0, 0, indent)))

    def fields(self, rows: Iterable[tuple[str, str]], *, indent: int = INDENT) -> None:
        """Names in one column, wrapped values in the next; rows without a value are left out."""
        kept = [(name, value) for name, value in rows if value]
        if kept:
            widest = max(len(name) for name, _ in kept)
            cells = [(self.styled((name, "dim")), self.styled(value)) for name, value in kept]
            self.table(cells, (widest, None), indent=indent)

    def table(
        self,
        rows: Iterable[Sequence[Text]],
        widths: Sequence[int | None],
        *,
        indent: int = INDENT,
        right: Sequence[int] = (),
    ) -> None:
        """Rows of cells; a width of None takes what is left, ``right`` columns align right."""
        gaps = 2 * (len(widths) - 1)
        rest = self.width - indent - gaps - sum(width or 0 for width in widths)
        grid = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
        for number, width in enumerate(widths):
            grid.add_column(
                width=max(width if width is not None else rest, 1),
                justify="right" if number in right else "left",
                overflow="fold",
            )
        for row in rows:
            grid.add_row(*row)
        self._console.print(Padding(grid, (0, 0, 0, indent)))
