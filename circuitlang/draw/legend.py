"""The legend: what the colours, arrowheads and dashes of this drawing mean, and no others."""

from collections.abc import Sequence

from circuitlang.circuit import Slot
from circuitlang.draw import style
from circuitlang.draw.label import GAP, cell, font, table
from circuitlang.draw.scene import Line
from circuitlang.report import Report, Verdict

_SLOTS = {Slot.Q: "Q queries", Slot.K: "K keys", Slot.V: "V values", None: "logits or an MLP"}
_SQUARE = "\u25a0"


def legend(lines: Sequence[Line], report: Report | None) -> str:
    """Markup of one row of entries a kind of sign."""
    rows = [_inputs(lines, report), _verdicts(lines, report), _arrows(lines)]
    shown = [[cell((GAP * 2).join(row))] for row in rows if row]
    return table(shown or [[cell(_words(""))]], padding=1)


def _words(text: str) -> str:
    return font(text, style.MUTED, size=10)


def _swatch(colour: str, text: str) -> str:
    return f"{font(_SQUARE, colour)} {_words(text)}"


def _inputs(lines: Sequence[Line], report: Report | None) -> list[str]:
    used = {line.claim.receivers[0].slot for line in lines}
    if report is not None:
        used.discard(None)  # with verdicts only tags have the colour of a slot
    entries = [
        _swatch(style.SLOT_COLOURS[slot], text) for slot, text in _SLOTS.items() if slot in used
    ]
    return [_words("edge enters"), *entries] if entries else []


def _verdicts(lines: Sequence[Line], report: Report | None) -> list[str]:
    if report is None:
        return []
    used = {claim.verdict for claim in report.claims}
    entries = [_swatch(style.VERDICT_COLOURS[v], str(v)) for v in Verdict if v in used]
    if lines:
        entries.append(_words("width of a line: size of the effect"))
    return [_words("verdict"), *entries]


def _arrows(lines: Sequence[Line]) -> list[str]:
    entries = []
    if any(line.claim.through_mlps for line in lines):
        entries.append(_words("hollow arrow ~> MLPs between recompute"))
    if any(not line.claim.through_mlps for line in lines):
        entries.append(_words("filled arrow -> direct edge"))
    if any(line.claim.absent for line in lines):
        entries.append(_words("dashed \u00d7 claimed to be absent"))
    return entries
