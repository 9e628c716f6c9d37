"""`max SET` in a logit difference, and `!=`: a set's words, and what is read of its logits."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from circuitlang.circuit import Largest, Metric, WordSet
from circuitlang.engine.attribution import attributions
from circuitlang.engine.choice import agreement
from circuitlang.engine.fast import FastEngine
from circuitlang.engine.readout import Readout
from circuitlang.engine.target import Target
from circuitlang.engine.tokenizer import FastTokenizer
from circuitlang.engine.tokens import align
from tests.engine_models import VOCABULARY, bench, gpt2
from tests.front_end import circuit_of, codes_of
from tests.test_engine_oracle import expected, sample_edges
from tests.tiny_tokenizers import bpe_tokenizer

TEXT = """
model "gpt2"
prompts {{
  clean   "When {{IO}} met {{S}} of {{N}}, {{S}} saw"
  corrupt S2 = IO
  IO, S   from "Ann", "Bob", "Cid", "Dan"
  N       from "1", "2", "3"
  OTHER   from "he", "she"
  {words}
}}
metric {metric}
edges {{
  L9.H9 -> logits >= 5%
}}
"""
PIECES = tuple(f" {word}" for word in ("Ann", "Bob", "Cid", "Dan", "he", "she", "1", "2", "3"))
EXACT = 1e-9


def written(metric, words=""):
    return TEXT.format(metric=metric, words=words)


@pytest.mark.parametrize(
    ("metric", "is_read"),
    [
        ("logit_diff(IO, max S != IO)", lambda io, s: ("Ann Bob Cid Dan".replace(io, "").split())),
        ("logit_diff(IO, max S != S)", None),
        ("logit_diff(IO, max OTHER)", lambda io, s: ["he", "she"]),
        ("prob_diff(IO, S != IO)", lambda io, s: ("Ann Bob Cid Dan".replace(io, "").split())),
    ],
)
def test_a_set_has_the_words_that_differ_as_texts(metric, is_read):
    found = align(circuit_of(written(metric)), FastTokenizer(backend := bpe_tokenizer(*PIECES)))
    if is_read is None:  # without S the set still has IO
        assert [d.code for d in found.diagnostics] == ["CL332"]
        return
    assert not found.diagnostics
    assert len({pair.target.tokens for pair in found.tokens}) > 1
    for pair, tokens in zip(found.pairs, found.tokens, strict=True):
        _, io, _, s, *_ = pair.clean.text.split()
        ids = [[backend.token_to_id(f"Ġ{word}") for word in words]
               for words in ([io], is_read(io, s))]  # fmt: skip
        assert [list(each) for each in tokens.target.tokens] == ids
        assert pair.distractor == metric.split(", ")[1][:-1].replace("!= IO", f"!= {io}")


def test_numbers_are_other_words_as_texts_too():
    metric = circuit_of(written('logit_diff("he", max N != N)')).metric
    assert metric.distractor.words.than("2") == ("1", "3")
    assert metric.distractor.words.than("02") == ("1", "2", "3")


def test_what_is_written_is_what_is_read():
    words = ("he", "she")
    for text, distractor in (
        ("max OTHER", Largest(WordSet("OTHER", "", "", words))),
        ("max OTHER != IO", Largest(WordSet("OTHER", "!=", "IO", words))),
    ):
        metric = circuit_of(written(f"logit_diff(IO, {text})")).metric
        assert metric == Metric("logit_diff", "IO", distractor)
        assert str(metric) == f"logit_diff(IO, {text})"
        assert metric.reads_whole_vocabulary
        assert not metric.is_linear


@pytest.fixture(scope="module")
def b():
    return bench(gpt2, seed=5)


@pytest.fixture(scope="module")
def edges(b):
    return list(sample_edges(b, 4))


def sets(prompts):
    """A token and a set of others for each prompt, of many sizes."""
    draw = np.random.default_rng(3)
    for _ in range(prompts):
        order = draw.permutation(VOCABULARY - 1).tolist()
        yield Target("logit_diff", ((order[0],), tuple(order[1 : 2 + int(draw.integers(1, 9))])))


def top(target, row):
    """The token of the set with the largest of these logits ``[vocab]``."""
    return max(target.tokens[1], key=lambda token: row[token])


@pytest.mark.parametrize("fast", [False, True], ids=["reference", "fast"])
def test_each_run_is_scored_by_the_largest_of_its_own_logits(b, edges, fast):
    chosen = list(sets(len(b.batch.rows)))
    batch = replace(b.batch, readout=Readout.of(chosen, torch.device("cpu")))
    engine = FastEngine(b.model, b.engine.means) if fast else b.engine
    ours = batch.metric_of(engine.answers(edges, engine.worlds(batch))).numpy()
    logits = np.stack([expected(b, edge).numpy() for edge in edges])
    largest = [[top(t, row) for t, row in zip(chosen, run, strict=True)] for run in logits]
    theirs = [
        [row[t.tokens[0][0]] - row[best] for t, row, best in zip(chosen, run, tops, strict=True)]
        for run, tops in zip(logits, largest, strict=True)
    ]
    assert np.abs(ours - np.array(theirs)).max() < EXACT
    # Which word that is differs from run to run.
    assert any(len(set(column)) > 1 for column in zip(*largest, strict=True))
    if fast:
        check = agreement(engine, b.engine, edges, engine.worlds(batch), b.engine.worlds(batch))
        assert check.passed


def test_the_slope_is_that_of_the_largest_word_in_the_clean_run(b):
    chosen = list(sets(len(b.batch.rows)))
    pairs = zip(chosen, b.worlds.clean.logits.tolist(), strict=True)
    alone = [replace(t, tokens=(t.tokens[0], (top(t, row),))) for t, row in pairs]
    found = []
    for targets in (chosen, alone):
        batch = replace(b.batch, readout=Readout.of(targets, torch.device("cpu")))
        found.append(list(attributions(b.model, b.engine.worlds(batch))))
    for ours, theirs in zip(*found, strict=True):
        assert (ours.estimates - theirs.estimates).abs().max() < EXACT


def test_it_is_no_sum_of_what_parts_write():
    text = written("logit_diff(IO, max S != IO)")
    text += "claims {\n  direct_effect L9.H9 >= 10%\n}\n"
    assert codes_of(text) == ["CL303", "CL222"]
    assert codes_of(text.replace("max S != IO", "S")) == ["CL303"]


FILE = """
model "gpt2"
prompts {{
  from  "pairs.csv"
  {words}
}}
metric {metric}
edges {{
  L9.H9 -> logits >= 5%
}}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    people = ("Ann", "Bob", "Cid", "Dan")
    rows = ["clean,corrupt,answer"]
    rows += [f"When {a} met {b},When {b} met {a},{a}" for a in people for b in people if a != b]
    (tmp_path / "pairs.csv").write_text("\n".join(rows), encoding="utf-8")


