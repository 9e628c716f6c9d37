"""A column of lists: each row of a data file has a set of words of its own."""

import json

import numpy as np
import pytest
from scipy.special import softmax

from circuitlang.circuit import Largest, Metric, ModelReference, WordSet
from circuitlang.circuit.resolve.limits import MAX_SET_WORDS, MAX_WORDS
from circuitlang.engine import load_transformer, measure
from circuitlang.engine.tokenizer import FastTokenizer
from circuitlang.engine.tokens import align
from circuitlang.evidence import Misalignment
from circuitlang.plan import compile_plan
from circuitlang.plan.content import content_id
from tests.front_end import SourceText, read
from tests.tiny_models import tiny_gpt2, vocabulary
from tests.tiny_tokenizers import bpe_tokenizer

PEOPLE = ("Ann", "Bob", "Cid", "Dan", "Eve")
TOKENIZER = FastTokenizer(bpe_tokenizer(*(f" {word}" for word in (*PEOPLE, "met", "1", "2", "3"))))


def text_of(metric, name="pairs.jsonl", model='"gpt2"', settings="", words=""):
    return (
        f'model {model}\nprompts {{\n  from "{name}"\n{words}}}\nmetric {metric}\n'
        f"claims {{\n  ablate L1.H1 >= 1% by resample\n}}\n{settings}"
    )


def row(a, b, right, wrong, **more):
    return {"clean": f"Then {a} met {b} and", "corrupt": f"Then {b} met {a} and",
            "answer": right[0] if right else a, "right": right, "wrong": wrong} | more  # fmt: skip


ROWS = [
    row("Ann", "Bob", ["Ann"], ["Bob", "Cid"]),
    row("Bob", "Ann", [" Bob", "Dan"], ["Eve", " Ann", "Eve"]),
    row("Cid", "Dan", ["Cid"], ["Dan"]),
    row("Dan", "Eve", ["Dan", "Ann"], ["Bob", "Cid", "Eve"]),
    row("Eve", "Ann", ["Eve"], ["Ann"]),
]


def answered(folder, text, rows=ROWS):
    lines = "".join(json.dumps(each) + "\n" for each in rows)
    (folder / "pairs.jsonl").write_text(lines, encoding="utf-8")
    _, circuit, diagnostics = read(SourceText("a.circuit", text), folder)
    return circuit, diagnostics


def circuit_in(folder, text, rows=ROWS):
    circuit, diagnostics = answered(folder, text, rows)
    assert circuit is not None, diagnostics
    return circuit


def refused(folder, text, rows=ROWS):
    circuit, diagnostics = answered(folder, text, rows)
    assert circuit is None
    return [(d.code, d.message) for d in diagnostics]


def token(word):
    (only,), _ = TOKENIZER.encode(f" {word.strip()}")
    return only


@pytest.mark.parametrize(
    ("metric", "of_row"),
    [
        ("logit_diff(answer, max wrong)", lambda r: ([r["answer"]], r["wrong"])),
        ("logit_diff(max right, max wrong)", lambda r: (r["right"], r["wrong"])),
        ("prob_diff(right, wrong)", lambda r: (r["right"], r["wrong"])),
        ("prob_diff(answer, wrong != answer)", lambda r: ([r["answer"]], r["wrong"])),
        ('logit_diff("met", max wrong != answer)', lambda r: (["met"], r["wrong"])),
    ],
)
def test_each_row_is_read_on_its_own_words(tmp_path, metric, of_row):
    circuit = circuit_in(tmp_path, text_of(metric))
    assert str(circuit.metric) == metric
    aligned = align(circuit, TOKENIZER)
    assert not aligned.diagnostics
    for pair, written in zip(aligned.tokens, ROWS, strict=True):
        own = [dict.fromkeys(map(token, words)) for words in of_row(written)]
        assert [list(tokens) for tokens in pair.target.tokens] == [list(each) for each in own]


def test_a_list_may_hold_the_answer_that_is_left_out(tmp_path):
    rows = [each | {"wrong": [*each["wrong"], each["answer"]]} for each in ROWS]
    metric = "logit_diff(answer, max wrong != answer)"
    aligned = align(circuit_in(tmp_path, text_of(metric), rows), TOKENIZER)
    assert not aligned.diagnostics
    for pair, written in zip(aligned.tokens, ROWS, strict=True):
        assert set(pair.target.tokens[1]) == {token(word) for word in written["wrong"]}


