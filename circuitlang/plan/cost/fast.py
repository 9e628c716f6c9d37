"""Operations of experiments under the fast engine: a shadow of how it assembles its passes.

What the engine does is in `engine/fast`: `edges`, `paths` and `outputs` decide where a pass
resumes, `changes` what edges start from and `descent` what each layer computes. Tests hold these
counts against a count of what torch really multiplied.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from circuitlang.circuit import (
    MLP,
    Ablation,
    Activation,
    ActivationSite,
    Component,
    Direction,
    Embed,
    Head,
    Logits,
    Neuron,
    Position,
    Receiver,
    Slot,
    can_feed,
)
from circuitlang.models import ModelSize
from circuitlang.plan.cost.geometry import Geometry
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


class Phase(IntEnum):
    """Where in a layer a pass resumes, as the engine's jobs have it."""

    BEFORE = 0
    ATTENTION = 1
    MIDDLE = 2


@dataclass(frozen=True, slots=True)
class Sent:
    """Senders whose changes run to receivers through MLPs alone: done once for all receivers."""

    senders: tuple[Component, ...]
    positions: tuple[Position, ...]
    direction: Direction
    through_mlps: bool


@dataclass(frozen=True, slots=True)
class Resumption:
    """The pass of one experiment, from where it resumes, and what else the experiment needs.

    ``enter`` at as many layers as there are means that there is no pass. ``attended`` heads of the
    layer of entrance are computed anew, ``written`` ones only write something else. ``extra``
    counts operations besides the pass; ``sent`` and ``receivers`` name what is shared with others.
    """

    denoising: bool
    start: int
    enter: tuple[int, Phase]
    attended: int = 0
    written: int = 0
    extra: int = 0
    sent: Sent | None = None
    receivers: tuple[Receiver, ...] = ()

    def operations(self, size: ModelSize, geometry: Geometry) -> int:
        """Of the pass and the extras; of what is shared, nothing."""
        (first, phase), last = self.enter, size.shape.layers - 1
        tokens, keys = geometry.length - self.start, geometry.length
        total = 0
        for layer in range(first, last + 1):
            outputs = 1 if layer == last else tokens
            if layer > first or phase is Phase.BEFORE:
                total += size.layer(tokens, keys, outputs)
            elif phase is Phase.MIDDLE:
                total += size.mlp * outputs
            else:
                total += self.attended * size.attention(outputs, keys)
                total += (self.attended + self.written) * size.slot * outputs
                total += 0 if size.shape.parallel else size.mlp * outputs
        answers = 2 * 2 * size.d_model
        return geometry.prompts * (total + self.extra + answers)


def resume(intervention: Intervention, size: ModelSize, geometry: Geometry) -> Resumption:
    """Where the fast engine resumes an experiment on a batch."""
    return _Assembly(size, geometry).resumption(intervention)


def shared_operations(
    sent: Sent, receivers: Sequence[Receiver], size: ModelSize, geometry: Geometry
) -> int:
    """Of carrying senders' changes to all receivers that some experiment names."""
    columns, layers = geometry.count(sent.positions), size.shape.layers
    readers = dict.fromkeys(receivers)
    stop = max(layers if isinstance(r.component, Logits) else r.component.layer for r in readers)
    # A sender's write of the difference between worlds, of a neuron once its activations are known.
    total = sum(_alone(sender, size) for sender in sent.senders)
    total += sum(size.neuron for sender in sent.senders if isinstance(sender, Neuron))
    entering = (r.component for r in readers if isinstance(r.component, Head | Neuron))
    total += sum(_alone(component, size) for component in entering)
    moving: set[int] = set()
    if sent.through_mlps:
        moving = set(range(max(0, min(s.layer for s in sent.senders)), stop))
        # What a sending neuron itself makes of earlier senders' changes is taken out.
        inside = (s for s in sent.senders if isinstance(s, Neuron) and s.layer in moving)
        total += sum(2 * size.neuron for _ in inside)
    entered = {r.component.layer for r in readers if isinstance(r.component, MLP)}
    total += len(moving | entered) * size.mlp
    return geometry.prompts * columns * total


