"""A judged IOI circuit for the tests of the renderers. Every number in it is made up."""

from pathlib import Path

from circuitlang.circuit import Circuit, EdgeClaim, resolve
from circuitlang.evidence import Provenance, SelfCheck
from circuitlang.plan import compile_plan
from circuitlang.report import (
    Baseline,
    ClaimReport,
    Estimate,
    Interval,
    NamedPair,
    PairGroup,
    Pairs,
    Place,
    RandomEdges,
    Report,
    Settings,
    Stratum,
    TemplatePairs,
    Verdict,
)
from circuitlang.source import SourceText, load_source
from circuitlang.syntax import parse

GOLDEN = Path(__file__).parent / "golden" / "report"
SAMPLE = GOLDEN / "ioi_26_heads.circuit"
FILE = "circuits/ioi.circuit"

_EXAMPLE_TOKENS = "When| Mary| and| John| went| to| the| store|,| John| gave| a| drink| to"

# claim text -> verdict, effect, half-width of its interval, reason
_MADE_UP = {
    "PTH ~> IH.K >= 1%": (Verdict.PASS, 0.031, 0.011, ""),
    "DTH ~> SIH.V >= 5%": (
        Verdict.INCONCLUSIVE,
        0.058,
        0.021,
        "The interval holds values on both sides of the bound >= 5%. About 640 prompts would be "
        "needed to tell, if the effect is what it looks like.",
    ),
    "IH ~> SIH.V >= 20%": (Verdict.PASS, 0.274, 0.048, ""),
    "SIH ~> NMH.Q >= 15%": (Verdict.PASS, 0.442, 0.061, ""),
    "SIH ~> BNMH.Q >= 5%": (Verdict.PASS, 0.093, 0.026, ""),
    "NMH ~> logits >= 30%": (Verdict.PASS, 0.529, 0.071, ""),
    "BNMH -> logits": (
        Verdict.FAIL,
        -0.012,
        0.009,
        "The whole interval lies below the bound >= 1%: the edge does not carry what the file "
        "says it carries.",
    ),
    "NNMH ~> logits <= -20%": (Verdict.PASS, -0.318, 0.055, ""),
    "no PTH -> SIH.V within 2%": (Verdict.PASS, 0.002, 0.006, ""),
    "faithfulness >= 80%": (Verdict.PASS, 0.874, 0.043, ""),
    "ablate SIH >= 50% by mean": (
        Verdict.ERROR,
        None,
        None,
        "The metric was not finite on 3 of 100 prompts (the first: prompt 17, template 2).",
    ),
}

_AMONG = {
    "PTH ~> IH.K >= 1%": RandomEdges(
        drawn=100, measured=100, rank=2, p=2 / 101, largest=0.034, median=0.001
    ),
    # Few heads are left in the layer; not all of them could be measured; nothing could be.
    "DTH ~> SIH.V >= 5%": RandomEdges(
        drawn=8, measured=8, rank=1, p=1 / 9, largest=0.012, median=0.0
    ),
    "IH ~> SIH.V >= 20%": RandomEdges(
        drawn=100, measured=98, rank=1, p=1 / 99, largest=0.08, median=-0.002
    ),
    "SIH ~> BNMH.Q >= 5%": RandomEdges(drawn=100),
    "BNMH -> logits": RandomEdges(missing="layer 9 has 1 head outside the circuit for 2 senders"),
    "NNMH ~> logits <= -20%": RandomEdges(
        drawn=100, measured=100, compared="-effect", rank=1, p=1 / 101, largest=-0.11, median=0.003
    ),
}


def resolved(source: SourceText) -> Circuit:
    """The circuit of a text that has no errors."""
    document, mistakes = parse(source)
    circuit, more = resolve(document, source)
    assert circuit is not None, (mistakes, more)
    return circuit


def sample_circuit() -> Circuit:
    """All 26 heads of the IOI circuit, nine edges, two claims."""
    return resolved(load_source(SAMPLE)[0])


def sample_report() -> Report:
    """A report with a claim of every verdict, standing in the order of ``all_claims``."""
    circuit = sample_circuit()
    source = load_source(SAMPLE)[0]
    claims = []
    for claim, need in zip(circuit.all_claims, compile_plan(circuit).needs, strict=True):
        verdict, value, half, reason = _MADE_UP[claim.text]
        edge = claim if isinstance(claim, EdgeClaim) else None
        kind = type(claim).__name__.removesuffix("Claim").lower()
        kind = {"ablation": "ablate"}.get(kind, "absence" if edge and edge.absent else kind)
        claims.append(
            ClaimReport(
                text=claim.text,
                kind=kind,
                place=Place(file=FILE, line=source.line_column(claim.span.start)[0], column=3),
                bound=str(claim.bound),
                verdict=verdict,
                reason=reason or f"The whole interval keeps to the bound {claim.bound}.",
                estimate=None
                if value is None
                else _estimate(value, half, 0.05 / (11 - len(claims))),
                p_pass=None if value is None else (0.0001 if verdict is Verdict.PASS else 0.21),
                p_fail=None if value is None else (0.0001 if verdict is Verdict.FAIL else 0.79),
                level=None if value is None else 0.05 / (11 - len(claims)),
                experiments=tuple(name for _, name in need.experiments),
                senders=tuple(map(str, edge.senders)) if edge else (),
                receivers=tuple(map(str, edge.receivers)) if edge else (),
                definition="mean(m(clean) - m(patched)) / mean(m(clean) - m(corrupt)), noising",
                also="F(C)/F(M) = 0.89" if kind == "faithfulness" else "",
                random_edges=_AMONG.get(claim.text),
            )
        )
    return Report(
        circuitlang="0.1.0",
        file=FILE,
        file_sha256="0123456789abcdef" * 4,
        circuit=circuit.name,
        title=circuit.title,
        complete=True,
        provenance=sample_provenance(),
        baseline=sample_baseline(),
        pairs=sample_pairs(),
        settings=sample_settings(),
        claims=tuple(claims),
        self_checks=sample_checks(),
        notes=("Every number in this sample report is made up.",),
    )


