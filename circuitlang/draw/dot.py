"""A circuit, and its verdicts where there are any, as DOT text.

Layers run from left to right, one column a layer. A role is a box around its components, a group
edge one line between boxes. A tag's colour is the slot that the edge enters. With a report, a
line's colour is the verdict and its width the size of the effect.
"""

from itertools import pairwise
from typing import TYPE_CHECKING

from circuitlang.circuit import MLP, Circuit, Component, Embed, Head, Neuron, show_positions
from circuitlang.draw import style
from circuitlang.draw.judged import asked, outcome, width_of
from circuitlang.draw.label import GAP, SPACER, cell, chip, font, label, table
from circuitlang.draw.legend import legend
from circuitlang.draw.scene import Column, Group, Line, Scene, build_scene, column_of, verdicts_of
from circuitlang.report import ClaimReport, Report, Verdict

if TYPE_CHECKING:
    from graphviz import Digraph


def render_dot(circuit: Circuit, report: Report | None = None) -> str:
    """DOT source of a circuit; the same text for the same values.

    Raises:
        ValueError: the report was made from another circuit.
    """
    import graphviz

    verdicts = verdicts_of(circuit, report)
    scene = build_scene(circuit, verdicts)
    graph = graphviz.Digraph("circuit")
    _defaults(graph, label(legend(scene.lines, report)))
    with graph.subgraph(name="cluster_title") as page:
        title = label(_title(circuit, verdicts, report))
        page.attr(label=title, labelloc="t", labeljust="l", peripheries="0", margin="10")
        _axis(page, scene)
        for group in scene.groups:
            _group(page, group)
        for node in scene.loose:
            page.node(node.id, label(_name(node.component)))
        logits = label(font("logits", style.WHITE, bold=True))
        page.node(scene.logits, logits, fillcolor=style.INK, color=style.INK)
        _columns(page, scene)
        for line in scene.lines:
            _line(page, line, report)
    return str(graph.source)


def _defaults(graph: "Digraph", legend_label: str) -> None:
    graph.attr(
        rankdir="LR",
        compound="true",
        newrank="true",
        splines="true",
        nodesep="0.18",
        ranksep="0.3",
        pad="0.2",
        bgcolor=style.WHITE,
        fontname=style.FONT,
        label=legend_label,
        labelloc="b",
        labeljust="l",
    )
    graph.attr(
        "node",
        fontname=style.FONT,
        shape="box",
        style="rounded,filled",
        fillcolor=style.WHITE,
        color=style.FAINT,
        height="0.3",
        width="0.5",
        margin="0.07,0.03",
    )
    graph.attr("edge", fontname=style.FONT)


def _axis(page: "Digraph", scene: Scene) -> None:
    """Names of the layers, in one row; the chain between them keeps the columns in order."""
    names = [*map(_axis_name, scene.columns), "_out"]
    for column, name in zip(scene.columns, names, strict=False):
        text = f"L{column[0]} MLP" if column[1] else f"L{column[0]}"
        text = text if column[0] >= 0 else "in"
        shown = label(font(text, style.FAINT))
        page.node(name, shown, shape="plaintext", style="solid", group="axis")
    page.node("_out", "", shape="plaintext", style="solid", group="axis", width="0.1")
    for earlier, later in pairwise(names):
        page.edge(earlier, later, style="invis", weight="10")


def _axis_name(column: Column) -> str:
    if column[0] < 0:
        return "_in"
    return f"layer{column[0]}{'m' if column[1] else ''}"


def _columns(page: "Digraph", scene: Scene) -> None:
    for column in scene.columns:
        here = [node.id for node in scene.nodes if column_of(node.component) == column]
        _same_column(page, [_axis_name(column), *here])
    _same_column(page, ["_out", scene.logits])


def _same_column(page: "Digraph", names: list[str]) -> None:
    with page.subgraph() as column:
        column.attr(rank="same")
        for name in names:
            column.node(name)


