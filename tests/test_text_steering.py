"""`steer` by the difference of two quoted texts (Turner et al. 2023).

Parts' outputs are held against the oracle's forward pass over the texts, streams against hooks
written out here; of no token is more than its own text before it.
"""

from dataclasses import replace

import pytest
import torch

from circuitlang.circuit import AT_END, Activation, ActivationSite
from circuitlang.engine import load_transformer, measure
from circuitlang.engine.choice import EngineName, agreement
from circuitlang.engine.errors import RunError
from circuitlang.engine.fast import FastEngine
from circuitlang.engine.means import MeanOutputs
from circuitlang.engine.notes import notes
from circuitlang.engine.reference import ReferenceEngine
from circuitlang.engine.text_contrast import TextContrast
from circuitlang.engine.text_tokens import text_tokens
from circuitlang.engine.tokenizer import FastTokenizer
from circuitlang.engine.tokens import align, tokenize
from circuitlang.evidence import CheckName
from circuitlang.plan import Experiment, SteerByTexts, Use, compile_plan, experiment_id
from circuitlang.report import render_terminal
from circuitlang.source import SourceText
from circuitlang.verdict import judge
from tests.engine_models import FAMILIES, P1, P2, bench, gpt2, llama
from tests.front_end import circuit_of, codes_of
from tests.oracle import path_patching as oracle
from tests.sample_report import sample_report
from tests.test_patching import EMBEDDING, tolerance
from tests.tiny_models import circuit_text, tiny_gpt2
from tests.tiny_tokenizers import bpe_tokenizer

SPACE = 7


class Letters:
    """A token for each letter, `A` is 0; a space is a token, too."""

    unknown_id = None

    def __init__(self, space=SPACE):
        self.space = space

    def encode(self, text):
        known = [c for c in text if c != " " or self.space is not None]
        ids = [self.space if c == " " else ord(c) - ord("A") for c in known]
        return ids, [(i, i + 1) for i in range(len(ids))]

    def show(self, token):
        return chr(token + ord("A"))

    def words(self):
        return range(40)


def text_of(ids):
    return "".join(chr(int(i) + ord("A")) for i in ids)


def engines(model, *runs, tokenizer=None):
    """Both engines with the texts of some interventions run."""
    means = MeanOutputs((), per_template=True)
    means.add_texts(model, tokenizer or Letters(), runs)
    return ReferenceEngine(model, means), FastEngine(model, means)


CELL, HEAD = ActivationSite(Activation.POST, 1, 3), ActivationSite(Activation.Z, 1, 2)
MLP = ActivationSite(Activation.MLP_OUT, 0)
NODES = {
    HEAD: oracle.Node("head", 1, 2),
    MLP: oracle.Node("mlp", 0),
    CELL: oracle.Node("neuron", 1, 3),
    EMBEDDING: oracle.Node("embed"),
}


@pytest.mark.parametrize("make", [gpt2, llama], ids=lambda f: f.__name__)
@pytest.mark.parametrize("sites", [[site] for site in NODES] + [[HEAD, CELL, MLP]], ids=str)
def test_parts_equal_the_oracles(make, sites):
    """Token by token from the first on, the shorter text with a space behind it; and the
    difference of the last tokens at positions, each text run alone."""
    b = bench(make, seed=5)
    net = oracle.taken_apart(oracle.read(b.plain), [(1, 3)])
    filled = oracle.run(net, torch.tensor([[2, 11, 4, 9], [30, 6, 8, SPACE]])).writes
    long = oracle.run(net, torch.tensor([[2, 11, 4, 9]])).writes
    short = oracle.run(net, torch.tensor([[30, 6, 8]])).writes
    mask = b.batch.mask((P1, P2))

    def spread(node, out):
        if node in steered:
            out = out.clone()
            out[:, :4] += 1.5 * (filled[node][0] - filled[node][1])
        return out

    def last(node, out):
        change = 1.5 * (long[node][0, -1] - short[node][0, -1])
        return out + mask[..., None] * change if node in steered else out

    steered = [NODES[site] for site in sites]
    texts = text_of([2, 11, 4, 9]), text_of([30, 6, 8])
    for place, on_write in (((), spread), ((P1, P2), last)):
        theirs = oracle.run(net, b.batch.clean, on_write=on_write).logits[:, -1]
        run = SteerByTexts.ordered(tuple(sites), place, 1.5, texts)
        turned = SteerByTexts.ordered(tuple(sites), place, -1.5, texts[::-1])
        assert experiment_id(turned) == experiment_id(run)
        for engine in engines(b.model, run):
            ours = engine.logits(run, engine.worlds(b.batch))
            assert float((ours - theirs).abs().max()) < tolerance(make), engine.name
        assert float((theirs - b.worlds.clean.logits).abs().max()) > 1e-3


