"""A sweep as its reader is told it: a table of effects along a model, and no verdict."""

from typing import Literal

from circuitlang.evidence.frozen import Frozen
from circuitlang.report.place import Place


class SweepAxisReport(Frozen):
    """What a sweep goes along; ``labels`` stand in order."""

    name: Literal["layer", "head", "position"]
    labels: tuple[str, ...]


class SweepReport(Frozen):
    """A sweep.

    ``values`` are the cells row by row along ``axes``, the last one fastest: ratios of means over
    ``prompts`` prompts for unit `fraction`, means in the metric's unit else; None where a cell was
    not measured on every prompt. ``prompts`` are of the ``judged`` ones, which are 0 in reports
    from before there could be fewer. ``whole`` is mean(clean) - mean(corrupt) in the metric's unit.
    ``q`` are two-sided sign-flip p-values that a cell's effect is zero, adjusted after Benjamini
    and Hochberg over the sweep's cells; the logit lens has none, as its values are no effects.
    They are None where a template has a single pair. ``positions`` are those that the file names.
    ``missing`` tells why there are no values, ``warning`` why shares of ``whole`` may mislead: it
    is not reliably above zero, which a claim in % needs; values are shares of it all the same.
    """

    text: str
    kind: Literal[
        "head_output",
        "resid_pre",
        "resid_mid",
        "resid_post",
        "attn_out",
        "mlp_out",
        "q",
        "k",
        "v",
        "pattern",
        "logit_lens",
    ]
    direction: Literal["noising", "denoising"] | None
    positions: tuple[str, ...]
    place: Place
    axes: tuple[SweepAxisReport, ...]
    values: tuple[float | None, ...]
    q: tuple[float | None, ...]
    unit: str
    prompts: int
    judged: int = 0
    whole: float
    definition: str
    missing: str = ""
    warning: str = ""