def test_a_list_stands_beside_a_data_file(folder):
    words = 'NAME from "Ann", "Bob", "Cid", "Dan"'
    text = FILE.format(words=words, metric="logit_diff(answer, max NAME != answer)")
    found = align(circuit_of(text), FastTokenizer(backend := bpe_tokenizer(*PIECES)))
    assert not found.diagnostics
    people = {backend.token_to_id(f"Ġ{name}") for name in ("Ann", "Bob", "Cid", "Dan")}
    for pair, tokens in zip(found.pairs, found.tokens, strict=True):
        ((answer,), others) = tokens.target.tokens
        assert answer == backend.token_to_id(f"Ġ{pair.clean.text.split()[1]}")
        assert {*others} == people - {answer}


def test_a_column_is_a_list_of_its_own_words(folder):
    text = FILE.format(words="", metric="logit_diff(answer, max answer != answer)")
    metric = circuit_of(text).metric
    assert metric.distractor.words.words == ("Ann", "Bob", "Cid", "Dan")


@pytest.mark.parametrize(
    ("words", "metric", "codes"),
    [
        ('NAME from "Ann", "Bob"', "logit_diff(answer, NAME)", ["CL301"]),
        ('NAME from "Ann", "Bob"', "logit_diff(answer, max answer != NAME)", ["CL301"]),
        ('answer from "Ann", "Bob"', "logit_diff(answer, max answer != answer)", ["CL309"]),
        ('NAMES from "Ann"', "logit_diff(answer, max NAME != answer)", ["CL301", "CL303"]),
        ('corrupt S = "Ann"', "logit_diff(answer, max answer != answer)", ["CL225"]),
    ],
)
def test_what_a_list_beside_a_data_file_is_not(folder, words, metric, codes):
    assert sorted({*codes_of(FILE.format(words=words, metric=metric))}) == codes
