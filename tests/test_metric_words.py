"""Which tokens a metric reads: sets made pair by pair, numbers that go on, words of a file."""

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitlang.circuit import FixedWord, Metric, PairRule, WordSet
from circuitlang.circuit.metric import COMPARISONS
from circuitlang.engine.tokens import align
from circuitlang.evidence import Misalignment
from tests.front_end import circuit_of, codes_of
from tests.test_tokens import GOLDEN, tokenizer_of

YEARS = (GOLDEN / "sets_of_numbers.circuit").read_text(encoding="utf-8")


def aligned(text, rule=PairRule.REFUSE):
    circuit = circuit_of(text)
    pairs = replace(circuit.settings.pairs, misaligned=rule)
    tokenizer = tokenizer_of("any")
    own = replace(circuit, settings=replace(circuit.settings, pairs=pairs))
    return align(own, tokenizer), tokenizer


def test_a_set_holds_the_numbers_beyond_the_pairs_own():
    found, tokenizer = aligned(YEARS)
    assert not found.diagnostics
    seen = set()
    for pair, tokens in zip(found.pairs, found.tokens, strict=True):
        year = int(pair.clean.text.split(" in 17")[1][:2])
        more, less = ([tokenizer.show(i) for i in each] for each in tokens.target.tokens)
        assert more == [w for w in ("11", "12", "44", "79", "94") if int(w) > year]
        assert less == [w for w in ("11", "12", "44", "79", "94") if int(w) <= year]
        assert (pair.answer, pair.distractor) == (f"NEXT > {year}", f"NEXT <= {year}")
        seen.add(year)
    assert seen == {12, 45, 78}


def test_a_number_is_joined_to_a_digit_only_and_a_word_never():
    text = YEARS.replace("met in 17", "met in the").replace('"94"', '"94", "45"')
    found, _ = aligned(text)
    # ` 11` is no token of this tokenizer, `11` is.
    assert {d.code for d in found.diagnostics} == {"CL311"}
    named = YEARS.replace("NEXT > YY, NEXT <= YY", '"park", " zoo"')
    found, tokenizer = aligned(named)
    (shown,) = {
        tuple(tokenizer.show(i) for each in tokens.target.tokens for i in each)
        for tokens in found.tokens
    }
    assert shown == (" park", " zoo")


def test_pairs_with_an_empty_set_obey_the_rule_about_misaligned_ones():
    text = YEARS.replace('"45", "78"', '"45", "80"').replace('"79", "94"', '"79"')
    text = text.replace("sample  8", "sample  24")
    refused, _ = aligned(text)
    assert [d.code for d in refused.diagnostics] == ["CL331"]
    assert not refused.tokens
    found, _ = aligned(text, PairRule.SKIP)
    assert not found.diagnostics
    assert found.misaligned
    for pair in found.misaligned:
        assert (pair.reason, pair.answer) == (Misalignment.SET, "NEXT > 80")
    assert len(found.misaligned) + len(found.tokens) == 24
    assert all(pair.answer != "NEXT > 80" for pair in found.pairs)


def test_a_word_that_both_sides_have_makes_a_pair_misaligned():
    text = YEARS.replace("NEXT <= YY", '"44"')
    found, _ = aligned(text)
    assert [d.code for d in found.diagnostics] == ["CL332"]


@pytest.mark.parametrize(
    "written, expected",
    [
        ("loss", Metric("loss", "answer")),
        ("rank", Metric("rank", "answer")),
        ("loss(IO)", Metric("loss", "IO")),
        ("kl", Metric("kl")),
        ('prob(" he")', Metric("prob", FixedWord("he"))),
        ('logit_diff(answer, "he")', Metric("logit_diff", "answer", FixedWord("he"))),
        (
            "prob_diff(N >= M, N < M)",
            Metric(
                "prob_diff", WordSet("N", ">=", "M", ("1", "2")), WordSet("N", "<", "M", ("1", "2"))
            ),
        ),
    ],
)
def test_what_is_written_is_what_is_read(written, expected):
    text = f"""
    model "gpt2"
    prompts {{
      clean   "When {{IO}} met {{M}} of {{answer}},"
      corrupt M = "3"
      IO, answer  from names
      M  from "1", "2"
      N  from "1", "2"
    }}
    metric {written}
    edges {{
      L9.H9 -> logits >= 5%
    }}
    """
    assert [code for code in codes_of(text) if code != "CL303"] == []
    metric = circuit_of(text).metric
    assert metric == expected
    shown = str(metric).replace("(answer)", "").replace('"he"', '" he"')
    assert shown in (written, written.replace('"he"', '" he"'))