class _Assembly:
    """Mirrors `edges`, `paths` and `outputs` of `engine.fast`."""

    def __init__(self, size: ModelSize, geometry: Geometry) -> None:
        self.size, self.geometry = size, geometry
        self.layers, self.parallel = size.shape.layers, size.shape.parallel
        self.nothing = (self.layers, Phase.BEFORE)

    def resumption(self, intervention: Intervention) -> Resumption:
        match intervention:
            case PatchEdge():
                return self._edge(intervention)
            case PatchPath():
                return self._path(intervention)
            case PatchActivation():
                return self._activation(intervention)
            case PatchTogether():
                return self._together(intervention)
            case Steer() | SteerByTexts():
                return self._steered(intervention)
            case ReadStream():
                return Resumption(False, self.geometry.length - 1, self.nothing)
            case AblateNodes():
                components = dict.fromkeys(intervention.components)
                start = self.geometry.first(intervention.positions)
                return self._rewritten(tuple(components), start, intervention.reference)
            case RunCircuitAlone():
                return self._circuit_alone(intervention)
            case RunWithout(removed=removed):
                start = min(self.geometry.first(each.positions) for each in removed)
                parts = tuple(dict.fromkeys(each.component for each in removed))
                return self._rewritten(parts, start, intervention.reference)

    def _feeds(self, sender: Component, receiver: Receiver) -> bool:
        return can_feed(sender, receiver, parallel=self.parallel)

    def _groups(self, edge: PatchEdge) -> list[list[Receiver]]:
        """Receivers that a sender reaches, by the residual stream they read, in order."""
        found: dict[tuple[int, bool], list[Receiver]] = {}
        for receiver in edge.receivers:
            if any(self._feeds(sender, receiver) for sender in edge.senders):
                component = receiver.component
                layer = self.layers if isinstance(component, Logits) else component.layer
                found.setdefault((layer, _in_mlp(component)), []).append(receiver)
        return [found[key] for key in sorted(found)]

    def _edge(self, edge: PatchEdge) -> Resumption:
        denoising, groups = edge.direction is Direction.DENOISING, self._groups(edge)
        if not groups:
            return Resumption(denoising, self.geometry.length - 1, self.nothing)
        if edge.through_mlps:
            first = [receiver for group in groups for receiver in group]
            logits = [r for r in first if isinstance(r.component, Logits)]
            senders, first, later = edge.senders, logits or first, []
        else:
            first, later = groups[0], [r for group in groups[1:] for r in group]
            senders = tuple(s for s in edge.senders if self._feeds(s, first[0]))
        sent = Sent(senders, edge.positions, edge.direction, edge.through_mlps)
        enter, attended = self._receive(first)
        late = [s for s in edge.senders if s not in senders]
        if later:
            enter = self._carry(enter, first, late)
        passes = enter != self.nothing
        return Resumption(
            denoising,
            self.geometry.first(edge.positions) if passes else self.geometry.length - 1,
            enter,
            attended=attended if enter[1] is Phase.ATTENTION else 0,
            extra=self._carried(later, late, self.geometry.first(edge.positions), edge.positions)
            + self._neurons(first, edge.positions),
            sent=sent,
            receivers=tuple(first),
        )

    def _receive(self, receivers: Sequence[Receiver]) -> tuple[tuple[int, Phase], int]:
        """Where a pass with new values of these receivers enters, and the heads computed there."""
        if any(isinstance(r.component, Logits) for r in receivers):
            return self.nothing, 0
        heads = [r for r in receivers if isinstance(r.component, Head)]
        mlps = [r.component.layer for r in receivers if isinstance(r.component, MLP)]
        neurons = [r.component.layer for r in receivers if isinstance(r.component, Neuron)]
        first = min((_layer(r) for r in heads), default=self.layers)
        inner = min((*mlps, *neurons), default=self.layers)
        if inner < first:
            return (inner + 1, Phase.BEFORE), 0
        if self.parallel and first in (*mlps, *neurons):
            return (first, Phase.BEFORE), 0
        touched = {head for r in heads if _layer(r) == first for head in self._served(r)}
        return (first, Phase.ATTENTION), len(touched)

    def _neurons(self, receivers: Sequence[Receiver], positions: Sequence[Position]) -> int:
        """Operations for a prompt of old activations of the neurons that a pass starts from."""
        neurons = [r.component.layer for r in receivers if isinstance(r.component, Neuron)]
        if not neurons or any(isinstance(r.component, Logits) for r in receivers):
            return 0
        others = (_layer(r) for r in receivers if not isinstance(r.component, Neuron))
        first = min(others, default=self.layers)
        start, tokens = self.geometry.first(positions), 0
        for layer in neurons:
            at_once = layer == min(neurons) < first
            tokens += self.geometry.count(positions) if at_once else self._in_pass(layer, start)
        return tokens * self.size.neuron

    def _in_pass(self, layer: int, start: int) -> int:
        """Tokens of a prompt at which a pass computes the MLP of a layer."""
        return 1 if layer == self.layers - 1 else self.geometry.length - start

    def _served(self, receiver: Receiver) -> tuple[int, ...]:
        """The query heads that compute anew when a slot changes."""
        head = receiver.component
        if not isinstance(head, Head):
            return ()
        return (head.head,) if receiver.slot is Slot.Q else self.size.shape.group_of(head.head)

    def _carry(
        self, enter: tuple[int, Phase], first: Sequence[Receiver], late: Sequence[Component]
    ) -> tuple[int, Phase]:
        """Later receivers of a direct group edge need the job's own stream and late senders."""
        layer, phase = enter
        if phase is Phase.BEFORE and late and all(_in_mlp(r.component) for r in first):
            return layer - 1, Phase.BEFORE
        if phase is Phase.ATTENTION and (late or self.parallel):
            return layer, Phase.BEFORE
        return enter

    def _carried(
        self,
        later: Sequence[Receiver],
        late: Sequence[Component],
        start: int,
        positions: Sequence[Position],
    ) -> int:
        """Operations for a prompt of entering later receivers and of late senders' writes."""
        if not later:
            return 0
        size, last = self.size, self.layers - 1
        entered = {(_layer(r), r.slot, self._served(r)) for r in later if _is_head(r.component)}
        mlps = {r.component.layer for r in later if isinstance(r.component, MLP)}
        neurons = [r.component.layer for r in later if isinstance(r.component, Neuron)]
        entering = len(entered) * size.slot + len(mlps) * size.mlp + len(neurons) * size.neuron
        total = entering * self.geometry.count(positions)
        total += sum(self._in_pass(layer, start) for layer in neurons) * size.neuron
        for sender in late:
            if isinstance(sender, Head):
                own = 1 if sender.layer == last else self.geometry.length - start
                total += size.slot * (self.geometry.length + own)
        return total

    def _path(self, path: PatchPath) -> Resumption:
        denoising, size = path.direction is Direction.DENOISING, self.size
        length = self.geometry.length
        extra = sum(_alone(sender, size) * length for sender in path.senders)
        extra += sum(size.neuron * length for s in path.senders if isinstance(s, Neuron))
        senders: tuple[Component, ...] = path.senders
        for hop in path.hops:
            reached = [r for r in hop.receivers if any(self._feeds(s, r) for s in senders)]
            for receiver in reached:
                component = receiver.component
                own = size.mlp if isinstance(component, MLP) else _alone(component, size)
                extra += own * self.geometry.count(hop.positions)
            if not reached:
                break
            if hop.through_mlps:
                extra += self._on_the_way(senders, reached) * self.geometry.count(hop.positions)
            if hop is path.hops[-1]:
                enter, attended = self._receive(reached)
                passes = enter != self.nothing
                start = self.geometry.first(hop.positions) if passes else length - 1
                extra += self._neurons(reached, hop.positions)
                return Resumption(denoising, start, enter, attended, extra=extra)
            found = dict.fromkeys(r.component for r in reached)
            senders = tuple(c for c in found if not isinstance(c, Logits))
            one = size.attention(length, length) + size.slot * length
            carried = sum(isinstance(sender, Neuron) for sender in senders)
            extra += carried * size.neuron * self.geometry.count(hop.positions)
            extra += one * sum(isinstance(sender, Head) for sender in senders)
        return Resumption(denoising, length - 1, self.nothing, extra=extra)

    def _on_the_way(self, senders: Sequence[Component], receivers: Sequence[Receiver]) -> int:
        """A token's operations of MLPs that recompute between a hop's senders and receivers."""
        parts = (r.component for r in receivers)
        stop = max(self.layers if isinstance(c, Logits) else c.layer for c in parts)
        layers = range(max(0, min(sender.layer for sender in senders)), stop)
        moving = {layer for layer in layers if MLP(layer) not in senders}
        # What a sending neuron itself makes of earlier senders' changes is taken out.
        inside = sum(isinstance(s, Neuron) and s.layer in moving for s in senders)
        return len(moving) * self.size.mlp + 2 * inside * self.size.neuron

    def _activation(self, patch: PatchActivation) -> Resumption:
        size, layer, length = self.size, patch.layer, self.geometry.length
        denoising, kind = patch.direction is Direction.DENOISING, patch.activation
        heads = size.shape.heads if patch.head is None else 1
        attended = written = extra = 0
        enter = (layer, Phase.ATTENTION)
        # Patterns are computed for all heads of a layer.
        patterns = size.attention(length, length) // 2
        match kind:
            case Activation.Q:
                attended = heads
            case Activation.K | Activation.V:
                group = 0 if patch.head is None else patch.head
                attended = heads if patch.head is None else len(size.shape.group_of(group))
            case Activation.Z:
                written = heads
            case Activation.PATTERN:
                written, extra = heads, patterns * (size.shape.heads + heads)
            case Activation.RESID_PRE:
                enter = (layer, Phase.BEFORE)
            case Activation.RESID_MID:
                enter = (layer, Phase.MIDDLE)
            case Activation.ATTN_OUT:
                extra = 2 * size.output * length
                split = size.shape.parallel or not size.shape.mlps
                enter = (layer + 1, Phase.BEFORE) if split else (layer, Phase.MIDDLE)
            case Activation.RESID_POST | Activation.MLP_OUT | Activation.POST:
                enter = (layer + 1, Phase.BEFORE)
        if kind is Activation.POST and patch.head is not None:
            extra = 2 * size.neuron * self.geometry.count(patch.positions)
        start = self.geometry.first(patch.positions)
        return Resumption(denoising, start, enter, attended, written, extra)

    def _together(self, patch: PatchTogether) -> Resumption:
        """Mirrors `put`; attention is computed for all heads of a layer once a job is under way."""
        size, length = self.size, self.geometry.length
        denoising, start = (
            patch.direction is Direction.DENOISING,
            self.geometry.first(patch.positions),
        )
        parts = [site.component for site in patch.sites]
        heads = [s for s, part in zip(patch.sites, parts, strict=True) if isinstance(part, Head)]
        first = min((site.layer for site in heads), default=self.layers)
        first_mlp = min((c.layer for c in parts if c and _in_mlp(c)), default=self.layers)
        neurons = [part.layer for part in parts if isinstance(part, Neuron)]
        patterns = [site for site in heads if site.activation is Activation.PATTERN]
        one = size.attention(length, length) // 2
        # The source's pattern of every head of a layer, for each site anew, and over its values.
        extra = one * (size.shape.heads + 1) * len(patterns)
        # A neuron's activation in the source, which worlds do not keep, and in the pass.
        extra += size.neuron * sum(length + self._in_pass(layer, start) for layer in neurons)
        if any(isinstance(part, Embed) for part in parts):
            return Resumption(denoising, start, (0, Phase.BEFORE), extra=extra)
        if first_mlp < first or (first_mlp == first and self.parallel):
            return Resumption(denoising, start, (first_mlp, Phase.BEFORE), extra=extra)
        own = [site for site in heads if site.layer == first]
        slots = (Activation.Q, Activation.K, Activation.V)
        attended = {
            head for site in own if site.activation in slots for head in self._touched(site)
        }
        written = sum(site.activation not in slots for site in own)
        return Resumption(denoising, start, (first, Phase.ATTENTION), len(attended), written, extra)

    def _touched(self, site: ActivationSite) -> tuple[int, ...]:
        """The query heads that read a slot."""
        if site.head is None or site.activation is Activation.Q:
            return () if site.head is None else (site.head,)
        return self.size.shape.group_of(site.head)

    def _steered(self, steer: Steer | SteerByTexts) -> Resumption:
        """Mirrors `put`: where the first direction is added to the stream.

        A mean takes the prompts' own differences, those of texts are at hand.
        """
        own = 2 * isinstance(steer, Steer)
        size, length = self.size, self.geometry.length
        split = size.shape.parallel or not size.shape.mlps
        enter, extra = self.nothing, 0
        for site in steer.sites:
            behind = (site.layer + 1, Phase.BEFORE)
            match site.activation:
                case Activation.RESID_PRE:
                    behind = (site.layer, Phase.BEFORE)
                case Activation.Z | Activation.ATTN_OUT | Activation.RESID_MID if not split:
                    behind = (site.layer, Phase.MIDDLE)
            if site.activation is Activation.ATTN_OUT:
                extra += own * size.output * length
            elif site.activation is Activation.POST:
                extra += own * size.neuron * length
            elif site.head is not None:
                extra += size.slot * length
            enter = min(enter, behind)
        return Resumption(False, self.geometry.first(steer.positions), enter, extra=extra)

    def _circuit_alone(self, run: RunCircuitAlone) -> Resumption:
        shape = self.size.shape
        components: list[Component] = [Head(0, head) for head in range(shape.heads)]
        if shape.mlps and not run.keep_mlps:
            components.append(MLP(0))
        kept = dict.fromkeys(each.component for each in run.kept)
        neurons = [part for part in kept if isinstance(part, Neuron) and not run.keep_mlps]
        return self._rewritten(components, 0, run.reference, neurons)

    def _rewritten(
        self,
        components: Sequence[Component],
        start: int,
        reference: Ablation,
        kept: Sequence[Neuron] = (),
    ) -> Resumption:
        """A clean pass with outputs of components replaced, and neurons put back into MLPs."""
        neurons = [*kept, *(c for c in components if isinstance(c, Neuron))]
        tokens = sum(self._in_pass(neuron.layer, start) for neuron in neurons)
        if reference is Ablation.RESAMPLE:  # worlds do not keep what neurons do
            tokens += len(neurons) * self.geometry.length
        extra = tokens * self.size.neuron
        heads = [c.layer for c in components if isinstance(c, Head)]
        first_head = min(heads, default=self.layers)
        first_mlp = min((c.layer for c in components if _in_mlp(c)), default=self.layers)
        if any(isinstance(component, Embed) for component in components):
            return Resumption(False, start, (0, Phase.BEFORE), extra=extra)
        if first_mlp < first_head or (first_mlp == first_head and self.parallel):
            return Resumption(False, start, (first_mlp, Phase.BEFORE), extra=extra)
        enter = (first_head, Phase.ATTENTION)
        return Resumption(False, start, enter, written=heads.count(first_head), extra=extra)


def _in_mlp(component: object) -> bool:
    return isinstance(component, MLP | Neuron)


def _alone(component: Component | Logits, size: ModelSize) -> int:
    """A token's operations of one head's slot or write, or of one neuron's activation."""
    match component:
        case Head():
            return size.slot
        case Neuron():
            return size.neuron
        case _:
            return 0


def _is_head(component: object) -> bool:
    return isinstance(component, Head)


def _layer(receiver: Receiver) -> int:
    component = receiver.component
    if isinstance(component, Logits):
        raise TypeError("logits are of no layer")
    return component.layer
