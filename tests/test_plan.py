"""Plans: what is measured, each thing once, and designs that cannot reach a verdict."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from circuitlang.circuit import MLP, Bound, Direction, Head, Logits, Receiver, Slot
from circuitlang.plan import (
    AblateNodes,
    Activation,
    Experiment,
    Hop,
    PatchActivation,
    PatchEdge,
    PatchPath,
    RunCircuitAlone,
    Use,
    check_design,
    compile_plan,
)
from circuitlang.plan.design import MAX_DRAWS, MAX_MEANS
from circuitlang.statistics.permutations import smallest_p
from tests.front_end import ROOT, circuit_of, read_file

IOI = ROOT / "circuits" / "ioi.circuit"

TEXT = """
circuit small
model "gpt2"
prompts {{
  clean   "When {{IO}} and {{S}} met, {{S}} gave a {{OBJECT}} to"
  clean   "When {{S}} and {{IO}} met, {{S}} gave a {{OBJECT}} to"
  corrupt IO = fresh, S1 = fresh, S2 = fresh
  IO, S   from names
  OBJECT  from objects
  sample  {sample} seed 0
}}
metric logit_diff(IO, S)
nodes {{
  A L0.H1, L0.H10 at S2 {label}
  B L5.H5 at S2
  C L9.H9 at END
}}
edges {{
  {edges}
}}
claims {{
  {claims}
}}
test {{
  random edges {drawn}
  {settings}
}}
"""

EDGES = "A ~> B.V >= 5%\n  C ~> logits >= 30%"
CLAIMS = "ablate C >= 10%\n  faithfulness >= 50%"


def small(edges=EDGES, claims=CLAIMS, settings="significance 5%", sample=100, label="", drawn=0):
    return circuit_of(
        TEXT.format(
            edges=edges, claims=claims, settings=settings, sample=sample, label=label, drawn=drawn
        )
    )


def ids(circuit):
    return [experiment.id for experiment in compile_plan(circuit).experiments]


def ioi():
    _, circuit, diagnostics = read_file(IOI)
    assert circuit is not None, diagnostics
    return replace(circuit, settings=replace(circuit.settings, random_edges=0))


# Experiments


def test_equal_experiments_are_shared():
    circuit = small(
        "A ~> B.V >= 5%\n  A -> B.V",
        "ablate C >= 10%\n  ablate C by zero >= 1%\n  faithfulness >= 50%",
    )
    through, direct = circuit.edges
    mean, zero, faithful = circuit.claims
    other = Bound(None, 0.9)
    twice = replace(
        circuit,
        edges=(through, direct, replace(through, bound=other, sender_name="TWIN", text="twin")),
        claims=(mean, zero, faithful, replace(mean, bound=other), replace(faithful, bound=other)),
    )
    plan = compile_plan(twice)
    uses = [need.experiments for need in plan.needs]
    assert [need.claim for need in plan.needs] == list(range(8))
    assert uses[0] == uses[2] != uses[1]
    assert uses[3] == uses[6] != uses[4]
    assert uses[5] == uses[7]
    assert [use for use, _ in uses[5]] == [Use.CIRCUIT, Use.EMPTY]
    assert ids(twice) == ids(circuit)
    assert len(plan.experiments) == 2 + 2 + 2
    assert {name for use in uses for _, name in use} == set(ids(circuit))


def test_order_of_heads_makes_no_other_experiment():
    swapped = TEXT.replace("L0.H1, L0.H10", "L0.H10, L0.H1")
    parts = {"edges": EDGES, "claims": CLAIMS, "settings": "", "sample": 100, "label": ""}
    parts["drawn"] = 0
    assert ids(circuit_of(swapped.format(**parts)))[:3] == ids(small())[:3]


def test_ids_do_not_change_with_bounds_comments_and_labels():
    plain = ids(small())
    assert plain == ids(small(edges="A ~> B.V >= 7% # more\n  C ~> logits <= 0.5 logits"))
    assert plain == ids(small(label='"duplicate token heads"'))
    assert plain == ids(small(settings="significance 1% correction none\n  resamples 2000"))


@pytest.mark.parametrize(
    "changed",
    [
        small(edges="A -> B.V >= 5%\n  C ~> logits >= 30%"),
        small(edges="A ~> B.K >= 5%\n  C ~> logits >= 30%"),
        small(edges="A ~> B.Q >= 5%\n  C ~> logits >= 30%"),
        small(settings="direction denoising"),
        circuit_of(
            TEXT.replace("L0.H1,", "L0.H2,").format(
                edges=EDGES, claims=CLAIMS, settings="", sample=100, label="", drawn=0
            )
        ),
    ],
)
def test_ids_change_with_content(changed):
    before, after = ids(small()), ids(changed)
    assert before[0] != after[0]
    assert len(set(after)) == len(after)


def test_ids_of_ablations_change_with_what_replaces_the_output():
    found = {
        ids(small(settings=line))[2]
        for line in ("ablation mean", "ablation mean per template", "ablation zero")
    }
    found.add(ids(small(claims="ablate C by resample >= 10%"))[2])
    assert len(found) == 4


def test_ids_are_the_same_in_every_process():
    script = "from tests.test_plan import ids, ioi\nprint(*ids(ioi()))"
    expected = ids(ioi())
    for seed in ("0", "1", "4242"):
        output = subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert output.split() == expected


def test_forward_passes_are_counted():
    """By the number of runs that path patching takes (Wang et al. 2022, appendix B): one more to
    read off the receivers' inputs unless the receiver is the logits themselves."""
    plan = compile_plan(
        small("A ~> B.V\n  A -> B.V\n  C ~> logits\n  C -> logits", "ablate C >= 1%")
    )
    assert [e.forward_passes for e in plan.experiments] == [2, 2, 1, 1, 1]
    assert plan.forward_passes == 2 + 7
    faithful = compile_plan(small(claims="faithfulness >= 50%", edges="C ~> logits"))
    assert faithful.forward_passes == 2 + 1 + 2