REPEATED = """
model "gpt2"
prompts {{
  repeated_tokens(length = 6)
  sample 8
}}
metric {}
edges {{
  L5.H5 -> logits >= 5%
}}
"""


@pytest.mark.parametrize("written", ["loss", "rank", "prob(answer)", "accuracy"])
def test_a_generator_has_an_answer(written):
    found, tokenizer = aligned(REPEATED.format(written))
    both, _ = aligned(REPEATED.format("logit_diff(answer, distractor)"))
    assert not found.diagnostics
    for pair, tokens, other in zip(found.pairs, found.tokens, both.tokens, strict=True):
        assert tokens.target.tokens == other.target.tokens[:1]
        assert tokenizer.show(tokens.target.tokens[0][0]).strip() == pair.answer
        assert pair.distractor == ""


def test_generated_prompts_are_compared_with_a_word_or_with_nothing():
    found, tokenizer = aligned(REPEATED.format('logit_diff(answer, "zoo")'))
    assert not found.diagnostics
    for tokens in found.tokens:
        assert tokenizer.show(tokens.target.tokens[1][0]) == " zoo"
    found, _ = aligned(REPEATED.format("kl"))
    assert {tokens.target.tokens for tokens in found.tokens} == {()}


def test_a_range_of_words_is_taken_sets_of():
    text = YEARS.replace('"11", "12", "44", "79", "94"', '"00".."99"')
    metric = circuit_of(text).metric
    assert len(metric.answer.words) == 100
    assert metric.answer.than("32") == tuple(map(str, range(33, 100)))
    assert metric.distractor.than("32") == tuple(f"{year:02d}" for year in range(33))


NUMBERS = st.lists(st.integers(0, 12).map(str), min_size=1, max_size=4, unique=True)
SIGNS = st.sampled_from(sorted(COMPARISONS))


@given(NUMBERS, NUMBERS, NUMBERS, st.tuples(SIGNS, SIGNS), st.sampled_from(["YY", "ZZ", "WORD"]))
@settings(max_examples=300, deadline=None)
def test_a_file_is_refused_where_its_words_fail_in_every_pair(years, others, words, signs, second):
    """Against every pair that can be drawn, one after the other."""
    right = f"NEXT {signs[1]} {second}" if second != "WORD" else f'"{words[0]}"'
    text = f"""model "gpt2"
prompts {{
  clean   "from 17{{YY}} and 17{{ZZ}} to 17"
  corrupt YY = "79"
  YY      from {", ".join(f'"{w}"' for w in years)}
  ZZ      from {", ".join(f'"{w}"' for w in others)}
  NEXT    from {", ".join(f'"{w}"' for w in words)}
}}
metric prob_diff(NEXT {signs[0]} YY, {right})
edges {{
  L9.MLP ~> logits
}}
"""
    every = []
    for year, other in product(years, others):
        drawn = {"YY": year, "ZZ": other}
        more = {w for w in words if COMPARISONS[signs[0]](int(w), int(year))}
        less = {words[0]}
        if second != "WORD":
            less = {w for w in words if COMPARISONS[signs[1]](int(w), int(drawn[second]))}
        every.append((bool(more), bool(less), bool(more & less)))
    empty = not any(more for more, _, _ in every) or not any(less for _, less, _ in every)
    shared = all(both for _, _, both in every)
    codes = {*codes_of(text)} - {"CL222"}  # a set minus itself
    assert codes == ({"CL331"} if empty else {"CL332"} if shared else set())
