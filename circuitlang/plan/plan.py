"""A plan: every experiment once, and which claim needs which."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from circuitlang.circuit import (
    MLP,
    Ablation,
    Activation,
    Circuit,
    Component,
    Logits,
    Neuron,
    Receiver,
)
from circuitlang.plan.content import content_id
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
from circuitlang.plan.readings import Reading


class Use(StrEnum):
    """What a claim takes an experiment for."""

    EFFECT = "effect"
    CIRCUIT = "circuit"
    EMPTY = "empty circuit"
    COMPLEMENT = "model without the circuit"
    CIRCUIT_WITHOUT = "circuit without a part"
    MODEL_WITHOUT = "model without a part"
    INFLATED = "circuit and one more component"
    RANDOM = "random circuit"


@dataclass(frozen=True, slots=True)
class Experiment:
    """An intervention with the id that evidence is stored under."""

    id: str
    intervention: Intervention

    @property
    def forward_passes(self) -> int:
        """Forward passes that the reference engine makes, the two worlds themselves not counted."""
        match self.intervention:
            case PatchEdge(senders=senders, receivers=receivers, through_mlps=True):
                return 1 + _recomputed(receivers) + _read_apart(senders)
            case PatchEdge(senders=senders, receivers=receivers):
                return _streams(receivers) + _recomputed(receivers) + _read_apart(senders)
            case PatchPath(senders=senders, hops=hops):
                between = sum(_streams(hop.receivers) for hop in hops[:-1])
                through = sum(hop.through_mlps for hop in hops)
                # All inputs of the base world are read in one pass.
                last = sum(_recomputed(hop.receivers) for hop in hops[-1:])
                return 1 + between + through + last + _read_apart(senders)
            case PatchActivation(activation=Activation.RESID_MID | Activation.PATTERN):
                # Put in through another activation, for which the base world is read, too.
                return 3
            case PatchActivation():
                return 2
            case PatchTogether(sites=sites):
                # A pattern acts on the values of the current run, which are read layer by layer.
                patterns = {s.layer for s in sites if s.activation is Activation.PATTERN}
                return 2 + len(patterns)
            case Steer():
                # The prompt's own difference, which is left out of the mean.
                return 3
            case SteerByTexts() | ReadStream():
                return 1
            case RunCircuitAlone(kept=kept, keep_mlps=False, reference=reference):
                parts = [each.component for each in kept]
                # Kept neurons are put back into their ablated MLPs one layer after the other.
                layers = {part.layer for part in parts if isinstance(part, Neuron)}
                return 1 + len(layers) + (_read_apart(parts) if _resamples(reference) else 0)
            case RunCircuitAlone():
                return 1
            case AblateNodes(components=components, reference=reference):
                return 1 + (_read_apart(components) if _resamples(reference) else 0)
            case RunWithout(removed=removed, reference=reference):
                parts = [each.component for each in removed]
                return 1 + (_read_apart(parts) if _resamples(reference) else 0)


def _read_apart(components: Sequence[Component]) -> int:
    """The pass that reads the other world's neurons, which worlds do not keep."""
    return int(any(isinstance(component, Neuron) for component in components))


def _resamples(reference: Ablation) -> bool:
    return reference is Ablation.RESAMPLE


def _streams(receivers: Sequence[Receiver]) -> int:
    """How many residual streams are read: one by a layer's heads, one by its MLP and neurons."""
    parts = (receiver.component for receiver in receivers)
    return len({(isinstance(c, MLP | Neuron), getattr(c, "layer", None)) for c in parts})


def _recomputed(receivers: Sequence[Receiver]) -> int:
    """The pass after the receivers were entered; logits are read out without one."""
    return int(not any(isinstance(r.component, Logits) for r in receivers))


@dataclass(frozen=True, slots=True)
class Need:
    """Experiments of one claim, by what they are used for.

    ``random_edges`` are the experiments that an edge's effect is set against, and
    ``no_random_edges`` says why an edge that should have some has none. ``drawn_later``: more
    experiments are drawn once the model's size is known. ``readings`` are the ids of what the claim
    reads of the undisturbed model.
    """

    claim: int
    experiments: tuple[tuple[Use, str], ...]
    random_edges: tuple[str, ...] = ()
    no_random_edges: str = ""
    drawn_later: bool = False
    readings: tuple[str, ...] = ()

    @property
    def measured(self) -> tuple[str, ...]:
        """Ids of all that is measured for the claim itself."""
        return (*(name for _, name in self.experiments), *self.readings)

    def of(self, use: Use) -> str:
        """Id of the experiment for a use.

        Raises:
            KeyError: the claim has no experiment for it.
        """
        return dict(self.experiments)[use]


@dataclass(frozen=True, slots=True)
class SweepNeed:
    """The experiments of one sweep: a cell each, row by row along ``axes``, the last one fastest.

    ``axes`` are names with labels. ``missing`` tells why there is no cell.
    """

    axes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    experiments: tuple[str, ...] = ()
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be measured for a circuit; ``needs`` stands in the order of ``all_claims``.

    The claims' own experiments come before their random edges, and sweeps last. ``sweeps`` stands
    in the order of the circuit's, or is empty where they are left out. ``readings`` are what claims
    read of the undisturbed model, equal ones once.
    """

    circuit: Circuit
    experiments: tuple[Experiment, ...]
    needs: tuple[Need, ...]
    sweeps: tuple[SweepNeed, ...] = ()
    readings: tuple[Reading, ...] = ()

    @property
    def id(self) -> str:
        """Hash of what is measured on: model, prompts and metric; bounds take no part.

        A model in a folder goes in by the folder's name, not by the path to it, which depends on
        where the command is run. Which experiments there are is known by their own ids.
        """
        circuit, model = self.circuit, self.circuit.model
        if model.kind == "gguf" or model.name.startswith((".", "/", "~")):
            model = replace(model, name=model.name.rsplit("/", 1)[-1])
        return content_id((model, circuit.prompts.identity, circuit.metric), 16)

    @property
    def reads_prompts(self) -> bool:
        """Whether something is read on the file's prompts, which takes a pass."""
        return any(not reading.kind.of_sequences for reading in self.readings)

    @property
    def reads_sequences(self) -> bool:
        """Whether something is read on random tokens."""
        return any(reading.kind.of_sequences for reading in self.readings)

    @property
    def forward_passes(self) -> int:
        """Passes a prompt batch: both worlds, one for all that is read, then every experiment."""
        return (
            2
            + self.reads_prompts
            + sum(experiment.forward_passes for experiment in self.experiments)
        )
