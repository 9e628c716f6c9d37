"""Operations of experiments under the fast engine: a shadow of how it assembles its passes.

What the engine does is in `engine/fast`: `edges`, `paths` and `outputs` decide where a pass
resumes, `changes` what edges start from and `descent` what each layer computes. Tests hold these
counts against a count of what torch really multiplied.
"""

from circuitlang.models import ModelSize
from circuitlang.plan.cost.activations import patched, steered, together
from circuitlang.plan.cost.edges import edge_resumption, path_resumption
from circuitlang.plan.cost.geometry import Geometry
from circuitlang.plan.cost.outputs import circuit_alone, rewritten
from circuitlang.plan.cost.resumption import Assembly, Resumption
from circuitlang.plan.intervention import (
    AblateNodes,
    Intervention,
    PatchActivation,
    PatchEdge,
    PatchPath,
    PatchTogether,
    ReadStream,
    RunCircuitAlone,
    RunWithout,
    Steer,
    SteerByTexts,
)


def resume(intervention: Intervention, size: ModelSize, geometry: Geometry) -> Resumption:
    """Where the fast engine resumes an experiment on a batch."""
    at = Assembly(size, geometry)
    match intervention:
        case PatchEdge():
            return edge_resumption(at, intervention)
        case PatchPath():
            return path_resumption(at, intervention)
        case PatchActivation():
            return patched(at, intervention)
        case PatchTogether():
            return together(at, intervention)
        case Steer() | SteerByTexts():
            return steered(at, intervention)
        case ReadStream():
            return Resumption(False, geometry.length - 1, at.nothing)
        case AblateNodes(components=components, positions=positions):
            parts = tuple(dict.fromkeys(components))
            return rewritten(at, parts, geometry.first(positions), intervention.reference)
        case RunCircuitAlone():
            return circuit_alone(at, intervention)
        case RunWithout(removed=removed):
            start = min(geometry.first(each.positions) for each in removed)
            parts = tuple(dict.fromkeys(each.component for each in removed))
            return rewritten(at, parts, start, intervention.reference)