STREAMS = {
    Activation.RESID_PRE: ("hook_resid_pre", "hook_resid_pre"),
    # Behind its own hook the stream keeps its value: what attention adds to it is another name.
    Activation.RESID_MID: ("hook_resid_mid", "hook_attn_out"),
    Activation.RESID_POST: ("hook_resid_post", "hook_resid_post"),
    Activation.ATTN_OUT: ("hook_attn_out", "hook_attn_out"),
    Activation.MLP_OUT: ("hook_mlp_out", "hook_mlp_out"),
}


@pytest.mark.parametrize("activation", STREAMS)
def test_streams_equal_hooks_by_hand(activation):
    """As the paper's own code does it: padded on the right, added from the front."""
    b = bench(gpt2, seed=8)
    bridge, (read, written) = b.model.bridge, STREAMS[activation]
    rows = torch.tensor([[5, 12, 3], [22, SPACE, SPACE]])
    with torch.no_grad():
        _, cache = bridge.run_with_cache(rows)
    added = 4.0 * (cache[f"blocks.1.{read}"][0] - cache[f"blocks.1.{read}"][1])

    def hook(value, hook):
        value = value.clone()
        value[:, :3] += added
        return value

    with torch.no_grad():
        hooks = [(f"blocks.1.{written}", hook)]
        theirs = bridge.run_with_hooks(b.batch.clean, fwd_hooks=hooks, return_type="logits")[:, -1]
    texts = text_of([5, 12, 3]), text_of([22])
    run = SteerByTexts.ordered((ActivationSite(activation, 1),), (), 4.0, texts)
    for engine in engines(b.model, run):
        ours = engine.logits(run, engine.worlds(b.batch))
        assert float((ours - theirs).abs().max()) < 1e-9, engine.name
    assert float((theirs - b.worlds.clean.logits).abs().max()) > 1e-2


@pytest.mark.parametrize("make", FAMILIES, ids=lambda f: f.__name__)
def test_the_engines_agree(make):
    b, texts = bench(make, seed=9), ("ABQ", "FG")
    runs = [
        SteerByTexts(sites, place, factor, texts)
        for sites in ((HEAD, MLP, CELL), (EMBEDDING,), (ActivationSite(Activation.ATTN_OUT, 0),))
        for place, factor in (((), 2.0), ((AT_END, P1), -1.0))
    ]
    slow, fast = engines(b.model, *runs)
    theirs, ours = (e.answers(runs, e.worlds(b.batch)) for e in (slow, fast))
    assert float((ours - theirs).abs().max()) < tolerance(make)
    clean = b.batch.readings(b.worlds.clean.logits, b.worlds.clean.logits)
    assert float((theirs - clean).abs().amax((1, 2)).min()) > 1e-6


def test_a_prompt_steered_by_another_less_itself_is_that_other():
    """Of one clean prompt every stream plus (corrupt - clean) is the corrupt run."""
    b = bench(gpt2, seed=1)
    one = b.batch.first(1)
    texts = text_of(one.corrupt[0]), text_of(one.clean[0])
    kinds = Activation.RESID_PRE, Activation.RESID_MID, Activation.RESID_POST
    sites = [ActivationSite(kind, layer) for kind in kinds for layer in range(3)]
    for site in sites:
        run = SteerByTexts.ordered((site,), (), 1.0, texts)
        for engine in engines(b.model, run):
            worlds = engine.worlds(one)
            gap = (engine.logits(run, worlds) - worlds.corrupt.logits).abs().max()
            assert float(gap) < 1e-9, site
    half = SteerByTexts.ordered((sites[0],), (), 0.5, texts)
    slow, _ = engines(b.model, half)
    worlds = slow.worlds(one)
    assert float((slow.logits(half, worlds) - worlds.corrupt.logits).abs().max()) > 1e-3


