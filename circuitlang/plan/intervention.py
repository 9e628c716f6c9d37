"""What is done to a model, apart from why; the engine sees these and never a claim."""

from collections.abc import Iterable
from dataclasses import dataclass

from circuitlang.circuit import (
    Ablation,
    Activation,
    ActivationSite,
    Component,
    Direction,
    Logits,
    Neuron,
    Position,
    Receiver,
)
from circuitlang.circuit.later import later
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

    def __post_init__(self) -> None:
        _stand_once(self.senders)


@dataclass(frozen=True, slots=True)
class Hop:
    """One edge of a path: the receivers that it enters, and where.

    ``positions`` are those of the residual stream that carries the change; the empty tuple means
    every position. Receivers of one hop are patched together. ``through_mlps``: MLPs that read the
    change recompute on the way; otherwise the hop is direct.
    """

    receivers: tuple[Receiver, ...]
    positions: tuple[Position, ...]
    through_mlps: bool = later(False)


@dataclass(frozen=True, slots=True)
class PatchPath:
    """A whole path ``a -> b.V ~> c.Q -> logits``: nested edges, each direct or through MLPs.

    The first hop's receivers compute on the base world's input plus the senders' change; every
    later hop carries only what its senders' outputs, the receivers of the hop before, changed by
    that. Through MLPs a hop's receivers read what its senders' changed outputs make of the stream
    while all other heads are frozen and MLPs recompute (pass C of Wang et al. 2022, section 3.1).
    After the last hop everything recomputes.
    """

    senders: tuple[Component, ...]
    hops: tuple[Hop, ...]
    direction: Direction

    def __post_init__(self) -> None:
        _stand_once(self.senders)
        for hop in self.hops:
            parts = dict.fromkeys(receiver.component for receiver in hop.receivers)
            _stand_once(tuple(part for part in parts if not isinstance(part, Logits)))


def _stand_once(senders: tuple[Component, ...]) -> None:
    """No change may count twice.

    Raises:
        ValueError: a sender is named twice, or a neuron together with its MLP.
    """
    once = set(senders)
    if len(once) < len(senders):
        raise ValueError("a sender is named twice: its change would count twice")
    if any(isinstance(sender, Neuron) and sender.mlp in once for sender in senders):
        raise ValueError("a neuron and its MLP both send: its change would count twice")


@dataclass(frozen=True, slots=True)
class PatchActivation:
    """Activation patching: one activation of the base world is replaced by the other world's.

    ``head`` is None for every head of the layer; of `POST` it is a neuron. Under grouped-query
    attention K and V belong to the group of the query head ``head``. ``positions`` of a pattern are
    those of its queries.
    """

    activation: Activation
    layer: int
    head: int | None
    positions: tuple[Position, ...]
    direction: Direction


@dataclass(frozen=True, slots=True)
class PatchTogether:
    """Activation patching of several activations at once, at the same positions.

    Each takes the other world's value, whatever those before it have changed. ``sites`` are heads'
    and neurons' activations and the outputs of MLPs and of the embedding: any other stream would
    undo what was patched below it.
    """

    sites: tuple[ActivationSite, ...]
    positions: tuple[Position, ...]
    direction: Direction

    def __post_init__(self) -> None:
        if any(site.component is None for site in self.sites):
            raise ValueError("only parts of a model are patched together, and no stream")


@dataclass(frozen=True, slots=True)
class Steer:
    """Activation addition in the clean world (Turner et al. 2023; Rimsky et al. 2024).

    ``factor`` times the mean of a site's clean minus corrupt value is added to what the site has in
    the current run. The mean is over the prompts (of the template, with ``per_template``) but for
    the prompt that is steered and its copies.
    """

    sites: tuple[ActivationSite, ...]
    positions: tuple[Position, ...]
    factor: float
    per_template: bool


