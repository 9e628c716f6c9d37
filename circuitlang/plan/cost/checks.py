"""Passes of the self-checks, which every run makes on a few prompts with the reference engine."""

from collections.abc import Sequence

from circuitlang.circuit import Direction, Head, Logits, Receiver
from circuitlang.models import ModelSize
from circuitlang.plan.cost.geometry import Geometry
from circuitlang.plan.cost.reference import reference_operations
from circuitlang.plan.cost.work import Work
from circuitlang.plan.intervention import PatchEdge
from circuitlang.plan.plan import Experiment, Plan

CHECKED_PROMPTS = 4
"""Prompts that self-checks are made on."""

_PASSES = 11
"""On the few prompts: 2 worlds; 2 to patch nothing, 2 to patch everything, 2 for the embeddings of
all edges into logits, 1 for the sum of writes and 2 for frozen heads. The slots of up to three
layers take a pass each."""


def check_passes(plan: Plan, size: ModelSize, batch: Geometry) -> Work:
    """The self-checks of a run whose first batch this is.

    Operations beside the passes are the writes of every head, twice, and the slots and MLPs of up
    to three layers.
    """
    few = few_of(batch)
    shape = size.shape
    edges = (e.intervention for e in plan.experiments)
    probe = next((e for e in edges if isinstance(e, PatchEdge)), _any_edge())
    probed = Experiment("", probe).forward_passes
    checked = len({0, (shape.layers - 1) // 2, shape.layers - 1})
    aside = few.tokens * (
        2 * shape.layers * size.output + checked * (size.queries + size.keys_values + size.mlp)
    )
    single = size.forward(1, batch.length)
    operations = (_PASSES + checked) * size.forward(few.prompts, few.length) + single + aside
    operations += few.prompts * size.unembedding + reference_operations(probe, size, few)
    passes = _PASSES + checked + 1 + probed
    weights = shape.layers * size.layer_parameters + size.d_model * size.vocabulary
    return Work(passes, operations, passes * shape.layers, passes * weights)


def few_of(batch: Geometry) -> Geometry:
    """The first prompts of a batch, on which the checks are made."""
    return Geometry(min(CHECKED_PROMPTS, batch.prompts), batch.length, batch.places)


def check_sample(experiments: Sequence[Experiment]) -> tuple[Experiment, ...]:
    """Experiments on which the two engines are compared: two of every kind, spread over a plan."""
    kinds: dict[tuple[type, bool], list[Experiment]] = {}
    for experiment in experiments:
        each = experiment.intervention
        through = isinstance(each, PatchEdge) and each.through_mlps
        kinds.setdefault((type(each), through), []).append(experiment)
    return tuple(e for some in kinds.values() for e in some[:: max(1, len(some) // 2)][:2])


def _any_edge() -> PatchEdge:
    return PatchEdge((Head(0, 0),), (Receiver(Logits()),), (), False, Direction.NOISING)