def test_texts_that_add_nothing_are_no_experiment():
    """Both last tokens are the third of their text: the embedding is the same there."""
    b = bench(gpt2, seed=1)
    run = SteerByTexts((EMBEDDING,), (AT_END,), 1.0, ("ABC", "BBC"))
    for engine in engines(b.model, run):
        with pytest.raises(ValueError, match="nothing is added"):
            engine.logits(run, engine.worlds(b.batch))
    above = replace(run, sites=(ActivationSite(Activation.RESID_PRE, 1),))
    for engine in engines(b.model, above):
        engine.logits(above, engine.worlds(b.batch))
    with pytest.raises(ValueError, match="in order"):
        SteerByTexts((EMBEDDING,), (), 1.0, ("ABC", "ABC"))


def test_what_adds_nothing_is_its_claims_error_alone(tiny):
    """Both texts end in the same token; no self-check suffers, and another claim is judged."""
    claims = """steer embed at END by 1 * ("store park" - "office park") in -50%..50%
  steer L1.H2 at END by 3 * ("store" - "office") in -900 logits..900 logits"""
    model, folder = tiny
    circuit = circuit_of(file(claims, model=f'"{folder}"'))
    pairs, tokens, _ = tokenize(circuit, model.tokenizer)
    plan = compile_plan(circuit)
    nothing, something = (need.of(Use.EFFECT) for need in plan.needs[-2:])
    for engine in EngineName:
        evidence = measure(plan, model, pairs, tokens, engine=engine)
        assert [check.name for check in evidence.self_checks if not check.passed] == []
        assert set(evidence.errors) == {nothing}
        assert "nothing is added" in evidence.errors[nothing]
        assert all(value is not None for value in evidence.patched[something])
        verdicts = [c.verdict for c in judge(plan, evidence, SourceText("t", "")).claims[-2:]]
        assert verdicts[0] == "ERROR"
        assert verdicts[1] == "PASS"
    (agree,) = (
        check.detail
        for check in measure(plan, model, pairs, tokens).self_checks
        if check.name == CheckName.ENGINES
    )
    assert agree.endswith("; 1 more refused by both engines")


def test_what_one_engine_alone_refuses_is_no_agreement():
    b = bench(gpt2, seed=1)
    fine = SteerByTexts((HEAD,), (AT_END,), 1.0, ("ABC", "BBD"))
    empty = SteerByTexts((EMBEDDING,), (AT_END,), 1.0, ("ABC", "BBC"))
    slow, fast = engines(b.model, fine, empty)

    def check(slow, fast, *runs):
        own, few = fast.worlds(b.batch), slow.worlds(b.batch)
        return agreement(fast, slow, runs, own, few)

    assert check(slow, fast, fine, empty).passed
    assert check(slow, fast, empty).passed
    without = ReferenceEngine(b.model), FastEngine(b.model)  # which have no texts
    for pair in ((without[0], fast), (slow, without[1])):
        found = check(*pair, fine, empty)
        assert not found.passed
        assert "not measured" in found.detail


def test_texts_are_run_and_fit():
    b = bench(gpt2, seed=1)
    run = SteerByTexts((HEAD,), (), 1.0, ("AB", "CDEFGHIJ"))
    for engine in (b.engine, FastEngine(b.model)):
        with pytest.raises(ValueError, match="not run"):
            engine.logits(run, engine.worlds(b.batch))
    for engine in engines(b.model, run):
        with pytest.raises(ValueError, match="8 tokens, and a prompt 7"):
            engine.logits(run, engine.worlds(b.batch))
    apart = replace(run, texts=("AB", "C"))
    for engine in engines(b.model, apart, tokenizer=Letters(space=None)):
        with pytest.raises(ValueError, match="no space to fill"):
            engine.logits(apart, engine.worlds(b.batch))
    other = SteerByTexts((HEAD,), (), 1.0, ("AB", "CD"))
    for engine in engines(b.model, run):
        with pytest.raises(ValueError, match="not run"):
            engine.logits(other, engine.worlds(b.batch))
    with pytest.raises(RunError, match="17 tokens, and the model reads at most 16"):
        TextContrast.of(b.model, Letters(), [replace(run, texts=("A" * 17, "B"))])
    with pytest.raises(RunError, match="tokens that the model does not have"):
        TextContrast.of(b.model, Letters(), [replace(run, texts=("A", "z"))])


