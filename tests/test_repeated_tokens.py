"""Random tokens that repeat, on small vocabularies, against what docs/language.md says of them."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from scipy.stats import chisquare
from typer.testing import CliRunner

from circuitlang.circuit import Circuit, expand
from circuitlang.circuit.prompts import RepeatedTokens
from circuitlang.circuit.repetition import draw_tokens
from circuitlang.cli.main import app
from circuitlang.engine.tokenizer import FastTokenizer
from circuitlang.engine.tokens import align
from circuitlang.plan import check_design, compile_plan
from circuitlang.plan.reach import Design
from tests.commands import called
from tests.front_end import circuit_of
from tests.tiny_tokenizers import bpe_tokenizer, word_tokenizer

WORDS = [f"w{number}" for number in range(40)]
TOKENIZER = FastTokenizer(word_tokenizer(*WORDS))


def circuit_with(
    arguments: str,
    sample: str = "sample 12 seed 0",
    at: str = "A1, B1, END",
    claims: str = "ablate X >= 5% by resample",
    metric: str = "logit_diff(answer, distractor)",
) -> Circuit:
    return circuit_of(
        f'model "gpt2"\nprompts {{\n  repeated_tokens({arguments})\n  {sample}\n}}\n'
        f"metric {metric}\nnodes {{\n  X L9.H6 at {at}\n}}\n"
        f"claims {{\n  {claims}\n}}\n"
    )


SHAPES = [
    (length, repeats, end, change)
    for length, repeats, end in ((6, 2, None), (6, 2, 3), (5, 4, 1), (2, 2, 1), (20, 3, 12))
    for change in ("A", "B", "copy")
]


@pytest.mark.parametrize("length, repeats, end, change", SHAPES)
def test_a_prompt_is_what_is_said(length: int, repeats: int, end: int | None, change: str) -> None:
    arguments = f"length = {length}, repeats = {repeats}, change = {change}"
    arguments += "" if end is None else f", end = {end}"
    last = length - 1 if end is None else end
    names = ", ".join(f"A{n}, B{n}" for n in range(1, repeats))
    aligned = align(circuit_with(arguments, at=f"{names}, A{repeats}, END"), TOKENIZER)
    assert aligned.diagnostics == ()
    assert len(aligned.tokens) == 12
    for pair in aligned.tokens:
        copy = pair.clean[:length]
        assert len(set(copy)) == length
        assert pair.clean == (copy * repeats)[: length * (repeats - 1) + last]
        (answer,), (distractor,) = pair.target.tokens
        assert answer == copy[last], "what followed the token at END before"
        assert answer != distractor
        other = pair.corrupt[:length]
        assert pair.corrupt[: length * (repeats - 1)] == other * (repeats - 1)
        assert pair.corrupt[length * (repeats - 1) :] == copy[:last]
        differ = [index for index in range(length) if copy[index] != other[index]]
        assert differ == {"A": [last - 1], "B": [last], "copy": [*range(length)]}[change]
        if change == "A":
            assert distractor not in pair.clean
            assert distractor == other[last - 1]
        else:
            assert distractor == other[last]
        places = {str(position): index for position, index in pair.positions.items()}
        for n in range(1, repeats):
            assert places[f"A{n}"] == (n - 1) * length + last - 1
            assert pair.clean[places[f"A{n}"]] == copy[last - 1]
        assert pair.clean[-1] == copy[last - 1], "the last A is END"
        for n in range(1, repeats):
            assert pair.clean[places[f"B{n}"]] == answer


def test_a_text_before_is_not_drawn() -> None:
    backend = word_tokenizer(*WORDS)
    backend.add_special_tokens(["<bos>"])
    tokenizer = FastTokenizer(backend)
    before = align(circuit_with('length = 6, before = "<bos>"'), tokenizer).tokens
    plain = align(circuit_with("length = 6"), tokenizer).tokens
    first = backend.token_to_id("<bos>")
    assert [p.clean for p in before] == [(first, *p.clean) for p in plain]
    assert [p.corrupt for p in before] == [(first, *p.corrupt) for p in plain]
    assert [p.target for p in before] == [p.target for p in plain]
    for one, other in zip(before, plain, strict=True):
        assert one.positions == {place: n + 1 for place, n in other.positions.items()}


def test_an_unknown_text_before_is_named_as_the_file_writes_it() -> None:
    tokenizer = FastTokenizer(word_tokenizer(*WORDS))
    (found,) = align(
        circuit_with('length = 6, before = "Whenever they"'), tokenizer
    ).diagnostics
    assert (found.code, found.message) == (
        "CL315",
        "`Whenever`, `they` are unknown to this tokenizer",
    )


def test_special_and_broken_tokens_are_not_drawn() -> None:
    backend = bpe_tokenizer(" Mary", " John", "met", ",")
    backend.add_special_tokens(["<|endoftext|>", "<pad>"])
    tokenizer = FastTokenizer(backend)
    shown = [tokenizer.show(token) for token in tokenizer.words()]
    assert {" Mary", " John", "met", ",", "a", "Z"} <= {*shown}
    assert not {"<|endoftext|>", "<pad>", " ", "", "\\n", "\x00", "\x1b"} & {*shown}
    assert all("\ufffd" not in text for text in shown)
    assert list(tokenizer.words()) == sorted(tokenizer.words())
    words = FastTokenizer(word_tokenizer(*WORDS))
    assert [words.show(token) for token in words.words()] == WORDS, "all but the unknown one"


def test_every_token_is_as_likely_as_any_other() -> None:
    generator = RepeatedTokens(6, 2, 5, "B")
    random = Random(5)
    drawn = [draw_tokens(generator, random).tokens(range(10)) for _ in range(2_000)]
    assert all(len({*tokens}) == 7 for tokens in drawn)
    for place in range(7):
        counts = Counter(tokens[place] for tokens in drawn)
        assert chisquare([counts[token] for token in range(10)]).pvalue > 1e-4
    pairs = Counter((tokens[0], tokens[6]) for tokens in drawn)
    assert len(pairs) == 90
    assert chisquare([*pairs.values()]).pvalue > 1e-4


def test_all_tokens_may_be_used_up() -> None:
    (tokens,) = (align(circuit_with("length = 39", "sample 4"), TOKENIZER).tokens[:1],)
    assert len({*tokens[0].clean, *tokens[0].corrupt}) == 40
    for arguments in ("length = 40", "length = 21, change = copy"):
        aligned = align(circuit_with(arguments, "sample 4"), TOKENIZER)
        assert [d.code for d in aligned.diagnostics] == ["CL325"]
        assert aligned.tokens == aligned.pairs == ()


def test_the_draw_is_the_same_everywhere() -> None:
    circuit = circuit_with("length = 4, repeats = 2")
    first, second = (align(circuit, TOKENIZER).tokens for _ in range(2))
    assert first == second
    # Saved evidence depends on the draw, so this may never change. Python's first numbers of seed 0
    # are 0.844, 0.758, 0.421 and 0.259: of 40 words the one after 33 others, and of those left...
    assert [TOKENIZER.show(t) for t in first[0].clean] == FIRST
    other = circuit_with("length = 4, repeats = 2", "sample 12 seed 1")
    assert align(other, TOKENIZER).tokens != first
    assert compile_plan(other).id != compile_plan(circuit).id
    longer = circuit_with("length = 4, repeats = 2", "sample 30 seed 0")
    assert align(longer, TOKENIZER).tokens[:12] == first
    assert compile_plan(circuit_with("length = 5")).id != compile_plan(circuit).id


FIRST = ["w33", "w30", "w17", "w12", "w33", "w30", "w17"]


def test_how_arguments_are_written_does_not_matter() -> None:
    """Evidence outlives the formatter."""
    ways = ("length = 6, repeats = 3, end = 5", "repeats=3,length=6", "length = 6, repeats = 3")
    assert len({compile_plan(circuit_with(arguments)).id for arguments in ways}) == 1
    assert compile_plan(circuit_with("length = 6")).id != compile_plan(circuit_with(ways[0])).id


def test_the_metric_may_be_turned_round() -> None:
    own = align(circuit_with("length = 6"), TOKENIZER)
    turned = align(circuit_with("length = 6", metric="logit_diff(distractor, answer)"), TOKENIZER)
    tokens = [t.target.tokens for t in turned.tokens]
    assert [t.target.tokens for t in own.tokens] == [(other, one) for one, other in tokens]
    shown = [(TOKENIZER.show(one[0]), TOKENIZER.show(other[0])) for one, other in tokens]
    assert [(p.answer, p.distractor) for p in turned.pairs] == shown


def test_other_metrics_read_the_same_tokens() -> None:
    own = align(circuit_with("length = 6"), TOKENIZER).tokens
    for name in ("logprob(answer)", "rank(distractor)", "loss", "kl"):
        tokens = align(circuit_with("length = 6", metric=name), TOKENIZER).tokens
        answers = [t.target.tokens for t in own]
        wanted = {"l": answers, "r": [(two,) for _, two in answers], "k": [()] * 12}[name[0]]
        expected = [one[:1] for one in wanted]
        assert [t.target.tokens for t in tokens] == expected
    fixed = align(circuit_with("length = 6", metric='logit_diff(answer, "w39")'), TOKENIZER)
    last = TOKENIZER.encode("w39")[0][0]
    kept = [t.target.tokens for t in fixed.tokens]
    if kept:
        assert all(other == (last,) and one != other for one, other in kept)
    else:  # w39 is the answer of some pair
        assert {d.code for d in fixed.diagnostics} == {"CL332"}
    nothing = align(circuit_with("length = 6", metric="prob_diff(answer > distractor, answer <= "
                                 "distractor)"), TOKENIZER)  # fmt: skip
    assert {d.code for d in nothing.diagnostics} == {"CL331"}


def test_designs_count_generated_prompts() -> None:
    circuit = circuit_with("length = 6", "sample 60")
    assert check_design(circuit) == ()
    assert Design.of(circuit).per_template == (60,)
    assert len(set(expand(circuit.prompts, circuit.metric))) == 60
    few = check_design(circuit_with("length = 6", "sample 3"))
    assert {d.code for d in few} == {"CL229"}
    assert replace(circuit.prompts, sample=61).shares == (61,)


FILE = """
model builtin ioi_tiny