def _estimate(value: float, half: float, level: float) -> Estimate:
    low, high = round(value - half, 6), round(value + half, 6)
    return Estimate(
        value=value,
        unit="fraction",
        interval=Interval(low=low, high=high, level=1 - 2 * level),
        prompts=100,
        change=round(-3.8 * value, 4),
        strata=(
            Stratum(template=2, text=_template("S", "IO"), prompts=50, value=low),
            Stratum(template=1, text=_template("IO", "S"), prompts=50, value=high),
        ),
    )


def _template(first: str, second: str) -> str:
    start = f"When {{{first}}} and {{{second}}} went to the {{PLACE}}, "
    return start + "{S} gave a {OBJECT} to"


def sample_provenance() -> Provenance:
    """Made-up provenance."""
    return Provenance(
        model="gpt2",
        architecture="GPT2LMHeadModel",
        layers=12,
        heads=12,
        kv_heads=12,
        revision="607a30d783dfa663caf39e06633721c8d4cfcd7e",
        weights="plain",
        weights_sha256="fedcba9876543210" * 4,
        dtype="float32",
        device="cpu",
        threads=2,
        engine="reference",
        batch_size=25,
        forward_passes=92,
        seconds=41.7,
        versions={"python": "3.11.7", "torch": "2.13.0", "transformer_lens": "4.3.0"},
    )


def sample_baseline() -> Baseline:
    """Made-up baseline."""
    return Baseline(
        metric="logit_diff(IO, S)",
        unit="logits",
        prompts=100,
        measured=100,
        clean=3.412,
        corrupt=-0.388,
        preferred=0.99,
        answered=0.87,
        example="When Mary and John went to the store, John gave a drink to",
        example_tokens=tuple(_EXAMPLE_TOKENS.split("|")),
    )


def sample_pairs() -> Pairs:
    """A made-up account: two pairs more were drawn than could be measured."""

    def group(rule: str, *pairs: tuple[int, int, str]) -> PairGroup:
        clean = "When Mary and John went to the store, John gave a drink to"
        corrupt = "When Anna and Eric went to the store, Paul gave a drink to"
        named = tuple(
            NamedPair(number=n, template=t, clean=clean, corrupt=corrupt, reason=reason)
            for n, t, reason in pairs
        )
        return PairGroup(rule=rule, count=len(named), pairs=named)

    unequal = "the two prompts differ in length"
    return Pairs(
        drawn=102,
        measured=100,
        judged=100,
        copies=group("once"),
        misaligned=group("skip", (17, 1, unequal), (62, 2, unequal)),
        wrong=group("keep", (88, 2, "clean metric -0.213")),
        same=group("keep"),
        templates=tuple(TemplatePairs(template=t, drawn=51, judged=50) for t in (1, 2)),
    )


def sample_settings() -> Settings:
    """Made-up settings."""
    return Settings(
        ablation="mean over the corrupt prompts, per template",
        direction="noising",
        significance=0.05,
        correction="holm",
        family=11,
        resamples=10_000,
        seed=0,
        minimum_effect=0.01,
        random_edges=100,
        pairs="wrong keep, same keep, misaligned skip",
        interval_method="paired bootstrap inside templates, percentile",
    )


def sample_checks() -> tuple[SelfCheck, ...]:
    """Made-up self-checks, all of which hold."""
    rows = (
        ("patching nothing equals the clean run", 0.0, 1e-5, "logits"),
        ("patching everything equals the corrupt run", 3.1e-6, 1e-4, "logits"),
        ("the parts' writes sum to the residual stream", 8.6e-6, 1e-4, "residual stream"),
        ("every intervention fired", 0.0, 0.0, "times"),
    )
    return tuple(
        SelfCheck(name=name, passed=True, value=value, tolerance=tolerance, unit=unit)
        for name, value, tolerance, unit in rows
    )


def failed_report() -> Report:
    """The sample with a failed self-check, which makes every verdict ERROR."""
    report = sample_report()
    broken = SelfCheck(
        name="patching nothing equals the clean run",
        passed=False,
        value=None,
        tolerance=1e-5,
        unit="logits",
        detail="not finite on prompt 4",
    )
    reason = "A self-check failed, so no number of this run can be trusted."
    claims = tuple(
        claim.model_copy(
            update={"verdict": Verdict.ERROR, "reason": reason, "estimate": None, "level": None}
            | {"p_pass": None, "p_fail": None, "random_edges": None}
        )
        for claim in report.claims
    )
    checks = (broken, *report.self_checks[1:])
    return report.model_copy(update={"claims": claims, "self_checks": checks})
