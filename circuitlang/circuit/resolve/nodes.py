"""The `nodes` block, and positions wherever they stand."""

import re
from collections.abc import Sequence

from circuitlang.circuit.claim import Role
from circuitlang.circuit.component import Component, parse_component, problem_with
from circuitlang.circuit.position import AT_END, END, Position
from circuitlang.circuit.prompts import Prompts
from circuitlang.circuit.resolve.scope import Scope
from circuitlang.source import Span, did_you_mean
from circuitlang.syntax import tree as syntax

RESERVED = ("logits", "embed", END)
_MAX_OFFSET = 1000


def resolve_nodes(section: syntax.Section | None, scope: Scope) -> tuple[Role, ...]:
    """The roles in file order; a name that stands twice keeps its first meaning."""
    if not isinstance(section, syntax.NodesSection):
        return ()
    roles: dict[str, Role] = {}
    for line in section.lines:
        name = line.name.text
        if name in RESERVED:
            scope.error("CL208", line.name.span, f"`{name}` has a meaning of its own")
            continue
        role = _role(line, scope)
        if name in roles:
            first, _ = scope.source.line_column(roles[name].span.start)
            message = f"the node `{name}` is defined twice (first in line {first})"
            scope.error("CL202", line.name.span, message, "choose another name or join the lines")
        else:
            roles[name] = role
    return tuple(roles.values())


def _role(line: syntax.NodeLine, scope: Scope) -> Role:
    components: list[Component] = []
    for word in line.components:
        component = component_of(word, scope)
        if component is None:
            continue
        if component in components:
            message = f"{component} is listed twice in `{line.name.text}`"
            scope.error("CL204", word.span, message, "delete one of them")
        else:
            components.append(component)
    positions = resolve_positions(line.positions, scope)
    label = line.label.text if line.label else ""
    return Role(line.name.text, tuple(components), positions, label, line.name.span)


def component_of(word: syntax.Word, scope: Scope) -> Component | None:
    """A component that exists in the model, as far as the model's size is known."""
    component = parse_component(word.text)
    if component is None:
        scope.error("CL207", word.span, f"`{word.text}` is too large to be a layer and head")
        return None
    problem = problem_with(component, scope.shape)
    if problem:
        code, message, hint = problem
        scope.error(code, word.span, message, hint)
        return None
    return component


def resolve_positions(
    references: Sequence[syntax.PositionRef], scope: Scope
) -> tuple[Position, ...]:
    """Positions without repeats, each checked against every template."""
    positions: list[Position] = []
    for reference in references:
        position = _position(reference, scope)
        if position is not None and position not in positions:
            positions.append(position)
    return tuple(positions)


def _position(reference: syntax.PositionRef, scope: Scope) -> Position | None:
    name, offset = reference.slot.text, reference.offset
    if not offset.is_integer() or abs(offset) > _MAX_OFFSET:
        message = f"an offset is a whole number up to {_MAX_OFFSET}"
        scope.error("CL224", reference.span, message)
        return None
    if name == END:
        if offset > 0:
            scope.error("CL304", reference.span, "there is no token after END")
            return None
        return Position(END, 1, int(offset)) if offset else AT_END
    if scope.prompts is None:
        return None
    return _slot_position(reference.slot.span, name, int(offset), scope.prompts, scope)


def _slot_position(
    span: Span, name: str, offset: int, prompts: Prompts, scope: Scope
) -> Position | None:
    slots = {slot for template in prompts.templates for slot in template.slots}
    split = split_occurrence(name, slots)
    if split is None:
        known = {END, *slots, *_occurrences(prompts)}
        message = f"no prompt has a position `{name}`"
        scope.error("CL304", span, message, did_you_mean(name, known))
        return None
    slot, occurrence = split
    for number, template in enumerate(prompts.templates, 1):
        count = template.slots.count(slot)
        if occurrence is None and count > 1:
            choices = " or ".join(f"`{slot}{n}`" for n in range(1, count + 1))
            message = f"`{slot}` stands {count} times in template {number}"
            scope.error("CL304", span, message, f"write {choices}")
            return None
        if count < (occurrence or 1):
            message = f"template {number} has no position `{name}`: {template}"
            scope.error("CL304", span, message[:300], did_you_mean(name, _occurrences(prompts)))
            return None
    return Position(slot, occurrence or 1, offset, name if name != slot else "")


def split_occurrence(name: str, slots: set[str]) -> tuple[str, int | None] | None:
    """`S2` as ("S", 2) when S is a slot; a slot that is itself called `S2` comes first."""
    if name in slots:
        return name, None
    match = re.fullmatch(r"(.*?)([1-9][0-9]{0,3})", name)
    if match and match[1] in slots:
        return match[1], int(match[2])
    return None


def _occurrences(prompts: Prompts) -> set[str]:
    found = {END}
    for template in prompts.templates:
        for slot in set(template.slots):
            count = template.slots.count(slot)
            found |= {slot} if count == 1 else {f"{slot}{n}" for n in range(1, count + 1)}
    return found
