"""Measurements of one plan made in stages."""

from circuitlang.evidence.evidence import Evidence
from circuitlang.evidence.self_check import SelfCheck


def joined(first: Evidence, second: Evidence) -> Evidence:
    """Both as one, the prompts of ``second`` after those of ``first``.

    An experiment that one stage did not measure has no value on its prompts. A self-check holds
    when it held in both stages, and shows its larger value. The provenance is of the later stage,
    whose count of passes goes on from the earlier; seconds are those of both.
    """
    counts = len(first.prompts), len(second.prompts)

    def column(name: str) -> tuple[float | None, ...]:
        parts = zip((first, second), counts, strict=True)
        return tuple(v for part, n in parts for v in part.patched.get(name, (None,) * n))

    seconds = first.provenance.seconds + second.provenance.seconds
    return second.model_copy(
        update={
            "prompts": first.prompts + second.prompts,
            "clean": first.clean + second.clean,
            "corrupt": first.corrupt + second.corrupt,
            "answered": first.answered + second.answered,
            "patched": {name: column(name) for name in {**first.patched, **second.patched}},
            "errors": {**second.errors, **first.errors},
            "self_checks": _checks(first.self_checks, second.self_checks),
            "notes": tuple(dict.fromkeys((*first.notes, *second.notes))),
            "provenance": second.provenance.model_copy(update={"seconds": round(seconds, 3)}),
            "complete": first.complete and second.complete,
        }
    )


def _checks(first: tuple[SelfCheck, ...], second: tuple[SelfCheck, ...]) -> tuple[SelfCheck, ...]:
    found = {check.name: check for check in first}
    for check in second:
        earlier = found.get(check.name)
        if earlier is None or _badness(check) > _badness(earlier):
            found[check.name] = check
    return tuple(found.values())


def _badness(check: SelfCheck) -> tuple[bool, float]:
    return not check.passed, float("inf") if check.value is None else abs(check.value)
