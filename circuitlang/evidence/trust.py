"""Whether evidence carries the self-checks that make its numbers worth judging.

The engine makes the checks; here stands, apart from it, which of them evidence must have, so that a
check that was dropped is missed as much as one that failed.
"""

from circuitlang.evidence.adding import numbers_of
from circuitlang.evidence.check_name import CheckName, ReadingCheckName
from circuitlang.evidence.evidence import Evidence

FLOAT_NOISE = {"float64": 1e-10, "float32": 1e-4, "bfloat16": 5e-2, "float16": 1e-2}
"""By dtype: the deviation that float noise explains, per unit of what is compared."""
ENGINE_NOISE = 1e-5
"""The least of it between two engines: norms, rotary angles and attention patterns of many families
are float32 even where the weights are float64."""

_WHOLE_RUN = frozenset({CheckName.TOKENS, CheckName.FIRED, CheckName.UNCHANGED})
"""Made however early a run was interrupted."""
_COUNTS = _WHOLE_RUN | {CheckName.SEALED}
"""Counts and sums that must be right exactly: no noise is in them."""
_ACTIVATIONS = frozenset({CheckName.WRITES, CheckName.SLOTS, CheckName.FROZEN, CheckName.OUTPUTS})
_LOGITS = frozenset(CheckName) - _ACTIVATIONS | {ReadingCheckName.DIRECT, ReadingCheckName.ALONE}
_LARGEST_ACTIVATION, _LARGEST_LOGIT = 1e6, 1e4
"""A tolerance grows with what is compared: activations may reach 1e5, logits a few hundred."""


def distrust(evidence: Evidence) -> str:
    """Why no number of the evidence can be believed; empty when its self-checks speak for it."""
    checks = evidence.self_checks
    if broken := [check.name for check in checks if not check.holds]:
        return f"self-check failed: {'; '.join(broken)}"
    if not checks:
        return "no self-check was made"
    names = {check.name for check in checks}
    needed: list[str] = [name for name in CheckName if name in required(evidence)]
    needed += _required_of_readings(evidence)
    if missing := [name for name in needed if name not in names]:
        made = evidence.provenance.versions.get("circuitlang")
        by = f"; it was measured by circuitlang {made}" if made else ""
        return f"the evidence lacks a self-check, measure it again: {'; '.join(missing)}{by}"
    for check in checks:
        most = largest_tolerance(check.name, evidence.provenance.dtype)
        if check.tolerance > most:
            return (
                f"self-check `{check.name}` has a tolerance of {check.tolerance:.3g}, and none "
                f"above {most:.3g} says anything"
            )
    return ""


def required(evidence: Evidence) -> frozenset[CheckName]:
    """The self-checks that a sound run must have made by the time it ended.

    Every law applies to every model. Left out is only what had nothing to look at: an interrupted
    run that measured no experiment; the comparison of engines where the reference engine measured
    alone, or there was no experiment; a patched prompt measured alone where some number is missing,
    as the experiment that was drawn for it may be that one.
    """
    tried = bool(evidence.patched or evidence.errors)
    if not tried and not evidence.complete:
        return _WHOLE_RUN
    left_out = set()
    if not tried or evidence.provenance.engine == "reference":
        left_out.add(CheckName.ENGINES)
    if _gaps(evidence) or evidence.errors or not tried:
        left_out.add(CheckName.ALONE)
    return frozenset(CheckName) - left_out


def _gaps(evidence: Evidence) -> bool:
    """Whether an experiment has no number where it was to be measured."""
    swept = set(evidence.swept)
    left = {row for row, n in enumerate(numbers_of(evidence)) if swept and n not in swept}
    missing = ({i for i, v in enumerate(c) if v is None} for c in evidence.patched.values())
    return any(rows and rows != left for rows in missing)


def _required_of_readings(evidence: Evidence) -> tuple[ReadingCheckName, ...]:
    """What a run that read something must have made besides; prompts are looked at one by one only
    where something was read on them."""
    if not evidence.readings and not evidence.scores:
        return ()
    left_out = () if evidence.readings else (ReadingCheckName.ALONE,)
    return tuple(name for name in ReadingCheckName if name not in left_out)


def largest_tolerance(name: str, dtype: str) -> float:
    """The largest tolerance of a self-check that still tells anything, in the check's unit.

    A check that this version does not know, and a dtype, are held to the widest.
    """
    if name in _COUNTS:
        return 0.0
    noise = max(FLOAT_NOISE.get(dtype, max(FLOAT_NOISE.values())), ENGINE_NOISE)
    return noise * (_LARGEST_LOGIT if name in _LOGITS else _LARGEST_ACTIVATION)
