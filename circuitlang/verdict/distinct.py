"""Every prompt once: copies of a prompt are no further observations."""

from circuitlang.evidence import Evidence


def distinct_prompts(evidence: Evidence) -> Evidence:
    """The evidence without repeated prompt pairs, with a note when there were any.

    Short word lists give fewer different prompts than `sample` asks for. Counted as they are drawn,
    copies would narrow every interval, and nothing would have been learned from them.
    """
    first: dict[tuple[int, str, str, str, str], int] = {}
    for row, p in enumerate(evidence.prompts):
        first.setdefault((p.template, p.clean, p.corrupt, p.answer, p.distractor), row)
    rows, drawn = tuple(first.values()), len(evidence.prompts)
    columns = (evidence.clean, evidence.corrupt, evidence.answered, *evidence.patched.values())
    # Columns of another length are an error of their own, told claim by claim.
    if len(rows) == drawn or any(len(column) != drawn for column in columns):
        return evidence

    def pick(values: tuple[float | None, ...]) -> tuple[float | None, ...]:
        return tuple(values[row] for row in rows)

    note = f"{len(rows)} of {drawn} prompts differ; each is counted once"
    return evidence.model_copy(
        update={
            "prompts": tuple(evidence.prompts[row] for row in rows),
            "clean": pick(evidence.clean),
            "corrupt": pick(evidence.corrupt),
            "answered": tuple(evidence.answered[row] for row in rows),
            "patched": {name: pick(values) for name, values in evidence.patched.items()},
            "notes": (*evidence.notes, note),
        }
    )
