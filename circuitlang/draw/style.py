"""Colours and sizes of a drawing: six-digit colours only, since Graphviz 2.43 refuses `#abc`."""

from circuitlang.circuit import Slot
from circuitlang.report import Verdict

FONT = "Helvetica"
INK = "#1e293b"
MUTED = "#64748b"
FAINT = "#94a3b8"
RULE = "#cbd5e1"
PANEL = "#f1f5f9"
WHITE = "#ffffff"

SLOT_COLOURS: dict[Slot | None, str] = {
    Slot.Q: "#2563eb",
    Slot.K: "#a21caf",
    Slot.V: "#0e7490",
    None: "#475569",
}
VERDICT_COLOURS = {
    Verdict.PASS: "#15803d",
    Verdict.FAIL: "#dc2626",
    Verdict.INCONCLUSIVE: "#d97706",
    Verdict.ERROR: "#6b7280",
}
ABSENT = "#94a3b8"

THINNEST, THICKEST = 1.2, 5.5
PLAIN_WIDTH = 1.6


def line_width(fraction: float) -> float:
    """Pen width of an effect, as a fraction of the clean-to-corrupt difference."""
    return min(THICKEST, THINNEST + (THICKEST - THINNEST) * abs(fraction))
