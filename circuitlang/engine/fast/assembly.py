"""Interventions made into jobs: what each edits, and where its pass can resume."""

from collections.abc import Sequence

from circuitlang.circuit import Receiver
from circuitlang.engine.fast.changes import Received, Sent, received
from circuitlang.engine.fast.edges import edge_job, wanted
from circuitlang.engine.fast.jobs import Job
from circuitlang.engine.fast.outputs import (
    ablation_job,
    activation_job,
    circuit_alone_job,
    without_job,
)
from circuitlang.engine.fast.paths import path_job
from circuitlang.engine.fast.put import look_job, steer_job, together_job
from circuitlang.engine.fast.setting import Setting
from circuitlang.plan import (
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


def assemble(setting: Setting, interventions: Sequence[Intervention], tokens: int) -> list[Job]:
    """The jobs of interventions; what their receivers start from is computed here, stacked.

    ``tokens``: about how many tokens may be stacked.
    """
    asked: dict[Sent, dict[Receiver, None]] = {}
    for each in interventions:
        want = wanted(setting, each) if isinstance(each, PatchEdge) else None
        if want is not None:
            asked.setdefault(want[0], {}).update(dict.fromkeys(want[1]))
    lists = {sent: tuple(receivers) for sent, receivers in asked.items()}
    values = received(lists, setting.worlds, setting.anatomy, tokens)
    return [_job(setting, index, each, values) for index, each in enumerate(interventions)]


def _job(setting: Setting, index: int, intervention: Intervention, values: Received) -> Job:
    match intervention:
        case PatchEdge():
            return edge_job(setting, index, intervention, values)
        case PatchPath():
            return path_job(setting, index, intervention)
        case PatchActivation():
            return activation_job(setting, index, intervention)
        case PatchTogether():
            return together_job(setting, index, intervention)
        case Steer() | SteerByTexts():
            return steer_job(setting, index, intervention)
        case ReadStream():
            return look_job(setting, index, intervention)
        case AblateNodes():
            return ablation_job(setting, index, intervention)
        case RunCircuitAlone():
            return circuit_alone_job(setting, index, intervention)
        case RunWithout():
            return without_job(setting, index, intervention)