def test_forward_passes_of_paths_and_activations():
    """One for the base world's inputs, one for each stream that a hop between enters, and the last
    one unless it ends at the logits. Heads and the MLP of a layer read different streams."""
    out = Hop((Receiver(Logits()),), ())
    heads = Hop((Receiver(Head(1, 0), Slot.Q), Receiver(Head(1, 1), Slot.V)), ())
    mixed = Hop((Receiver(Head(1, 0), Slot.Q), Receiver(MLP(1))), ())

    def passes(*hops):
        path = PatchPath((Head(0, 0),), hops, Direction.NOISING)
        return Experiment("", path).forward_passes

    assert [passes(out), passes(heads), passes(mixed)] == [1, 2, 2]
    assert [passes(heads, out), passes(mixed, out), passes(mixed, heads)] == [2, 3, 4]
    # Through MLPs what a hop's receivers read takes a pass of its own.
    through, into_logits = (replace(hop, through_mlps=True) for hop in (mixed, out))
    assert [passes(into_logits), passes(through, out), passes(through, into_logits)] == [2, 4, 5]

    def patched(activation):
        patch = PatchActivation(activation, 0, None, (), Direction.NOISING)
        return Experiment("", patch).forward_passes

    assert {a for a in Activation if patched(a) == 3} == {Activation.RESID_MID, Activation.PATTERN}
    assert patched(Activation.Z) == 2

    def edge(*receivers):
        patch = PatchEdge((Head(0, 0),), receivers, (), False, Direction.NOISING)
        return Experiment("", patch).forward_passes

    assert [edge(*mixed.receivers), edge(*mixed.receivers, *out.receivers)] == [3, 3]


