"""A circuit, and its verdicts where there are any, as a Mermaid flowchart.

Markdown on GitHub and GitLab, and notebooks, draw such text themselves. It says what the DOT
drawing says, but Mermaid places the nodes, so that layers need not stand in columns.
"""

import json
from collections.abc import Mapping

from circuitlang.circuit import MLP, Circuit, Component, Head, show_positions
from circuitlang.draw import style
from circuitlang.draw.judged import asked, outcome, width_of
from circuitlang.draw.label import LONGEST
from circuitlang.draw.scene import End, Group, Line, build_scene, verdicts_of
from circuitlang.report import ClaimReport, Report
from circuitlang.report.plain import plain

_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 ,.+-%=()/")


def render_mermaid(circuit: Circuit, report: Report | None = None) -> str:
    """Mermaid source of a circuit; the same text for the same values.

    A direct edge is a thin arrow, one through MLPs a thick one, a claimed absence a dotted one.
    With a report, a line's colour is the verdict and its width the size of the effect. Claims that
    are no edges stand in a box of their own.

    Raises:
        ValueError: the report was made from another circuit.
    """
    verdicts = verdicts_of(circuit, report)
    scene = build_scene(circuit, verdicts)
    title = plain(circuit.title) or circuit.name
    lines = ["---", f"title: {json.dumps(title)}", "---", "flowchart LR"]
    for group in scene.groups:
        lines += _group(group)
    lines += [f"  {node.id}[{_quoted(_name(node.component))}]" for node in scene.loose]
    lines.append(f"  {scene.logits}([{_quoted('logits')}])")
    inside = {node.id: group.id for group in scene.groups for node in group.nodes}
    lines += [_line(line, inside) for line in scene.lines]
    lines += _others(circuit, verdicts)
    for number, line in enumerate(scene.lines):
        claim, judged = line.claim, line.judged
        colour = style.SLOT_COLOURS[claim.receivers[0].slot]
        if judged is not None:
            colour = style.VERDICT_COLOURS[judged.verdict]
        elif claim.absent:
            colour = style.ABSENT
        width = f"{width_of(judged, report):.2f}px"
        lines.append(f"  linkStyle {number} stroke:{colour},stroke-width:{width}")
    return "\n".join(lines) + "\n"


def quote(text: str, longest: int = LONGEST) -> str:
    """Text that Mermaid shows as it is: every character that it might read has its code, `#34;`."""
    shown = plain(text)
    if len(shown) > longest:
        shown = shown[: longest - 1].rstrip() + "\u2026"
    return "".join(c if c in _PLAIN else f"#{ord(c)};" for c in shown) or "#160;"


def _quoted(*parts: str) -> str:
    """A label of one or more lines."""
    return '"' + "<br/>".join(map(quote, parts)) + '"'


def _name(component: Component) -> str:
    """`9.6`, as the literature writes heads, or `MLP 5`."""
    if isinstance(component, Head):
        return f"{component.layer}.{component.head}"
    return f"MLP {component.layer}" if isinstance(component, MLP) else str(component)


def _group(group: Group) -> list[str]:
    role = group.role
    where = f"at {show_positions(role.positions)}" if role.positions else "at every position"
    label = plain(role.label)
    shown = (label, f"{role.name} {where}") if label else (role.name, where)
    inside = [f"    {node.id}[{_quoted(_name(node.component))}]" for node in group.nodes]
    return [f"  subgraph {group.id}[{_quoted(*shown)}]", *inside, "  end"]


def _line(line: Line, inside: Mapping[str, str]) -> str:
    """One edge; ``inside`` tells in which box a node stands."""
    claim, judged = line.claim, line.judged
    arrow = "-.->" if claim.absent else "==>" if claim.through_mlps else "-->"
    slot = claim.receivers[0].slot
    words = [*(["absent"] if claim.absent else []), *([str(slot)] if slot else [])]
    if line.last:
        label = _quoted(" ".join([*words, asked(claim)]), *([outcome(judged)] if judged else []))
    else:  # bound and verdict are those of the whole path, and stand at its end
        label = _quoted(*words or ["path"])
    sender = _end(line.sender, line.receiver, inside)
    receiver = _end(line.receiver, line.sender, inside)
    return f"  {sender} {arrow}|{label}| {receiver}"


def _end(end: End, other: End, inside: Mapping[str, str]) -> str:
    """The box of an end; its node where the other end is in that box, which Mermaid refuses."""
    if end.group is None or inside.get(other.node) == end.group:
        return end.node
    return end.group


def _others(circuit: Circuit, verdicts: tuple[ClaimReport | None, ...]) -> list[str]:
    """The claims that are no edges."""
    claims = list(zip(circuit.all_claims, verdicts, strict=True))[len(circuit.edges) :]
    if not claims:
        return []
    lines = [f"  subgraph claims[{_quoted('claims')}]"]
    for number, (claim, judged) in enumerate(claims):
        lines.append(
            f"    c{number}[{_quoted(claim.text, *([outcome(judged)] if judged else []))}]"
        )
        if judged is not None:
            colour = style.VERDICT_COLOURS[judged.verdict]
            lines.append(f"    style c{number} stroke:{colour},stroke-width:2px")
    return [*lines, "  end"]
