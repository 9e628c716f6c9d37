"""Plain-text tables with aligned columns."""

import math
from collections.abc import Sequence


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """First column to the left, the others to the right, two spaces between."""
    lines = [list(heads), *(list(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def number(value: float | None, digits: int = 3) -> str:
    """A few significant digits without an exponent; `-` for nothing."""
    if value is None:
        return "-"
    if value == 0 or not math.isfinite(value):
        return f"{value:.0f}"
    if abs(value) < 1e-3:
        return f"{value:.1e}"
    whole = len(str(int(abs(value))))
    return f"{value:,.{max(0, digits - whole)}f}" if abs(value) >= 1 else f"{value:.{digits}g}"


def share(value: float | None) -> str:
    """A percentage."""
    return "-" if value is None else f"{100 * value:.0f}%"
