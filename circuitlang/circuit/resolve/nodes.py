"""The `nodes` block, and positions wherever they stand."""

from collections.abc import Sequence

from circuitlang.circuit.claim import Role
from circuitlang.circuit.coincidence import canonical
from circuitlang.circuit.component import Component, Neuron, parse_component, problem_with
from circuitlang.circuit.position import AT_END, END, Position
from circuitlang.circuit.resolve.limits import MAX_OFFSET, MAX_POSITIONS
from circuitlang.circuit.resolve.places import Places
from circuitlang.circuit.resolve.scope import Scope
from circuitlang.syntax import tree as syntax

RESERVED = ("logits", "embed", END)


def resolve_nodes(section: syntax.Section | None, scope: Scope) -> tuple[Role, ...]:
    """The roles in file order; a name that stands twice keeps its first meaning."""
    if not isinstance(section, syntax.NodesSection):
        return ()
    roles: dict[str, Role] = {}
    for line in section.lines:
        name = line.name.text
        if name in RESERVED:
            message = f"`{name}` has a meaning of its own and cannot name a node"
            scope.error("CL208", line.name.span, message, "choose another name")
        role = _role(line, scope)
        if name in roles:
            first = scope.line_of(roles[name].span)
            message = f"the node `{name}` is defined twice (first in line {first})"
            scope.error("CL202", line.name.span, message, "choose another name or join the lines")
        else:
            roles[name] = role
    return tuple(roles.values())


def _role(line: syntax.NodeLine, scope: Scope) -> Role:
    components: dict[Component, None] = {}
    neurons: dict[Component, Neuron] = {}  # the first of each MLP
    for word in line.components:
        component = component_of(word, scope)
        if component is None:
            continue
        if component in components:
            message = f"{component} is listed twice in `{line.name.text}`"
            scope.error("CL204", word.span, message, "delete one of them")
        components[component] = None
        if isinstance(component, Neuron):
            neurons.setdefault(component.mlp, component)
        mlp = component.mlp if isinstance(component, Neuron) else component
        if mlp in components and mlp in neurons:
            message = f"{neurons[mlp]} is a part of {mlp}, and both are in `{line.name.text}`"
            scope.error("CL204", word.span, message, "keep one, or use two nodes")
    positions = resolve_positions(line.positions, scope)
    label = line.label.text if line.label else ""
    return Role(line.name.text, tuple(components), positions, label, line.name.span)


def component_of(word: syntax.Word, scope: Scope) -> Component | None:
    """A component that exists in the model, as far as the model's size is known."""
    component = parse_component(word.text)
    if component is None:
        what = "neuron" if word.text.endswith("]") else "head"
        message = f"`{word.text}` has more digits than any layer or {what}"
        hint = "a head is written `L9.H6`, an MLP `L0.MLP`"
        if what == "neuron":
            hint = "a neuron is written `L0.MLP[7]`"
        scope.error("CL207", word.span, message, hint)
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
    """Positions without repeats, each checked against every template.

    One that does not exist takes the others with it (to the empty tuple, every position), so that
    its edges are not called misplaced on top of it.
    """
    if len(references) > MAX_POSITIONS:
        message = f"more than {MAX_POSITIONS} positions, the most a node may have"
        scope.error("CL228", references[MAX_POSITIONS].span, message)
    found = [_position(reference, scope) for reference in references[:MAX_POSITIONS]]
    positions = dict.fromkeys(position for position in found if position is not None)
    return () if None in found else tuple(positions)


def _position(reference: syntax.PositionRef, scope: Scope) -> Position | None:
    name, offset = reference.slot.text, reference.offset
    if not offset.is_integer() or abs(offset) > MAX_OFFSET:
        message = f"an offset counts tokens: a whole number up to {MAX_OFFSET:,}"
        scope.error(
            "CL224", reference.span, message, f"such as `{name}{'-' if name == END else '+'}1`"
        )
        return None
    if name == END:
        if offset > 0:
            hint = "END is the last token of the prompt; offsets from it are negative"
            scope.error("CL304", reference.span, "there is no token after END", hint)
            return None
        written = Position(END, 1, int(offset), span=reference.span) if offset else AT_END
        return canonical(written, scope.prompts) if scope.prompts else written
    if scope.places is None or scope.lacks("prompts"):
        return None
    found = _slot_position(reference, int(offset), scope.places, scope)
    return found and _inside(found, reference, scope)


def _slot_position(
    reference: syntax.PositionRef, offset: int, places: Places, scope: Scope
) -> Position | None:
    word = reference.slot
    name = word.text
    split = places.split(name)
    if split is None:
        hint = scope.suggest(name, places.names())
        scope.error("CL304", word.span, f"no prompt has a position `{name}`", hint)
        return None
    slot, occurrence = split
    if occurrence is None and places.most[slot] > 1:
        number, count = places.template_with(slot, 2, places.most[slot])
        message = f"`{slot}` stands {count} times in {places.template(number)}"
        choices = " or ".join(f"`{slot}{n}`" for n in range(1, min(count, 4) + 1))
        scope.error("CL304", word.span, message, f"say which: {choices}")
        return None
    wanted = occurrence or 1
    if places.fewest[slot] < wanted:
        # A corruption that lacks the same has said so: the template is what is wrong.
        message = places.shortage(slot, occurrence)
        if not any(d.code == "CL301" and d.message == message for d in scope.diagnostics):
            scope.error("CL304", word.span, message, scope.suggest(name, places.names()))
        return None
    shown = name + (f"{offset:+d}" if offset else "")
    return Position(slot, wanted, offset, shown if name != slot else "", reference.span)


def _inside(position: Position, reference: syntax.PositionRef, scope: Scope) -> Position | None:
    """The position by its one name, if the prompts have it; else None with a diagnostic."""
    prompts = scope.prompts
    if prompts is None:
        return position
    found = canonical(position, prompts)
    name = reference.slot.text
    if found.slot == END and found.offset > 0:
        message = f"there is no token `{position}`: `{name}` is {_near_end(found, position)}"
        scope.error("CL304", reference.span, message, "offsets from the last token are negative")
        return None
    ending = [n for n, t in enumerate(prompts.templates, 1) if t.ends_with(position)]
    if ending and position.offset > 0:
        message = f"no `{position}` in template {ending[0]}: `{name}` is its last token"
        scope.error("CL304", reference.span, message, "every template must have the position")
        return None
    return found


def _near_end(found: Position, written: Position) -> str:
    """Where the name without its offset is, in words."""
    after = written.offset - found.offset
    if after == 0:
        return "the last token of the prompt"
    return f"{after} before the last token of the prompt"
