"""The formatter: one layout, nothing lost, nothing changed in meaning."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from circuitlang.source import SourceText, load_source
from circuitlang.syntax import NotFormattable, format_document, format_source, parse
from tests.documents import Messy, messy
from tests.front_end import GOLDEN, ROOT

FILES = [*sorted((ROOT / "circuits").rglob("*.circuit")), GOLDEN / "ioi.circuit"]

UGLY = """

#!  about this file
circuit   ioi    "Indirect object"   # the name
# the model
model "gpt2"   dtype   "float32" revision "607a30d783dfa663caf39e06633721c8d4cfcd7e"


prompts{ # templates
  clean "When {IO} and {S} went to the {PLACE}, {S} gave a drink to"
     corrupt IO=fresh,S1   = "Anna" ,S2=fresh # three names
  IO,S from names# a list

  # places come last


  PLACE from "store","park"
sample 100   seed 0

  # the end of the prompts
}
metric logit_diff( IO,S )
nodes { A l0.h1,L0.MLP at S2 "early" # first
  LONG L9.h6 at S1 + 1, END
  B L10.H0 "no position"
  C L10.H1
}
edges {
  A~>LONG.Q>=5%
  no A->LONG.V within 2 %   # absent
  each LONG -> logits
  no each A -> C.K in 1%..+2% by denoising
  L0.H1 -> L9.MLP by noising
  A -> logits by noising >= -0.1
}
claims {}   # nothing yet
test {
  ablation mean per template
  significance 5% correction holm
  minimum effect 1 logits
  random  edges 100
  looks  4 }
# the end"""

TIDY = """\
#!  about this file
circuit ioi "Indirect object"  # the name

# the model
model "gpt2" dtype float32 revision "607a30d783dfa663caf39e06633721c8d4cfcd7e"

prompts {  # templates
  clean   "When {IO} and {S} went to the {PLACE}, {S} gave a drink to"
  corrupt IO = fresh, S1 = "Anna", S2 = fresh  # three names
  IO, S   from names                           # a list

  # places come last

  PLACE   from "store", "park"
  sample  100 seed 0

  # the end of the prompts
}

metric logit_diff(IO, S)

nodes {
  A    L0.H1, L0.MLP  at S2         "early"  # first
  LONG L9.H6          at S1+1, END
  B    L10.H0                       "no position"
  C    L10.H1
}

edges {
  A     ~> LONG.Q      >= 5%
  no A -> LONG.V       within 2%  # absent
  each LONG -> logits
  no each A -> C.K     in 1%..2%  by denoising
  L0.H1 -> L9.MLP                 by noising
  A     -> logits                 by noising  >= -0.1
}

claims {}  # nothing yet

test {
  ablation       mean per template
  significance   5% correction holm
  minimum effect 1 logits
  random edges   100
  looks          4
}

# the end
"""


def _formatted(text: str) -> str:
    return format_source(SourceText("test.circuit", text))


def test_the_one_true_layout() -> None:
    assert _formatted(UGLY) == TIDY


def test_the_example_of_the_reference_is_laid_out_as_it_stands() -> None:
    source, _ = load_source(GOLDEN / "ioi.circuit")
    assert format_source(source) == source.text


@pytest.mark.parametrize(
    "text, tidy",
    [
        ("", ""),
        ("\n\n", ""),
        ("# only a comment", "# only a comment\n"),
        ("# one\n\n\n\n# two\n", "# one\n\n# two\n"),
        ("nodes {\n\n}", "nodes {}\n"),
        ("nodes { # why\n}", "nodes {  # why\n}\n"),
        ("nodes {\n# why\n}", "nodes {\n  # why\n}\n"),
        ("nodes {} # why", "nodes {}  # why\n"),
        ("nodes { # a\n} # b", "nodes {  # a\n}  # b\n"),
        ("nodes { A L0.H1 } # b", "nodes {\n  A L0.H1\n}  # b\n"),
        ("nodes { A L0.H1 # a\n }", "nodes {\n  A L0.H1  # a\n}\n"),
        ("nodes {}\n# after\nedges {}", "nodes {}\n\n# after\nedges {}\n"),
        ("nodes {}\n# after\n\nedges {}", "nodes {}\n\n# after\n\nedges {}\n"),
        ('model "a" dtype "in"', 'model "a" dtype "in"\n'),
        ("nodes {\n\n\nA L0.H1\n\n\nB L0.H1\n\n}", "nodes {\n  A L0.H1\n\n  B L0.H1\n}\n"),
        ('nodes { A L0.H1 "# no comment" }', 'nodes {\n  A L0.H1  "# no comment"\n}\n'),
    ],
)
def test_small_layouts(text: str, tidy: str) -> None:
    assert _formatted(text) == tidy
    assert _formatted(tidy) == tidy


def _obeys_the_laws(source: SourceText) -> str:
    document, errors = parse(source)
    assert errors == ()
    formatted = SourceText(source.name, format_document(document, source))
    again, errors = parse(formatted)
    assert errors == ()
    assert again == document
    assert Counter(c.text for c in again.comments) == Counter(c.text for c in document.comments)
    assert format_source(formatted) == formatted.text
    assert formatted.text == "" or formatted.text.endswith("\n")
    assert not formatted.text.endswith("\n\n")
    assert "\n\n\n" not in formatted.text
    assert all(line == line.rstrip(" \t") for line in formatted.text.split("\n"))
    return formatted.text


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_laws_on_files(path: Path) -> None:
    source, unreadable = load_source(path)
    assert unreadable == ()
    _obeys_the_laws(source)


def test_laws_on_an_ugly_file() -> None:
    assert _obeys_the_laws(SourceText("ugly.circuit", UGLY)) == TIDY


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(messy())
def test_laws_on_any_document(made: Messy) -> None:
    source = SourceText("made.circuit", made.text)
    document, errors = parse(source)
    assert errors == ()
    assert document == made.document
    _obeys_the_laws(source)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(messy())
def test_layout_depends_on_nothing_but_lines(made: Messy) -> None:
    """Spaces and tabs of the author leave no trace."""
    source = SourceText("made.circuit", made.text)
    wide = "\n".join(f"\t {line}" for line in made.text.split("\n"))
    assert format_source(SourceText("wide.circuit", wide)) == format_source(source)


@pytest.mark.parametrize("text", ["nodes {", "model gpt2", "nodes { A }", "nodes {}\n\u200b"])
def test_a_file_with_errors_is_left_alone(text: str) -> None:
    source = SourceText("broken.circuit", text)
    with pytest.raises(NotFormattable) as caught:
        format_source(source)
    assert caught.value.diagnostics
    with pytest.raises(NotFormattable):
        format_document(parse(source)[0], source)