prompts {
  repeated_tokens(length = 6, repeats = 2)
  sample 24
}

metric logit_diff(answer, distractor)

nodes {
  Y L3.H1 at END
}

edges {
  L0.H1 ~> Y.Q
}

claims {
  ablate Y >= 1% by mean
}

test {
  random edges 2
}
"""


def test_the_whole_way(tmp_path: Path) -> None:
    """Measured, saved, judged again; evidence of another draw is refused."""
    file, saved = tmp_path / "a.circuit", tmp_path / "a.evidence.json"
    file.write_text(FILE)
    run = CliRunner().invoke(app, ["run", str(file), "--quiet", "--evidence", str(saved)])
    assert "Self-checks" in run.stdout
    assert "failed" not in run.stdout.split("Self-checks")[1].split("Settings")[0]
    again = CliRunner().invoke(app, ["judge", str(file), str(saved)])
    assert again.exit_code == run.exit_code
    assert again.stdout.splitlines()[-1] == run.stdout.splitlines()[-1]
    for change in ("length = 7", "length = 6, change = A"):
        file.write_text(FILE.replace("length = 6", change))
        refused = CliRunner().invoke(app, ["judge", str(file), str(saved)])
        assert refused.exit_code == 2
        assert "belongs to another hypothesis" in refused.output
    planned = CliRunner().invoke(app, ["plan", str(file)])
    assert "prompts of 11 tokens" in planned.stdout


def test_prompts_longer_than_the_model_reads_are_told_without_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The built-in induction model has 16 positions; two copies of 8 without the last token fit."""
    file = tmp_path / "long.circuit"
    for length, fits in ((9, False), (8, True)):
        file.write_text(
            f"model builtin induction\nprompts {{\n  repeated_tokens(length = {length})\n"
            "  sample 12 seed 0\n}\nmetric logit_diff(answer, distractor)\n"
            "claims {\n  baseline >= -900 logits\n}\n"
        )
        for command in (("check", "--tokens"), ("plan",)):
            outcome = called(capsys, *command, file)
            assert outcome.code == (0 if fits else 2), outcome.err
            message = "error[CL326]: a prompt has 17 tokens, and the model reads 16"
            assert (f"long.circuit:3:3: {message}" in outcome.err) is not fits
