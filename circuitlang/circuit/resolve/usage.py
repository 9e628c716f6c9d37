"""What a file names and what it uses, judged by what is written, not by what could be resolved.

An edge with a mistake in it still uses its nodes: one mistake must not be reported twice.
"""

from collections.abc import Iterator

from circuitlang.circuit.claim import Role
from circuitlang.circuit.component import parse_component
from circuitlang.circuit.resolve.nodes import RESERVED
from circuitlang.circuit.resolve.scope import Scope
from circuitlang.source import Span
from circuitlang.syntax import tree as syntax
from circuitlang.syntax.grammar import BASELINE


def check_usage(document: syntax.Document, roles: tuple[Role, ...], scope: Scope) -> None:
    """A file must claim something, and a node that nothing speaks of is probably a slip."""
    if scope.lacks("edges") or scope.lacks("claims"):
        return
    claimed = [*_edges(document), *_claims(document)]
    if not claimed:
        hint = "add an `edges` or a `claims` block"
        scope.error("CL227", Span(0, 0), "the file claims nothing", hint)
        return
    # A claim about the whole circuit uses every node, and a sweep the positions of every node.
    named_none = (c for c in _claims(document) if c.subject is None and c.kind != BASELINE)
    if any(named_none) or any(claim.kind == "sweep" for claim in _claims(document)):
        return
    used = {word.text for word in _named(document)} | scope.meant
    components = {component for text in used if (component := parse_component(text))}
    for role in roles:
        # A name that no node can have is a mistake of its own.
        if role.name in RESERVED:
            continue
        if role.name not in used and not components.intersection(role.components):
            message = f"the node `{role.name}` is never used"
            scope.error("CL203", role.span, message, "use it in an edge or a claim, or delete it")


def _edges(document: syntax.Document) -> Iterator[syntax.EdgeLine]:
    for section in document.sections:
        if isinstance(section, syntax.EdgesSection):
            yield from section.lines


def _claims(document: syntax.Document) -> Iterator[syntax.ClaimLine]:
    for section in document.sections:
        if isinstance(section, syntax.ClaimsSection):
            yield from section.lines


def _named(document: syntax.Document) -> Iterator[syntax.Word]:
    for edge in _edges(document):
        yield edge.sender.node
        yield from (receiver.node for receiver in edge.receivers)
    for claim in _claims(document):
        if claim.subject:
            yield claim.subject.node
