"""Giving every name of a document its meaning, with every mistake at once."""

from pathlib import Path

from circuitlang.circuit.checks import CHECKS
from circuitlang.circuit.circuit import Circuit
from circuitlang.circuit.resolve.claims import resolve_claims
from circuitlang.circuit.resolve.edges import resolve_edges
from circuitlang.circuit.resolve.header import resolve_header, resolve_model
from circuitlang.circuit.resolve.metric import is_joined, resolve_metric
from circuitlang.circuit.resolve.named import names_in_metric, names_of_positions
from circuitlang.circuit.resolve.nodes import resolve_nodes
from circuitlang.circuit.resolve.prompts import resolve_prompts
from circuitlang.circuit.resolve.scope import Scope
from circuitlang.circuit.resolve.settings import resolve_settings
from circuitlang.circuit.resolve.sweeps import resolve_sweeps
from circuitlang.circuit.resolve.usage import check_usage
from circuitlang.circuit.suspicions import SUSPICIONS
from circuitlang.models import ModelShape
from circuitlang.source import Diagnostic, Severity, SourceText, Span
from circuitlang.syntax import Document
from circuitlang.syntax import tree as syntax

__all__ = ["resolve"]

_REQUIRED = {
    syntax.ModelSection: ("model", 'say which model: `model "gpt2"`'),
    syntax.PromptsSection: ("prompts", "a `prompts` block holds templates, words and a corruption"),
    syntax.MetricSection: ("metric", "say what is measured: `metric logit_diff(IO, S)`"),
}
_NO_SECTION = (
    "the file has no section",
    'the smallest has `model "gpt2"`, `prompts { ... }`, `metric logit_diff(IO, S)` and '
    "`edges { ... }` or `claims { ... }`",
)


def resolve(
    document: Document,
    source: SourceText,
    shape: ModelShape | None = None,
    folder: Path | None = None,
) -> tuple[Circuit | None, tuple[Diagnostic, ...]]:
    """The circuit that a document describes, and every mistake in it.

    The circuit is None when there is an error, be it one that the parser has reported already;
    warnings alone leave it whole. ``shape`` overrides what is known about the model's size (after
    loading it, say). Paths start at ``folder``, that of the source's name unless given.
    """
    scope = Scope(source, folder or Path(source.name).parent, document.skipped)
    if not document.sections and not document.skipped:
        scope.error("CL120", Span(0, 0), *_NO_SECTION)
        return None, tuple(scope.diagnostics)
    sections = _one_of_each(document, scope)
    name, title = resolve_header(sections.get(syntax.CircuitSection), scope)
    model, known = resolve_model(sections.get(syntax.ModelSection), scope)
    scope.shape = shape or known
    scope.metric_names = names_in_metric(sections.get(syntax.MetricSection))
    scope.metric_is_joined = is_joined(sections.get(syntax.MetricSection))
    scope.position_names = names_of_positions(document)
    prompts = resolve_prompts(sections.get(syntax.PromptsSection), scope)
    scope.prompts = prompts
    scope.metric = metric = resolve_metric(sections.get(syntax.MetricSection), scope)
    scope.settings = resolve_settings(sections.get(syntax.TestSection), scope)
    roles = resolve_nodes(sections.get(syntax.NodesSection), scope)
    scope.roles = {role.name: role for role in roles}
    edges = resolve_edges(sections.get(syntax.EdgesSection), scope)
    claims = resolve_claims(sections.get(syntax.ClaimsSection), scope)
    sweeps = resolve_sweeps(sections.get(syntax.ClaimsSection), scope)
    check_usage(document, roles, scope)
    for check in CHECKS:
        for found in check((*edges, *claims), scope.line_of):
            scope.error(found.code, found.span, found.message, found.hint)
    diagnostics = tuple(dict.fromkeys(scope.diagnostics))
    failed = document.skipped or any(d.severity is Severity.ERROR for d in diagnostics)
    if failed or not (model and prompts and metric):
        return None, diagnostics
    circuit = Circuit(
        name,
        title,
        model,
        prompts,
        metric,
        roles,
        edges,
        claims,
        scope.settings,
        scope.shape,
        sweeps,
    )
    suspicious = (found for suspicion in SUSPICIONS for found in suspicion(circuit))
    return circuit, (*diagnostics, *suspicious)


def _one_of_each(document: Document, scope: Scope) -> dict[type, syntax.Section]:
    found: dict[type, syntax.Section] = {}
    for section in document.sections:
        kind = type(section)
        if kind in found:
            start = section.span.start
            name = scope.source.slice(Span(start, start + 10)).split()[0].rstrip("{")
            line = scope.line_of(found[kind].span)
            message = f"the section `{name}` stands twice (first in line {line})"
            is_block = isinstance(section, syntax.BlockSection)
            hint = "join them into one" if is_block else "delete one of them"
            scope.error("CL121", Span(start, start + len(name)), message, hint)
        else:
            found[kind] = section
    for required, (name, hint) in _REQUIRED.items():
        if required not in found and not scope.lacks(name):
            scope.error("CL120", Span(0, 0), f"there is no `{name}`", hint)
    return found