def test_the_plan_of_the_ioi_circuit():
    circuit = ioi()
    plan = compile_plan(circuit)
    by_text = {
        claim.text: [
            next(e for e in plan.experiments if e.id == name) for _, name in need.experiments
        ]
        for claim, need in zip(circuit.all_claims, plan.needs, strict=True)
    }
    # The file's claims are all different, so nothing is shared.
    assert len(plan.experiments) == sum(map(len, by_text.values()))
    kinds = [type(e.intervention) for e in plan.experiments]
    assert kinds.count(PatchEdge) == len(circuit.edges)
    assert kinds.count(RunCircuitAlone) == 2

    (keys,) = next(found for text, found in by_text.items() if text.startswith("PTH ~> IH.K"))
    edge = keys.intervention
    assert [str(head) for head in edge.senders] == ["L2.H2", "L4.H11"]
    assert [str(r) for r in edge.receivers] == ["L5.H5.K", "L5.H8.K", "L5.H9.K", "L6.H9.K"]
    assert [str(p) for p in edge.positions] == ["S1+1"]
    assert edge.through_mlps
    assert keys.forward_passes == 2
    (absent,) = next(found for text, found in by_text.items() if text.startswith("no PTH -> SIH.V"))
    assert not absent.intervention.through_mlps

    whole, empty = next(found for text, found in by_text.items() if text.startswith("faithfulness"))
    heads = [head for role in circuit.roles for head in role.components]
    assert sorted(map(str, heads)) == [str(kept.component) for kept in whole.intervention.kept]
    assert empty.intervention.kept == ()
    assert whole.intervention.keep_mlps
    assert empty.intervention.keep_mlps

    (ablated,) = next(found for text, found in by_text.items() if text.startswith("ablate SIH"))
    assert isinstance(ablated.intervention, AblateNodes)
    assert [str(p) for p in ablated.intervention.positions] == ["END"]
    assert check_design(circuit) == ()


def test_needs_name_no_other_use():
    need = compile_plan(small()).needs[0]
    assert need.of(Use.EFFECT) == need.experiments[0][1]
    with pytest.raises(KeyError):
        need.of(Use.CIRCUIT)


# Designs


TWO_WORDS = """model "gpt2"

prompts {{
  clean   "When {{IO}} and {{S}} went home, {{S}} thanked"
  corrupt S2 = IO
  IO, S   from {names}
}}

metric logit_diff(IO, S)

edges {{
  L9.H9 ~> logits >= 10%
}}
"""


def refusals(**parts):
    found = check_design(small(**parts))
    assert {diagnostic.code for diagnostic in found} <= {"CL229"}
    return [(diagnostic.message, diagnostic.hint) for diagnostic in found]


def test_sound_designs_are_not_refused():
    assert refusals() == []
    assert refusals(sample=20) == []


def test_copies_do_not_reach_a_level():
    """Two names in either order are two prompts, however many are drawn: 2**-2 is above 5%."""
    text = TWO_WORDS.format(names='"Mary", "John"')
    assert [(d.message, d.hint) for d in check_design(circuit_of(text))] == [
        (
            "only 2 of 100 prompts differ, which cannot reach the level 0.05 of the first claim",
            "give the slots more words: 5 different prompts are needed",
        )
    ]
    # Three names in six orders.
    assert not check_design(circuit_of(TWO_WORDS.format(names='"Mary", "John", "Anna"')))


def test_copies_do_not_fill_a_template():
    """The second template has the two names in either order, and nothing else."""
    one = TWO_WORDS.format(names='"Mary", "John"').splitlines()
    first = '  clean   "The {THING} and {THING2}: {IO} and {S} went home, {S} thanked"'
    words = "  THING, THING2 from objects"
    found = check_design(circuit_of("\n".join([*one[:3], first, words, *one[3:]])))
    assert [(d.message, d.hint) for d in found] == [
        (
            "template 2 has only 2 different prompts",
            "give its slots more words: 4 different prompts are needed",
        )
    ]


@pytest.mark.parametrize("sample", [2, 3, 6, 7])
def test_a_template_needs_prompts_that_differ(sample):
    message, hint = refusals(sample=sample)[0]
    assert message == f"a template gets {sample // 2} of {sample} prompts"
    assert hint == "sample at least 8"


def test_the_level_of_a_family_needs_prompts():
    # 2**-8 = .0039: enough for .05 / 4, not for .001 / 4, which takes 12.
    (found,) = refusals(sample=8, settings="significance 0.1%")
    assert found == ("8 prompts cannot reach the level 0.00025 that 4 claims share",
                     "sample at least 12")  # fmt: skip


ONE_PERCENT = "significance 1%\n  resamples 1000"


