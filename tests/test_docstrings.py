"""The docstring prompts of Heimersheim and Janiak 2023, against their published token numbers."""

import re

import pytest
from tokenizers import pre_tokenizers

from circuitlang.circuit import expand
from tests.front_end import ROOT, circuit_of

PUBLISHED = {"A1": 11, "B1": 13, "B1+1": 14, "C": 15, "A2": 27, "B2": 34, "END": 40}
"""With BOS in front: Heimersheim and Janiak 2023; datasets/docstring_prompts.json in
UFO-101/auto-circuit@34d56b6."""
CHANGED = {
    "random_random": {11, 13, 15, 27, 34},
    "random_def": {11, 13},
    "random_doc": {27, 34},
    "random_def_doc": {11, 13, 27, 34},
    "random_answer": {15},
    "random_answer_doc": {15, 27, 34},
}


def pairs(arguments: str, sample: int = 50, seed: int = 3, metric: str = "logit_diff(C, A)"):
    circuit = circuit_of(f"""model "gpt2"
prompts {{
  docstrings({arguments})
  sample {sample} seed {seed}
}}
metric {metric}
edges {{
  L9.H9 -> logits
}}
""")
    return expand(circuit.prompts, circuit.metric)


def pieces(text: str) -> list[tuple[str, tuple[int, int]]]:
    """As GPT-2 and GPT-NeoX cut text before they look into their vocabulary, BOS in front."""
    cut = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return [("<|BOS|>", (0, 0)), *cut.pre_tokenize_str(text)]


@pytest.mark.parametrize("corruption", CHANGED)
def test_names_stand_on_the_published_tokens(corruption):
    for pair in pairs(f"corruption = {corruption}"):
        clean, corrupt = pieces(pair.clean.text), pieces(pair.corrupt.text)
        assert len(clean) == len(corrupt) == PUBLISHED["END"] + 1
        for slot, number, start, end in pair.clean.places:
            token = PUBLISHED.get(f"{slot}{number}", PUBLISHED.get(slot))
            if token is not None:
                # A piece begins with the space before its word.
                assert clean[token][1] in ((start - 1, end), (start, end))
        assert clean[PUBLISHED["B1+1"]][0] == ","
        assert clean[-1][0] == "param"
        different = {
            i
            for i, (one, other) in enumerate(zip(clean, corrupt, strict=True))
            if one[0] != other[0]
        }
        assert different == CHANGED[corruption]


def test_the_prompt_reads_as_published():
    """Six different arguments; the docstring tells of two of them, and the next is asked for."""
    form = re.compile(
        r"<\|BOS\|>\ndef (\w+)\(self, (\w+), (\w+), (\w+), (\w+), (\w+), (\w+)\):\n"
        r'    """\w+ \w+ \w+\n\n    :param (\w+): \w+ \w+\n    :param (\w+): \w+ \w+\n    :param'
    )
    for pair in pairs('before = "<|BOS|>"'):
        method, *arguments, one, two = form.fullmatch(pair.clean.text).groups()
        assert len({method, *arguments}) == 7
        assert (one, two) == tuple(arguments[2:4])
        assert (pair.answer, pair.distractor) == (arguments[4], arguments[2])
        other = form.fullmatch(pair.corrupt.text).groups()
        assert other[:3] == (method, *arguments[:2])
        assert other[6] == arguments[5]
        new = {*other[3:6], *other[7:]}
        assert len(new) == 5
        assert not new & {method, *arguments}


def test_one_corruption_keeps_the_definition_and_the_docstring_alike():
    for pair in pairs("corruption = random_def_doc"):
        names = {place[:2]: pair.corrupt.text[place[2] : place[3]] for place in pair.corrupt.places}
        assert names["A", 1] == names["A", 2] != names["B", 1] == names["B", 2]


def test_wrong_names_are_all_others_of_both_prompts():
    for pair in pairs("", metric="logit_diff(C, max wrong)"):
        answer, wrong = pair.words
        names = {
            text.text[start:end]
            for text in (pair.clean, pair.corrupt)
            for slot, _, start, end in text.places
            if slot in ("FIRST", "SECOND", "A", "B", "C", "LAST")
        }
        assert names == {*answer, *wrong}
        assert len(names) == 11
        assert not {*answer} & {*wrong}


def test_the_first_prompt_is_the_one_of_the_reference():
    page = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
    text = page.split("The first prompt of this file:\n\n```text\n")[1].split("\n```")[0]
    (first,) = pairs('corruption = random_random, before = "<|BOS|>"', sample=1, seed=0)
    assert first.clean.text == text


def test_the_same_file_gives_the_same_prompts():
    texts = [pair.clean.text for pair in pairs("")]
    assert texts == [pair.clean.text for pair in pairs("corruption = random_random")]
    assert len(set(texts)) == len(texts)
