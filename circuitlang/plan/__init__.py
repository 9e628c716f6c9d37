"""From claims to experiments: what must be measured, each thing once, before anything runs."""

from circuitlang.circuit import Activation
from circuitlang.plan.circuit_tests import Experiments, KnockedOut
from circuitlang.plan.compiler import compile_plan
from circuitlang.plan.design import check_design
from circuitlang.plan.intervention import (
    AblateNodes,
    Ablating,
    Hop,
    Intervention,
    Kept,
    PatchActivation,
    PatchEdge,
    PatchPath,
    PatchTogether,
    ReadStream,
    RunCircuitAlone,
    RunWithout,
    Steer,
    SteerByTexts,
    components_of,
    experiment_id,
    neuron_layers,
    texts_of,
)
from circuitlang.plan.null import Draw, draw_random_edges, heads_of, parts_of
from circuitlang.plan.plan import Experiment, Need, Plan, SweepNeed, Use
from circuitlang.plan.readings import Reading
from circuitlang.plan.sweeps import few_swept, in_parts, with_sweeps

__all__ = [
    "AblateNodes",
    "Ablating",
    "Activation",
    "Draw",
    "Experiment",
    "Experiments",
    "Hop",
    "Intervention",
    "Kept",
    "KnockedOut",
    "Need",
    "PatchActivation",
    "PatchEdge",
    "PatchPath",
    "PatchTogether",
    "Plan",
    "ReadStream",
    "Reading",
    "RunCircuitAlone",
    "RunWithout",
    "Steer",
    "SteerByTexts",
    "SweepNeed",
    "Use",
    "check_design",
    "compile_plan",
    "components_of",
    "draw_random_edges",
    "experiment_id",
    "few_swept",
    "heads_of",
    "in_parts",
    "neuron_layers",
    "parts_of",
    "texts_of",
    "with_sweeps",
]