def test_the_reference_makes_one_pass_and_texts_one_a_pair():
    b = bench(gpt2, seed=1)
    runs = [
        SteerByTexts((site,), (), factor, texts)
        for site in (HEAD, EMBEDDING)
        for factor in (1.0, 2.0)
        for texts in (("AB", "CD"), ("AB", "EFG"))
    ]
    before = b.model.passes
    slow, _ = engines(b.model, *runs)
    assert b.model.passes - before == 2
    for run in runs:
        before = b.model.passes
        slow.logits(run, b.worlds)
        assert b.model.passes - before == Experiment("", run).forward_passes


def test_texts_in_tokens():
    found = text_tokens(("ABC", "D"), Letters())
    assert (found.first, found.second) == ((0, 1, 2), (3, SPACE, SPACE))
    assert (found.lengths, found.length, found.by_spaces) == ((3, 1), 3, True)
    found = text_tokens(("ABC", "DE"), Letters(space=None))
    assert (found.second, found.by_spaces) == ((3, 4, 4), False)
    with pytest.raises(ValueError, match="no token"):
        text_tokens(("ABC", " "), Letters(space=None))


def file(claims, sample=8, model='"gpt2"'):
    return circuit_text(model, sample=sample, claims=claims)


def problems(claims, tokenizer):
    return align(circuit_of(file(claims)), tokenizer).diagnostics


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tiny_gpt2(tmp_path_factory.mktemp("text") / "model", layers=3)
    circuit = circuit_of(file("faithfulness >= 1%", model=f'"{folder}"'))
    return load_transformer(circuit.model), folder


STEER = "steer L1.resid_pre by 2 *"


@pytest.mark.parametrize(
    ("claims", "code", "message"),
    [
        (f'{STEER} ("store park" - "book") >= 1%', "CL249", '"store park" has 2 tokens, "book"'),
        (f'{STEER} ("store" - "store ") >= 1%', "CL249", "the same tokens"),
        (f'{STEER} ("store" - " ") >= 1%', "CL249", '" " has no token'),
        (f'{STEER} ("store" - "Xerxes") >= 1%', "CL315", '"Xerxes" has words'),
        (
            f'{STEER} ("{"store " * 20}" - "{"park " * 20}") >= 1%',
            "CL249",
            "has 20 tokens, and a prompt has 14",
        ),
    ],
)
def test_what_the_tokens_forbid(tiny, claims, code, message):
    (found,) = problems(claims, tiny[0].tokenizer)
    assert found.code == code
    assert message in found.message


def test_what_the_tokens_allow(tiny):
    """At a position the last tokens alone count, however many there are."""
    long = f'steer L1.resid_pre at END by 2 * ("{"store " * 20}" - "park") >= 1%'
    tokenizer = tiny[0].tokenizer
    assert problems(long, tokenizer) == ()
    assert problems(f'{STEER} ("store park" - "office the") >= 1%', tokenizer) == ()
    repeated = '{} by 2 * ("store store" - "store") >= 1%'
    assert problems(repeated.format("steer L1.resid_pre at END"), tokenizer) == ()
    (found,) = problems(repeated.format("steer L1.resid_pre"), tokenizer)
    assert "no space" in found.message


def test_texts_need_no_prompts_that_align(tiny):
    """A mean by position does; a direction of two texts is of no prompt."""
    text = file('steer B at END by 2 * ("store" - "park") >= 1%').replace(
        "PLACE   from places", 'PLACE   from "store", "park office"'
    )
    mean = text.replace('("store" - "park")', "(clean - corrupt)")
    by_texts, by_mean = (align(circuit_of(each), tiny[0].tokenizer) for each in (text, mean))
    codes = [{d.code for d in each.diagnostics} for each in (by_texts, by_mean)]
    assert codes == [set(), {"CL312"}]


def test_turned_round_it_is_the_same_experiment():
    one = f'{STEER} ("park" - "store") >= 1%'
    for other in (one, 'steer L1.resid_pre by -2 * ("store" - "park") >= 5%',
                  'steer L0.resid_post by 2 * ("park" - "store") >= 1%'):  # fmt: skip
        assert "CL217" in codes_of(file(f"{one}\n  {other}"))
    different = [
        f'{STEER} ("store" - "park") >= 1%',
        f'{STEER} ("park" - "office") >= 1%',
        f"{STEER} (clean - corrupt) >= 1%",
        'steer L1.resid_pre at END by 2 * ("park" - "store") >= 1%',
    ]
    plan = compile_plan(circuit_of(file("\n  ".join([one, *different]))))
    assert len({need.of(Use.EFFECT) for need in plan.needs[-5:]}) == 5