def test_numbers_are_compared_in_each_row(tmp_path):
    lists = (["1", "2", "3"], ["2", "3"], ["3", "1"], ["1", "2"], ["2", "1"])
    rows = [each | {"wrong": own, "L": "2"} for each, own in zip(ROWS, lists, strict=True)]
    for sign, of in ((">=", lambda n: n >= 2), ("<", lambda n: n < 2), ("!=", lambda n: n != 2)):
        circuit = circuit_in(tmp_path, text_of(f"prob_diff(answer, wrong {sign} L)"), rows)
        expected = [[token(n) for n in own if of(int(n))] for own in lists]
        found = align(circuit, TOKENIZER)
        kept = [list(words) for words in expected if words]
        assert len(found.diagnostics) == (len(kept) < len(lists))
        assert [[token(w) for w in pair.words[1]] for pair in found.pairs] == expected
    assert refused(tmp_path, text_of("prob_diff(answer, wrong > answer)"))[0][0] == "CL330"


def test_a_reader_sees_the_words(tmp_path):
    many = [ROWS[0] | {"wrong": [*PEOPLE[1:], "met", "1", "2", "3"]}, *ROWS[1:]]
    aligned = align(circuit_in(tmp_path, text_of("logit_diff(answer, max wrong)"), many), TOKENIZER)
    shown = [(pair.answer, pair.distractor) for pair in aligned.pairs]
    assert shown[0] == ("Ann", "max wrong (Bob, Cid, Dan, Eve, met, 1, ...)")
    assert shown[1] == ("Bob", "max wrong (Eve, Ann)")


@pytest.mark.parametrize("settings", ["", "test {\n  pairs misaligned skip\n}\n"])
@pytest.mark.parametrize(
    ("wrong", "code", "message"),
    [
        ([], "CL331", "`max wrong` is empty, in 1 pair (the first is pair 2)"),
        (
            ["Ann", "Bob"],
            "CL332",
            "`answer` and `max wrong` have `Bob` in common, in 1 pair (the first is pair 2)",
        ),
    ],
)
def test_a_set_that_fails_makes_its_own_pair_misaligned(tmp_path, settings, wrong, code, message):
    rows = [each | {"wrong": wrong} if number == 1 else each for number, each in enumerate(ROWS)]
    text = text_of("logit_diff(answer, max wrong)", settings=settings)
    aligned = align(circuit_in(tmp_path, text, rows), TOKENIZER)
    assert [(p.number, p.reason) for p in aligned.misaligned] == [(2, Misalignment.SET)]
    if settings:
        assert not aligned.diagnostics
        assert [pair.number for pair in aligned.tokens] == [1, 3, 4, 5]
    else:
        assert [(d.code, d.message) for d in aligned.diagnostics] == [(code, message)]


@pytest.mark.parametrize(
    ("change", "metric", "told"),
    [
        ({"wrong": []}, "logit_diff(answer, max wrong)", "CL331"),
        ({"wrong": []}, "prob_diff(right, wrong)", "CL331"),
        ({"wrong": ["Ann", "Bob", "Cid", "Dan", "Eve"]}, "logit_diff(answer, max wrong)", "CL332"),
        ({"wrong": ["Ann", "Bob", "Cid", "Dan", "Eve"]}, "prob_diff(right, wrong)", "CL332"),
        ({}, "logit_diff(answer, wrong)", "CL226"),
        ({}, "logit_diff(wrong, answer)", "CL226"),
        ({}, "prob(wrong)", "CL226"),
        ({}, "prob_diff(right, wrong != right)", "CL301"),
        ({}, "prob_diff(right, right)", "CL332"),
        ({}, "logit_diff(answer, max wrogn)", "CL322"),
        ({"answer": ["Ann"]}, "loss", "CL226"),
        ({"wrong": [["Bob"]]}, "logit_diff(answer, max wrong)", "CL323"),
        ({"wrong": [3]}, "logit_diff(answer, max wrong)", "CL323"),
        ({"wrong": ["Bob "]}, "logit_diff(answer, max wrong)", "CL323"),
        ({"wrong": {"Bob": 1}}, "logit_diff(answer, max wrong)", "CL323"),
        ({"wrong": '["Bob", "Cid"]'}, "logit_diff(answer, max wrong)", "CL323"),
        ({"wrong": ["Bob"] * (MAX_SET_WORDS + 1)}, "logit_diff(answer, max wrong)", "CL323"),
        ({"wrong": None}, "logit_diff(answer, max wrong)", "CL323"),
    ],
)
def test_what_no_row_can_be_measured_with_is_refused(tmp_path, change, metric, told):
    found = refused(tmp_path, text_of(metric), [each | change for each in ROWS])
    assert {code for code, _ in found} == {told}