@dataclass(frozen=True, slots=True)
class SteerByTexts:
    """Activation addition with two texts in the clean world (Turner et al. 2023, section 3).

    ``factor`` times what a site has on the first text minus what it has on the second is added to
    what it has in the current run: at ``positions`` the difference at the texts' last tokens, and
    without any the difference token by token, from the prompt's first token on, the shorter text
    filled up with spaces. The texts stand in order, so that equal experiments have equal ids.
    """

    sites: tuple[ActivationSite, ...]
    positions: tuple[Position, ...]
    factor: float
    texts: tuple[str, str]

    def __post_init__(self) -> None:
        if self.texts[0] >= self.texts[1]:
            raise ValueError("two texts that differ stand in order")

    @classmethod
    def ordered(
        cls,
        sites: tuple[ActivationSite, ...],
        positions: tuple[Position, ...],
        factor: float,
        texts: tuple[str, str],
    ) -> "SteerByTexts":
        """With the texts in either order: their difference turned round is its opposite."""
        if texts[0] > texts[1]:
            return cls(sites, positions, -factor, (texts[1], texts[0]))
        return cls(sites, positions, factor, texts)


@dataclass(frozen=True, slots=True)
class ReadStream:
    """Logit lens (nostalgebraist 2020): an early look at the clean world; nothing is changed.

    The residual stream before a layer, or after the last one for ``layer`` = all layers, as it is
    at ``position``, read by the final norm and the unembedding.
    """

    layer: int
    position: Position

    @property
    def positions(self) -> tuple[Position, ...]:
        """Where it looks, as other interventions say where they act."""
        return (self.position,)


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


@dataclass(frozen=True, slots=True)
class RunWithout:
    """The clean world with components ablated, each at positions of its own.

    ``spared`` wins: what it lists is left alone. So it is the mirror image of `RunCircuitAlone`,
    which ablates everything but what it keeps.
    """

    removed: tuple[Kept, ...]
    spared: tuple[Kept, ...]
    reference: Ablation
    per_template: bool

    def __post_init__(self) -> None:
        if not self.removed:
            raise ValueError("nothing is removed: that is the clean run")


Ablating = AblateNodes | RunCircuitAlone | RunWithout
"""What replaces outputs by an ablation."""

Intervention = (
    PatchEdge
    | PatchPath
    | PatchActivation
    | PatchTogether
    | Steer
    | SteerByTexts
    | ReadStream
    | Ablating
)


def components_of(intervention: Intervention) -> tuple[Component, ...]:
    """Every component that an intervention changes or keeps.

    Of activation patching and steering only single neurons, which no world keeps.
    """
    match intervention:
        case PatchEdge(senders=senders, receivers=receivers):
            return (*senders, *_entered(receivers))
        case PatchPath(senders=senders, hops=hops):
            return (*senders, *(part for hop in hops for part in _entered(hop.receivers)))
        case PatchActivation(activation=activation, layer=layer, head=head):
            return _neurons((ActivationSite(activation, layer, head),))
        case PatchTogether(sites=sites) | Steer(sites=sites) | SteerByTexts(sites=sites):
            return _neurons(sites)
        case ReadStream():
            return ()
        case AblateNodes(components=components):
            return components
        case RunCircuitAlone(kept=listed) | RunWithout(removed=listed):
            return tuple(each.component for each in listed)


def _neurons(sites: tuple[ActivationSite, ...]) -> tuple[Component, ...]:
    parts = (site.component for site in sites)
    return tuple(part for part in parts if isinstance(part, Neuron))


def _entered(receivers: tuple[Receiver, ...]) -> tuple[Component, ...]:
    parts = (receiver.component for receiver in receivers)
    return tuple(part for part in parts if not isinstance(part, Logits))


def neuron_layers(interventions: Iterable[Intervention]) -> tuple[int, ...]:
    """Layers of which single neurons are spoken of, in order."""
    parts = (part for each in interventions for part in components_of(each))
    return tuple(sorted({part.layer for part in parts if isinstance(part, Neuron)}))


def texts_of(interventions: Iterable[Intervention]) -> tuple[tuple[str, str], ...]:
    """Pairs of texts that are steered by, each once."""
    steers = (each for each in interventions if isinstance(each, SteerByTexts))
    return tuple(dict.fromkeys(each.texts for each in steers))


def experiment_id(intervention: Intervention) -> str:
    """Hash of an intervention's content: equal experiments have equal ids in every run."""
    return content_id(intervention)
