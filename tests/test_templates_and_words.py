"""Corrupt templates, ranges of words and slots side by side: in words and in tokens."""

from collections.abc import Sequence

import pytest

from circuitlang.circuit import Circuit, PromptPair, expand
from circuitlang.circuit.words import BUILTIN_WORDS
from circuitlang.engine.loading import load_transformer
from circuitlang.engine.measurement import measure
from circuitlang.engine.tokenizer import FastTokenizer
from circuitlang.engine.tokens import TokenizedPair, align
from circuitlang.plan import compile_plan
from tests.front_end import circuit_of, codes_of
from tests.tiny_tokenizers import bpe_tokenizer


def text_of(
    prompts: str,
    at: str = "END",
    claims: str = "ablate B >= 5% by resample",
    metric: str = "logit_diff(IO, S)",
) -> str:
    return (
        f'model "gpt2"\nprompts {{\n{prompts}\n}}\nmetric {metric}\n'
        f"nodes {{\n  B L9.H6 at {at}\n}}\nclaims {{\n  {claims}\n}}\n"
    )


def pairs_of(prompts: str) -> tuple[PromptPair, ...]:
    circuit = circuit_of(text_of(prompts))
    return expand(circuit.prompts, circuit.metric)


def words_of(pair: PromptPair) -> dict[str, str]:
    return {f"{s}{n}": pair.clean.text[a:b] for s, n, a, b in pair.clean.places}


CLEAN = 'clean "When {IO} and {S} met, {S} thanked"'
OTHER = 'clean "Then {S} and {IO} met, and {S} thanked"'


def test_a_corrupt_template_has_the_clean_words() -> None:
    prompts = f'{CLEAN}\n corrupt "When {{S}} and {{X}} met, {{IO}} thanked"\n IO, S, X from names'
    for pair in pairs_of(prompts):
        words = words_of(pair)
        io, s = words["IO1"], words["S1"]
        before, after = pair.corrupt.text.split(" met, ")
        assert before.startswith(f"When {s} and ")
        x = before.removeprefix(f"When {s} and ")
        assert after == f"{io} thanked"
        assert x in BUILTIN_WORDS["names"]
        assert len({io, s, x}) == 3, "slots that share a list differ"
        assert (pair.answer, pair.distractor) == (io, s)


def test_the_nth_corrupt_template_belongs_to_the_nth_clean_one() -> None:
    prompts = (
        f'{CLEAN}\n{OTHER}\n corrupt "When {{X}} and {{S}} met, {{S}} thanked"\n'
        ' corrupt "Then {S} and {X} met, and {S} thanked"\n IO, S, X from names'
    )
    pairs = pairs_of(prompts)
    for number, pair in enumerate(pairs):
        assert pair.template == number % 2
        assert pair.clean.text.split()[0] == pair.corrupt.text.split()[0] == (
            "When", "Then",
        )[number % 2]  # fmt: skip
        words = words_of(pair)
        assert pair.clean.text.replace(words["IO1"], "") == pair.corrupt.text.replace(
            next(iter({*pair.corrupt.text.replace(",", "").split()} & NAMES - {words["S1"]})), ""
        )


NAMES = set(BUILTIN_WORDS["names"])


def test_one_corrupt_template_is_for_all() -> None:
    corrupt = 'corrupt "When {X} and {S} met, it said"'
    prompts = f"{CLEAN}\n{OTHER}\n {corrupt}\n IO, S, X from names"
    pairs = pairs_of(prompts)
    assert {pair.template for pair in pairs} == {0, 1}
    assert all(pair.corrupt.text.endswith(" met, it said") for pair in pairs)


def test_corrupt_templates_enter_the_plan() -> None:
    def plan_id(corrupt: str) -> str:
        prompts = f'{CLEAN}\n corrupt "{corrupt}"\n IO, S, X from names'
        return compile_plan(circuit_of(text_of(prompts))).id

    one, other = "When {X} and {S} met, {S} thanked", "When {IO} and {X} met, {X} thanked"
    assert plan_id(one) == plan_id(one) != plan_id(other)


def test_rules_and_templates_that_say_the_same_make_the_same_prompts() -> None:
    by_rule = pairs_of(f"{CLEAN}\n corrupt S2 = IO\n IO, S from names")
    template = "When {IO} and {S} met, {IO} thanked"
    by_template = pairs_of(f'{CLEAN}\n corrupt "{template}"\n IO, S from names')
    assert by_rule == by_template, "places, too: the third slot stands opposite to the third"


_SPACED = "Mary John Paul Anna met thanked and it a is isn person really friend"
TOKENIZER = FastTokenizer(
    bpe_tokenizer(
        *(f" {word}" for word in _SPACED.split()), "When", "Then", "So", "That", ",", "'", "t",
        " 17", " 18", " 1", *(f"{n:02}" for n in range(100)), " The", "The", " war", " year",
    )
)  # fmt: skip