def test_a_column_has_lists_or_it_has_none(tmp_path):
    text = text_of("logit_diff(answer, max wrong)")
    one = [ROWS[0] | {"wrong": "Bob"}, *ROWS[1:]]
    message = "pairs.jsonl:1: `wrong` is no list of words, as it is in other rows"
    assert refused(tmp_path, text, one) == [("CL323", message)]
    all_but_one = [ROWS[0], *(each | {"wrong": "Bob"} for each in ROWS[1:])]
    message = "pairs.jsonl:1: `wrong` is not a text"
    assert refused(tmp_path, text, all_but_one) == [("CL323", message)]


def test_lists_have_so_many_different_words(tmp_path):
    words = [f"w{number}" for number in range(MAX_WORDS + 1)]
    cut = range(0, len(words), MAX_SET_WORDS)
    rows = [
        row("Ann", "Bob", ["Ann"], words[at : at + MAX_SET_WORDS]) | {"clean": f"Then {at}"}
        for at in cut
    ]
    found = refused(tmp_path, text_of("logit_diff(answer, max wrong)"), rows)
    assert [code for code, _ in found] == ["CL228"]
    assert answered(tmp_path, text_of("logit_diff(answer, max wrong)"), rows[:-1])[0] is not None


def test_a_table_has_no_lists(tmp_path):
    lines = ["clean,corrupt,answer,wrong", 'Then Ann,Then Bob,Ann,"[""Bob"", ""Cid""]"']
    (tmp_path / "pairs.csv").write_text("\n".join(lines), encoding="utf-8")
    text = text_of("logit_diff(answer, max wrong)", "pairs.csv")
    _, circuit, (found,) = read(SourceText("a.circuit", text), tmp_path)
    assert circuit is None
    message = "pairs.csv:2: `wrong` is a list in a text, and lists are for `.jsonl` files"
    assert (found.code, found.message) == ("CL323", message)


def test_ids_of_other_sets_stay_what_they_were():
    """An id that was seen before there were sets of rows: saved evidence depends on it."""
    metric = Metric("logit_diff", "IO", Largest(WordSet("S", "!=", "IO", ("Ann", "Bob"))))
    assert content_id(metric) == SEEN
    own = Metric("logit_diff", "IO", Largest(WordSet("S", "!=", "IO", (), of_rows=True)))
    assert content_id(own) != SEEN


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_gpt2(tmp_path_factory.mktemp("sets") / "tiny")


NAMES = ("Michael", "Jessica", "Ashley", "Matthew", "David", "James")


@pytest.mark.parametrize("metric", ["logit_diff(answer, max wrong)", "prob_diff(right, wrong)"])
def test_a_run_is_scored_on_each_rows_words(tmp_path, folder, metric):
    """Against the logits of transformers itself."""
    import torch
    from transformers import GPT2LMHeadModel

    rows = []
    for number, answer in enumerate(NAMES):
        others = [name for name in NAMES if name != answer]
        texts = [f"Then, {a} and {b} went to the" for a, b in (others[:2], others[2:4])]
        rows.append({"clean": texts[0], "corrupt": texts[1], "answer": answer,
                     "right": [answer, "park"], "wrong": others[: 1 + number % 4]})  # fmt: skip
    circuit = circuit_in(tmp_path, text_of(metric, model=f'"{folder}"', settings=LOOSE), rows)
    model = load_transformer(ModelReference("name", str(folder)))
    aligned = align(circuit, model.tokenizer)
    assert not aligned.diagnostics
    plan = compile_plan(circuit)
    evidence = measure(plan, model, aligned.pairs, aligned.tokens)
    plain = GPT2LMHeadModel.from_pretrained(folder).eval()
    ids = vocabulary()
    for world, found in (("clean", evidence.clean), ("corrupt", evidence.corrupt)):
        for written, value in zip(rows, found, strict=True):
            words = [ids[word] for word in written[world].replace(",", " ,").split()]
            with torch.no_grad():
                logits = plain(torch.tensor([words])).logits[0, -1].double().numpy()
            wrong = [ids[word] for word in written["wrong"]]
            if metric.startswith("logit_diff"):
                expected = logits[ids[written["answer"]]] - max(logits[each] for each in wrong)
            else:
                shares = softmax(logits)
                expected = sum(shares[ids[word]] for word in written["right"])
                expected -= sum(shares[each] for each in wrong)
            assert value == pytest.approx(expected, abs=2e-4)
    assert np.std(evidence.clean) > 1e-3


SEEN = "14b0faacb529"
LOOSE = "test {\n  significance 20% correction none\n  random edges 0\n  resamples 1000\n}\n"
