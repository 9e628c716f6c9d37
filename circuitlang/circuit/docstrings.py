"""Prompts of Heimersheim and Janiak 2023: which argument comes next in a docstring?

Form and words are those of acdc/docstring/prompts.py in
ArthurConmy/Automatic-Circuit-Discovery@24c20dc (reST, three arguments that the docstring tells of,
two before them and one after).
"""

from circuitlang.circuit.prompts import Rule, Template, WordList
from circuitlang.source import Span

CORRUPTIONS: dict[str, tuple[tuple[str, int | None], ...]] = {
    "random_random": (("A", 1), ("B", 1), ("C", None), ("A", 2), ("B", 2)),
    "random_def": (("A", 1), ("B", 1)),
    "random_doc": (("A", 2), ("B", 2)),
    "random_def_doc": (("A", None), ("B", None)),
    "random_answer": (("C", None),),
    "random_answer_doc": (("C", None), ("A", 2), ("B", 2)),
}
"""Names that are others in the corrupt prompt, as (slot, occurrence; None: the same new name at
each)."""

WRONG = "wrong"
"""The set of all names that are not the answer."""

_ANSWER = "C"
_ARGUMENTS = ("FIRST", "SECOND", "A", "B", _ANSWER, "LAST")
_NOUN_SLOTS = ("NOUN1", "NOUN2", "NOUN3", "NOUN4", "NOUN5", "NOUN6", "NOUN7")

_NAMES = """
    data name file value test new result line user key default request path output node item url
    model response text version function log string field start number values sub index error
    current context image message check json create size event state row end form query fields
    label run action target array code table source config first required options update module
    status group content results last read command base format color settings order found match
    tag title parent call session token server host date description mode project header option
    task shape load names port old resource root
""".split()  # noqa: SIM905 - words are read more easily without quotes
_NOUNS = """
    price cost process course education research subject age father force act matter health lot
    street patient class mind church condition paper bank century section activity building sense
    sort staff team student language town plan management morning committee product practice
    evidence ground letter foot boy game food union role land art support range stage trade voice
    arm club history account material care manager record example training window air light wife
""".split()  # noqa: SIM905 - as above


def docstring_template(before: str, label: str, span: Span) -> Template:
    """The prompt: a definition with six arguments, and a docstring that tells of the first two of
    three. ``before`` begins it."""
    one, two, three, *rest = _NOUN_SLOTS
    first, second = rest[:2], rest[2:]
    slots = ("METHOD", *_ARGUMENTS, one, two, three, "A", *first, "B", *second)
    texts = (
        f"{before}\ndef ",
        "(self, ",
        *([", "] * (len(_ARGUMENTS) - 1)),
        '):\n    """',
        " ",
        " ",
        "\n\n    :param ",
        ": ",
        " ",
        "\n    :param ",
        ": ",
        " ",
        "\n    :param",
    )
    return Template(texts, slots, span, label=label)


def docstring_words(span: Span) -> tuple[WordList, ...]:
    """Names of the method and its arguments, all different, and nouns."""
    return (
        WordList(("METHOD", *_ARGUMENTS), tuple(_NAMES), None, span),
        WordList(_NOUN_SLOTS, tuple(_NOUNS), None, span),
    )


def docstring_sets() -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The other arguments, for the metric; names that are corrupt alone belong to it as well."""
    return ((WRONG, tuple(slot for slot in _ARGUMENTS if slot != _ANSWER)),)


def docstring_rules(corruption: str, span: Span) -> tuple[Rule, ...]:
    """The names that a corruption exchanges, each for one that the pair does not have."""
    return tuple(
        Rule(slot, occurrence, fresh=True, span=span)
        for slot, occurrence in CORRUPTIONS[corruption]
    )