def tokens_of(circuit: Circuit) -> Sequence[TokenizedPair]:
    aligned = align(circuit, TOKENIZER)
    assert aligned.diagnostics == ()
    return aligned.tokens


FOUR = 'IO, S, X from "Mary", "John", "Paul", "Anna"'


def test_positions_without_a_counterpart_are_the_clean_prompts() -> None:
    prompts = (
        'clean "So {IO} is a really friend, isn\'t"\n'
        f"corrupt \"That person is a really friend, isn't\"\n{FOUR}"
    )
    circuit = circuit_of(text_of(prompts, "IO, IO+1"))
    assert "CL303" in codes_of(text_of(prompts, "IO, IO+1")), "X stands nowhere"
    for pair in tokens_of(circuit):
        shown = {str(place): pair.shown[index] for place, index in pair.positions.items()}
        assert shown["IO+1"] == " is"
        assert pair.clean[1] == pair.target.tokens[0][0]


@pytest.mark.parametrize(
    "corrupt, code",
    [
        ("When {X} and {S} met, {S} thanked", None),
        ("When {X} met {S} and, {S} thanked", None),  # S1 is the fourth word in either
        ("When {X} {S} and met, {S} thanked", "CL314"),  # the third one only here
        ("When {X} and {S} met, thanked", "CL310"),
        ("When {X} and it met, {S} thanked", None),  # no S once in both: the numbers count
        ("When it and {IO} met, it thanked", "CL314"),  # IO stands once in both, and elsewhere
    ],
)
def test_slots_stand_opposite_to_each_other(corrupt: str, code: str | None) -> None:
    circuit = circuit_of(text_of(f'{CLEAN}\n corrupt "{corrupt}"\n{FOUR}', "S1, IO"))
    assert {d.code for d in align(circuit, TOKENIZER).diagnostics} == ({code} if code else set())


GREATER_THAN = """
  clean   "The war year {XX}{YY} and a year {XX}"
  corrupt YY = "01"
  XX      from "17".."18"
  YY      from "02".."98"
  IO, S   from "Mary", "John"
  sample  60
"""


def test_slots_side_by_side() -> None:
    circuit = circuit_of(text_of(GREATER_THAN, "XX1, YY, XX2, XX1+1, YY-1, YY+1"))
    for pair in tokens_of(circuit):
        shown = {str(place): pair.shown[index] for place, index in pair.positions.items()}
        assert shown["XX1"] in (" 17", " 18")
        assert shown["XX1+1"] == shown["YY"]
        assert 2 <= int(shown["YY"]) <= 98
        assert len(shown["YY"]) == 2
        assert shown["YY-1"] == shown["XX1"]
        assert shown["YY+1"] == " and"
        assert pair.shown[-1] == shown["XX1"], "the prompt ends in a slot, XX2, which is END"
        assert sum(a != b for a, b in zip(pair.clean, pair.corrupt, strict=True)) == 1


def test_slots_that_one_token_fills_together() -> None:
    """A year that is one token has XX and YY on it: other years are two, and no mean is taken."""
    tokenizer = FastTokenizer(
        bpe_tokenizer(" 17", " 1776", " 1701", "The", *(f"{n:02}" for n in range(100)))
    )
    text = 'clean "The {XX}{YY}"\n corrupt YY = "01"\n XX from "17"\n YY from "75", "76"\n'
    prompts = f'{text} IO, S from "17", "18"\n sample 8'
    circuit = circuit_of(text_of(prompts, "YY"))
    aligned = align(circuit, tokenizer)
    assert {len(pair.clean) for pair in aligned.pairs and aligned.tokens} <= {2, 3}
    assert {d.code for d in aligned.diagnostics} >= {"CL310"}, "1775 is two tokens, and 1701 one"


def test_ranges_are_numbers_of_one_width() -> None:
    prompts = GREATER_THAN.replace('"02".."98"', '"02".."11", "50", "97".."99"')
    circuit = circuit_of(text_of(prompts))
    assert circuit.prompts.words_of("YY") == (
        "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "50", "97", "98", "99",
    )  # fmt: skip
    assert circuit.prompts.words_of("XX") == ("17", "18")