@pytest.mark.parametrize(
    "sample, settings, message, hint",
    [
        (12, "looks 5", "look 1 of 5 has 2 prompts, fewer than 4 of a template", "more prompts"),
        (40, "looks 5", "look 1 of 5 has 8 prompts, too few for its level", "or more prompts"),
        (80, f"looks 2\n  {ONE_PERCENT}", "1,000 resamples are too coarse", "1600`"),
    ],
)
def test_a_look_that_decides_nothing_says_what_is_short(sample, settings, message, hint):
    ((told, advice),) = refusals(sample=sample, settings=settings)
    assert message in told
    assert hint in advice


def test_too_few_resamples_are_refused_and_the_hint_is_enough():
    (found,) = refusals(sample=20, settings="significance 0.1%\n  resamples 1000")
    assert found == ("1,000 resamples are too coarse for the level 0.00025", "`resamples 4000`")
    assert refusals(sample=20, settings="significance 0.1%\n  resamples 4000") == []
    # Up to thirteen prompts every flip of signs is counted, and 2**-13 is enough for .001 / 4.
    assert refusals(sample=13, settings="significance 0.1%\n  resamples 1000") == []


def test_a_level_that_nothing_reaches_is_said_to_be_one():
    (found,) = refusals(sample=100, settings="significance 0.0000001%")
    assert "claim less" in found[1]


def test_without_correction_claims_do_not_share_the_level():
    assert refusals(sample=8, settings="significance 1% correction none\n  resamples 50000") == []
    assert refusals(sample=8, settings="significance 1% correction holm\n  resamples 50000") != []


def test_resampling_that_would_not_end_is_refused():
    (found,) = refusals(sample=100_000, settings="resamples 1000000")
    assert found[0] == "1,000,000 resamples of 100,000 prompts would take too long"
    assert refusals(sample=100_000, settings="resamples 10000") == []
    assert 100_000 * 10_000 <= MAX_DRAWS < 100_000 * 1_000_000


def test_too_many_claims_for_the_resamples_are_refused():
    circuit = small(settings="resamples 1000000", sample=1000)
    circuit = replace(circuit, edges=circuit.edges[:1] * 252)
    (found,) = [diagnostic.message for diagnostic in check_design(circuit)]
    assert found == "1,000,000 resamples of 254 claims would take too long"
    assert MAX_MEANS < 254 * 1_000_000


def test_the_smallest_p_value_falls_with_prompts_and_with_resamples():
    by_prompts = [smallest_p(n, 10_000) for n in (8, 12, 13, 14, 128)]
    assert by_prompts == [2**-8, 2**-12, 2**-13, 1 / 10_001, 1 / 10_001]
    assert smallest_p(4, 1_000_000) == 0.0625
    assert smallest_p(20, 1000) == 1 / 1001


def test_the_order_in_which_heads_are_listed_changes_nothing():
    text = (ROOT / "circuits" / "ioi.circuit").read_text(encoding="utf-8")
    turned = text.replace("L0.H1, L0.H10, L3.H0", "L3.H0, L0.H10, L0.H1")
    assert turned != text
    one, other = (compile_plan(circuit_of(t)) for t in (text, turned))
    assert {e.id for e in one.experiments} == {e.id for e in other.experiments}


def test_a_plan_is_known_by_what_it_measures():
    """Bounds, comments, labels and layout leave the id alone; model, prompts and metric do not."""
    text = (ROOT / "circuits" / "builtin_ioi.circuit").read_text(encoding="utf-8")
    plan = compile_plan(circuit_of(text))

    def id_of(old, new):
        assert old in text
        return compile_plan(circuit_of(text.replace(old, new))).id

    assert id_of(">= 80%", ">= 70%") == plan.id
    assert id_of('"name mover heads"', '"movers"  # a comment') == plan.id
    assert id_of("sample  120 seed 0", "sample  120 seed 1") != plan.id
    # Other heads are other experiments, which have ids of their own.
    assert id_of("L3.H1, L3.H2", "L3.H1, L3.H0") == plan.id
    assert id_of("builtin ioi_tiny", '"gpt2"') != plan.id
    assert id_of("builtin ioi_tiny", "builtin ioi_tiny dtype float64") != plan.id
    assert id_of("{S} offered", "{S} showed") != plan.id
