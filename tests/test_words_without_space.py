"""Answers that follow the prompt without a space: the ids of a vocabulary, looked up by hand."""

import json

import pytest

from circuitlang.circuit import Metric
from circuitlang.engine.tokenizer import FastTokenizer
from circuitlang.engine.tokens import align
from circuitlang.plan.content import content_id
from tests.front_end import circuit_of, codes_of
from tests.tiny_tokenizers import bpe_tokenizer

TEXT = """
model "gpt2"
prompts {{
  clean   "The {{ONE}} {{TWO}} ({{A}}{{B}}"
  corrupt TWO = fresh
  ONE, TWO  from "Sun", "Moon", "Star", "Sky"
  A, B      from "C", "E", "S"
  sample    12
}}
metric {}
edges {{
  L9.H9 -> logits >= 5%
}}
"""
PIECES = (" Sun", " Moon", " Star", " Sky", " (", "(C", "CE", "CEO", "EO", "SO", " O", " X", "XY")


def found_of(text, *pieces):
    backend = bpe_tokenizer(*(pieces or PIECES))
    return align(circuit_of(text), FastTokenizer(backend)), backend


@pytest.mark.parametrize("written", ['logit_diff("O", "X")', 'prob_diff("X", "O")'])
def test_a_word_is_the_token_that_it_is_on_its_own(written):
    """Also after `(CE`, where the tokenizer would write `CEO` in one."""
    found, backend = found_of(TEXT.format(f"{written} without space"))
    assert not found.diagnostics
    own = {word: (backend.token_to_id(word),) for word in "OX"}
    words = ("O", "X") if "logit" in written else ("X", "O")
    assert {pair.target.tokens for pair in found.tokens} == {tuple(own[w] for w in words)}
    ends = {pair.clean.text[-2:]: pair.clean.text for pair in found.pairs}
    assert {"CE", "ES"} <= {*ends}
    # The tokenizer would join what the model never reads together.
    prompt, whole = (backend.encode(f"{ends['CE']}{after}").ids for after in ("", "O"))
    assert whole[: len(prompt)] != prompt
    # The prompts themselves are cut as they are without an answer.
    assert [list(t.clean) for t in found.tokens] == [
        backend.encode(p.clean.text).ids for p in found.pairs
    ]


def test_the_same_words_follow_a_space_without_the_clause():
    found, backend = found_of(TEXT.format('logit_diff("O", "X")'))
    assert not found.diagnostics
    spaced = tuple((backend.token_to_id(f"Ġ{word}"),) for word in "OX")
    assert {pair.target.tokens for pair in found.tokens} == {spaced}


def test_slots_follow_without_a_space_too():
    found, backend = found_of(TEXT.format("logit_diff(A, B) without space"))
    assert not found.diagnostics
    for pair, tokens in zip(found.pairs, found.tokens, strict=True):
        assert (pair.answer, pair.distractor) == (*pair.clean.text[-2:],)
        expected = tuple((backend.token_to_id(letter),) for letter in pair.clean.text[-2:])
        assert tokens.target.tokens == expected


def test_a_word_of_several_tokens_is_refused():
    found, _ = found_of(TEXT.format('logit_diff("O", "Xenon") without space'))
    assert [d.code for d in found.diagnostics] == ["CL311"]
    assert "`Xenon` = [X][e][n][o][n]" in found.diagnostics[0].message


def test_a_tokenizer_that_brings_its_own_space_is_read_after_the_prompt():
    """SentencePiece writes a word alone with a space before it; what goes on has none."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = "▁TheMonStars(CES"
    vocabulary = {piece: n for n, piece in enumerate(dict.fromkeys(["<unk>", *letters, "O", "X"]))}
    backend = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    backend.decoder = decoders.Metaspace(prepend_scheme="always")
    assert backend.encode("O").tokens == ["▁", "O"]
    # Words of equal length, as single letters are the only pieces.
    text = TEXT.format('logit_diff("O", "X") without space').replace(
        'ONE, TWO  from "Sun", "Moon", "Star", "Sky"', 'ONE from "Moon"\n  TWO from "Star", "Sons"'
    )
    found = align(circuit_of(text), FastTokenizer(backend))
    assert not found.diagnostics
    expected = tuple((backend.token_to_id(word),) for word in "OX")
    assert {pair.target.tokens for pair in found.tokens} == {expected}


def rows(tmp_path, before):
    made = [
        {"clean": f"The {one} ({one[0]}", "corrupt": f"The {two} ({one[0]}",
         "answer": f"{before}O", "distractor": f"{before}X"}
        for one in ("Sun", "Moon", "Star", "Sky") for two in ("Sun", "Moon", "Star", "Sky")
        if one != two
    ]  # fmt: skip
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, made)), encoding="utf-8")


FILE = """
model "gpt2"
prompts {{
  from "pairs.jsonl"
}}
metric {}
edges {{
  L9.H9 -> logits >= 5%
}}
"""


def test_answers_of_a_data_file_follow_without_a_space(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows(tmp_path, "")
    text = FILE.format("logit_diff(answer, distractor) without space")
    circuit = circuit_of(text)
    backend = bpe_tokenizer(*PIECES)
    found = align(circuit, FastTokenizer(backend))
    assert not found.diagnostics
    expected = tuple((backend.token_to_id(word),) for word in "OX")
    assert {pair.target.tokens for pair in found.tokens} == {expected}


def test_a_row_with_a_space_contradicts_the_metric(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows(tmp_path, " ")
    text = FILE.format("logit_diff(answer, distractor)")
    assert codes_of(text) == []
    joined = text.replace("distractor)", "distractor) without space")
    assert {*codes_of(joined)} == {"CL323"}


def test_evidence_from_before_the_clause_keeps_its_id():
    """The id that `logit_diff(IO, S)` had before words could follow without a space."""
    assert content_id(Metric("logit_diff", "IO", "S")) == "cabf7b089fcc"
    joined = Metric("logit_diff", "IO", "S", joined=True)
    assert content_id(joined) != content_id(Metric("logit_diff", "IO", "S"))
    assert str(joined) == "logit_diff(IO, S) without space"