def test_the_report_tells_what_is_filled_up(tiny):
    """`Hate` is two tokens of many vocabularies, and `Love` is one."""
    claims = f"""{STEER} ("LOVE" - "HI") >= 1%
  steer B at END by 2 * ("LOVE" - "HO") >= 1%"""
    model = replace(tiny[0], tokenizer=Letters())
    told = notes(compile_plan(circuit_of(file(claims))), model)
    start = "Texts that are steered by, in tokens:"
    assert told == (
        f'{start} "HI" is H|I, "LOVE" is L|O|V|E, the shorter one filled up with spaces',
        f'{start} "HO" is H|O, "LOVE" is L|O|V|E',
    )


def test_blanks_of_texts_are_shown_as_those_of_prompts(tiny):
    tokenizer = FastTokenizer(bpe_tokenizer(" Mary", " John"))
    claims = 'steer B at END by 2 * (" Mary" - " John") >= 1%'
    model = replace(tiny[0], tokenizer=tokenizer)
    (told,) = notes(compile_plan(circuit_of(file(claims))), model)
    assert told.endswith('" John" is \u00b7John, " Mary" is \u00b7Mary')
    report = sample_report().model_copy(update={"notes": (told,)})
    assert "is \u00b7John" in render_terminal(report, color=False, width=200)
    assert "is _John" in render_terminal(report, color=False, width=200, ascii_only=True)


def test_from_a_file_to_a_report(tiny):
    """Both engines, on a model from a folder, against hooks written out."""
    claims = f"""{STEER} ("store" - "park") in -900 logits..900 logits
  steer L1.H2 at END by 3 * ("the store" - "office") in -900 logits..900 logits"""
    model, folder = tiny
    circuit = circuit_of(file(claims, model=f'"{folder}"'))
    pairs, tokens, found = tokenize(circuit, model.tokenizer)
    assert not found
    plan = compile_plan(circuit)
    evidence = measure(plan, model, pairs, tokens, engine=EngineName.BOTH)
    assert not evidence.errors
    assert [check.name for check in evidence.self_checks if not check.passed] == []
    notes = [note for note in evidence.notes if note.startswith("Texts")]
    assert notes == [
        'Texts that are steered by, in tokens: "park" is park, "store" is store',
        'Texts that are steered by, in tokens: "office" is office, "the store" is the|store',
    ]
    report = judge(plan, evidence, SourceText("test.circuit", ""))
    stream, head = report.claims[-2:]
    assert stream.definition == (
        'mean(steered - clean); 2 * ("store" - "park"), token by token, added to L1.resid_pre '
        "from the first token on"
    )
    assert head.definition == (
        'mean(steered - clean); 3 * ("the store" - "office"), at the texts\' last tokens, added '
        "to L1.H2 at END"
    )
    bridge, encode = model.transformer.bridge, model.tokenizer.encode

    def read(text, name):
        with torch.no_grad():
            return bridge.run_with_cache(torch.tensor([encode(text)[0]]))[1][name][0]

    pre, z = "blocks.1.hook_resid_pre", "blocks.1.attn.hook_z"
    first = 2 * (read("store", pre) - read("park", pre))
    last = 3 * (read("the store", z)[-1, 2] - read("office", z)[-1, 2])

    def at_the_front(value, hook):
        return torch.cat([value[:, :1] + first, value[:, 1:]], dim=1)

    def at_the_end(value, hook):
        value = value.clone()
        value[:, -1, 2] += last
        return value

    for need, name, hook in zip(
        plan.needs[-2:], (pre, z), (at_the_front, at_the_end), strict=True
    ):
        for row, pair in enumerate(tokens):
            with torch.no_grad():
                logits = bridge.run_with_hooks(
                    torch.tensor([pair.clean]), fwd_hooks=[(name, hook)], return_type="logits"
                )[0, -1]
            (answer,), (distractor,) = pair.target.tokens
            theirs = float(logits[answer] - logits[distractor])
            ours = evidence.patched[need.of(Use.EFFECT)][row]
            assert ours == pytest.approx(theirs, abs=1e-4)
            assert abs(theirs - evidence.clean[row]) > 1e-3