@pytest.mark.parametrize(
    "words, code",
    [
        ('"98".."02"', "CL305"), ('"5".."05"', "CL305"), ('"1".."100"', "CL305"),
        ('"7".."7"', "CL305"), ('"-1".."5"', "CL305"), ('"a".."z"', "CL305"),
        ('"1.5".."2.5"', "CL305"), ('"".."9"', "CL305"), ('"٠".."٣"', "CL305"),
        ('" 1"..."5"', "CL110"), ('"1".."5", "3"', "CL202"), ('"00000".."99999"', "CL228"),
        ('"0000".."9999", "a"', "CL228"), (f'"{"0" * 5000}".."{"9" * 5000}"', "CL305"),
    ],
)  # fmt: skip
def test_ranges_that_are_none(words: str, code: str) -> None:
    assert code in codes_of(text_of(GREATER_THAN.replace('"02".."98"', words)))


def test_a_list_that_the_metric_names_needs_no_slot() -> None:
    prompts = f'{CLEAN}\n corrupt S2 = IO\n IO, S from names\n HE from "he"\n SHE from "she"'
    assert codes_of(text_of(prompts)) == ["CL303", "CL303"]
    assert codes_of(text_of(prompts, metric="logit_diff(HE, SHE)")) == []
    assert codes_of(text_of(prompts, metric="logit_diff(HE, S)")) == ["CL303"]


def test_the_lists_of_published_data_sets() -> None:
    sizes = {name: len(words) for name, words in BUILTIN_WORDS.items()}
    assert sizes == {"names": 99, "places": 8, "objects": 8, "nouns": 120, "letters": 26}
    assert all(len(set(words)) == len(words) for words in BUILTIN_WORDS.values())
    assert {"abduction", "war" "fare", "work"} <= {*BUILTIN_WORDS["nouns"]}


def test_a_template_may_begin_with_a_special_token() -> None:
    backend = bpe_tokenizer(*(f" {word}" for word in _SPACED.split()), "When", ",")
    backend.add_special_tokens(["<|endoftext|>"])
    tokenizer = FastTokenizer(backend)
    prompts = f"{CLEAN}\n corrupt S2 = IO\n IO, S from " + '"Mary", "John", "Paul"'
    plain = align(circuit_of(text_of(prompts, "S1, IO, S2-1")), tokenizer)
    marked = prompts.replace('"When', '"<|endoftext|>When')
    begun = align(circuit_of(text_of(marked, "S1, IO, S2-1")), tokenizer)
    assert plain.diagnostics == begun.diagnostics == ()
    for one, other in zip(plain.tokens, begun.tokens, strict=True):
        assert other.clean == (backend.token_to_id("<|endoftext|>"), *one.clean)
        assert other.positions == {place: n + 1 for place, n in one.positions.items()}
        assert other.target == one.target


def test_prompts_without_a_counterpart_are_measured() -> None:
    """The corrupt prompt has no IO: its second token stands opposite to the clean one's IO."""
    text = text_of(
        'clean "When {IO} and {S} had lunch, {S} gave a ring to"\n'
        'corrupt "When it and {S} had lunch, it gave a ring to"\n'
        'IO, S from "Paul", "Sean", "Erin", "Kelly"\n sample 12',
        "IO, END",
    )
    text = text.replace('model "gpt2"', "model builtin ioi_tiny").replace("9.H6", "0.H1")
    circuit = circuit_of(text)
    plan, model = compile_plan(circuit), load_transformer(circuit.model)
    aligned = align(circuit, model.tokenizer)
    assert aligned.diagnostics == ()
    for pair in aligned.tokens:
        assert [*pair.positions.values()] == [1]
        assert model.tokenizer.show(pair.corrupt[1]).strip() == "it"
    evidence = measure(plan, model, aligned.pairs, aligned.tokens)
    assert all(check.holds for check in evidence.self_checks)
    assert evidence.errors == {}


def test_a_list_that_only_a_set_of_the_metric_has_moves_no_prompt() -> None:
    """A word is drawn for a slot that the metric reads or compares with, and for no set."""

    def pairs(more: str, metric: str) -> list[tuple[str, str]]:
        circuit = circuit_of(
            'model "gpt2"\nprompts {\n  clean   "The year {YY} of {A}, 17"\n  corrupt YY = "01"\n'
            f'{more}  YY from "02".."98"\n  A from "x", "y", "z"\n  sample 20 seed 0\n}}\n'
            f"metric {metric}\nedges {{\n  L9.H9 ~> logits\n}}\n"
        )
        drawn = expand(circuit.prompts, circuit.metric)
        return [(pair.clean.text, pair.corrupt.text) for pair in drawn]

    plain = pairs("", "logprob(YY)")
    next_list = '  N from "00".."99"\n'
    assert pairs(next_list, "prob_diff(N > YY, N <= YY)") == plain
    assert pairs(next_list, "logit_diff(max N > YY, max N <= YY)") == plain
    drawn = pairs(next_list, "logprob(N)")
    assert drawn != plain
    assert len(drawn) == len(plain)