def _group(page: "Digraph", group: Group) -> None:
    role = group.role
    where = f"at {show_positions(role.positions)}" if role.positions else "at every position"
    if role.label.strip():
        lines = (font(role.label, style.INK, size=13, bold=True), f"{role.name} {where}")
    else:
        lines = (font(role.name, style.INK, size=13, bold=True), where)
    rows = [[cell(lines[0])], [cell(font(lines[1], style.MUTED))]]
    with page.subgraph(name=group.id) as box:
        box.attr(
            label=label(table(rows)),
            labelloc="t",
            style="rounded,filled",
            fillcolor=style.PANEL,
            color=style.RULE,
            margin="14",
        )
        for node in group.nodes:
            box.node(node.id, label(_name(node.component)))


def _name(component: Component) -> str:
    """`9.6`, as the literature writes heads, `MLP 5`, `MLP 5[12]` or `embed`."""
    match component:
        case Head(layer=layer, head=head):
            return font(f"{layer}.{head}", style.INK)
        case MLP(layer=layer):
            return font(f"MLP {layer}", style.INK)
        case Neuron(layer=layer, index=index):
            return font(f"MLP {layer}[{index}]", style.INK)
        case Embed():
            return font("embed", style.INK)


def _line(page: "Digraph", line: Line, report: Report | None) -> None:
    claim, judged = line.claim, line.judged
    slot = claim.receivers[0].slot
    colour = style.VERDICT_COLOURS[judged.verdict] if judged else style.SLOT_COLOURS[slot]
    head = "onormal" if claim.through_mlps else "normal"
    width = width_of(judged, report)
    attributes = {
        "label": label(_line_label(line)),
        "color": style.ABSENT if claim.absent else colour,
        "penwidth": f"{width:.2f}",
        "arrowsize": f"{0.6 + 0.15 * width:.2f}",  # so that a hollow arrow stays hollow
        "style": "dashed" if claim.absent else "solid",
        "arrowhead": f"tee{head}" if claim.absent else head,
    }
    if line.sender.group:
        attributes["ltail"] = line.sender.group
    if line.receiver.group:
        attributes["lhead"] = line.receiver.group
    page.edge(line.sender.node, line.receiver.node, **attributes)


def _line_label(line: Line) -> str:
    claim, judged = line.claim, line.judged
    slot = claim.receivers[0].slot
    # Only a line that says so itself is elsewhere than its boxes say; `from` is no name.
    place = f" at {show_positions(claim.positions)}" if " from " in claim.text else ""
    if not line.last:  # bound and verdict are those of the whole path, and stand at its end
        chips = [chip(str(slot), style.SLOT_COLOURS[slot])] if slot else []
        if place or not chips:
            chips.append(cell(font(place.strip() or "path", style.MUTED, size=10)))
        return table([[cell(table([chips], padding=2))], [SPACER]])
    tags = [chip("\u00d7", style.ABSENT)] if claim.absent else []
    if slot is not None:
        tags.append(chip(str(slot), style.SLOT_COLOURS[slot]))
    bound = cell(font(f"{asked(claim)}{place}", style.MUTED, size=10))
    if judged is None:
        return table([[cell(table([[*tags, bound]], padding=2))], [SPACER]])
    tags.append(chip(outcome(judged), style.VERDICT_COLOURS[judged.verdict]))
    return table([[cell(table([tags], padding=2))], [bound], [SPACER]], padding=1)


def _title(
    circuit: Circuit, verdicts: tuple[ClaimReport | None, ...], report: Report | None
) -> str:
    lines = [font(circuit.title.strip() or circuit.name, style.INK, size=18, bold=True)]
    facts = f"{circuit.name} \u00b7 {circuit.model} \u00b7 {circuit.metric}"
    if report is not None:
        facts += f" \u00b7 {report.baseline.prompts} prompts"
    lines.append(font(facts, style.MUTED))
    if report is not None and not report.complete:
        warning = "INCOMPLETE: the run was interrupted"
        lines.append(font(warning, style.VERDICT_COLOURS[Verdict.FAIL], bold=True))
    others = list(zip(circuit.all_claims, verdicts, strict=True))[len(circuit.edges) :]
    lines += [_other_claim(claim.text, judged) for claim, judged in others]
    return table([[cell(line)] for line in lines], padding=1)


def _other_claim(text: str, judged: ClaimReport | None) -> str:
    """A claim that is no edge, under the title."""
    if judged is None:
        return font(text, style.MUTED)
    colour = style.VERDICT_COLOURS[judged.verdict]
    return f"{font(outcome(judged), colour, bold=True)}{GAP}{font(text, style.INK)}"
