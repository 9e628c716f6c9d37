"""What is done to a model, apart from why; the engine sees these and never a claim."""

from dataclasses import dataclass

from circuitlang.circuit import Ablation, Component, Direction, Position, Receiver
from circuitlang.plan.content import content_id


@dataclass(frozen=True, slots=True)
class PatchEdge:
    """Path patching of one edge or of a group of edges at once.

    Base world: clean when noising, corrupt when denoising; the other world is the source of what
    is patched in. Direct (``through_mlps`` false): the receivers' pre-norm inputs change by the
    senders' writes alone, every other head and MLP between is frozen. Through MLPs: MLPs between
    recompute and heads are frozen (Wang et al. 2022, section 3.1). ``positions`` are where senders
    write and receivers read; the empty tuple means every position.
    """

    senders: tuple[Component, ...]
    receivers: tuple[Receiver, ...]
    positions: tuple[Position, ...]
    through_mlps: bool
    direction: Direction


@dataclass(frozen=True, slots=True)
class Kept:
    """A component and the positions at which it is left alone (the empty tuple: at all)."""

    component: Component
    positions: tuple[Position, ...]


@dataclass(frozen=True, slots=True)
class AblateNodes:
    """Node ablation in the clean world: the outputs at the positions are replaced."""

    components: tuple[Component, ...]
    positions: tuple[Position, ...]
    reference: Ablation
    per_template: bool


@dataclass(frozen=True, slots=True)
class RunCircuitAlone:
    """The clean world with every head outside the circuit ablated, and circuit heads away from
    their positions; ``keep_mlps`` leaves all MLPs alone, else only the kept ones are.
    """

    kept: tuple[Kept, ...]
    keep_mlps: bool
    reference: Ablation
    per_template: bool


Intervention = PatchEdge | AblateNodes | RunCircuitAlone


def experiment_id(intervention: Intervention) -> str:
    """Hash of an intervention's content: equal experiments have equal ids in every run."""
    return content_id(intervention)
