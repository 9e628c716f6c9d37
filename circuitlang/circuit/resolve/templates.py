"""Templates: what is text, and what is a slot."""

import re

from circuitlang.circuit.position import END
from circuitlang.circuit.prompts import FRESH, Template
from circuitlang.circuit.resolve.limits import MAX_TEMPLATE_LENGTH, MAX_TEMPLATE_SLOTS
from circuitlang.circuit.resolve.scope import Scope
from circuitlang.source import Span
from circuitlang.syntax import tree as syntax
from circuitlang.syntax.grammar import keywords

_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_SLOT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def resolve_template(word: syntax.Word, seen: dict[str, Span], scope: Scope) -> Template | None:
    """Texts and slots of a template; `{{` and `}}` stand for braces.

    ``seen`` collects where each slot stands first in the file.
    """
    if not _has_a_fit_text(word, scope):
        return None
    text, texts, slots = word.text, [""], []
    end, good = 0, True
    for match in _PART.finditer(text):
        texts[-1] += text[end : match.start()]
        end = match.end()
        span = Span(word.span.start + match.start(), word.span.start + match.end())
        if match[0] in ("{{", "}}"):
            texts[-1] += match[0][0]
        elif _is_slot(match, span, seen, scope):
            seen.setdefault(match[1], span)
            slots.append(match[1])
            texts.append("")
        else:
            good = False
    texts[-1] += text[end:]
    if len(slots) > MAX_TEMPLATE_SLOTS:
        message = f"more than {MAX_TEMPLATE_SLOTS} slots, the most a template may have"
        scope.error("CL228", word.span, message)
        return None
    return Template(tuple(texts), tuple(slots), word.span) if good else None


def _has_a_fit_text(word: syntax.Word, scope: Scope) -> bool:
    text = word.text
    if len(text) > MAX_TEMPLATE_LENGTH:
        message = f"a template has at most {MAX_TEMPLATE_LENGTH:,} characters"
        scope.error("CL305", word.span, message)
    elif not text.strip():
        scope.error("CL305", word.span, "the template is empty")
    elif text != text.rstrip():
        span = Span(word.span.start + len(text.rstrip()), word.span.end)
        hint = "delete it: the answer begins with its own space"
        scope.error("CL305", span, "the template ends with a space", hint)
    else:
        return True
    return False


def _is_slot(match: re.Match[str], span: Span, seen: dict[str, Span], scope: Scope) -> bool:
    name = match[1]
    if name is None or not _SLOT.fullmatch(name):
        hint = "a slot is a name in braces, as in `{IO}`; a brace itself is written twice"
        scope.error("CL305", span, f"`{match[0]}` is not a slot", hint)
    elif name in (END, FRESH, "embed") or name in keywords():
        if name not in seen and not scope.lacks("prompts", name):
            message = f"`{name}` is a word of the language and cannot be a slot"
            scope.error("CL208", span, message, "choose another name")
        seen.setdefault(name, span)
    else:
        return True
    return False
