"""Random interventions of every kind, seeded: what two engines are held against each other on."""

from collections.abc import Callable, Iterator
from random import Random

from circuitlang.circuit import (
    AT_END,
    MLP,
    TOKEN,
    Ablation,
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
    holds,
)
from circuitlang.models import ModelShape
from circuitlang.plan import (
    AblateNodes,
    Activation,
    Hop,
    Intervention,
    Kept,
    PatchActivation,
    PatchEdge,
    PatchPath,
    RunCircuitAlone,
    RunWithout,
)
from tests.engine_models import P0, P1, P2

PLACES: tuple[tuple[Position, ...], ...] = (
    (), (P0,), (P1, P2), (AT_END,), (P0, AT_END), (Position(TOKEN, offset=2),), (P1,),
)  # fmt: skip
"""None (everywhere), one and several; named, counted and END."""


class Sampler:
    """Draws interventions for a model's shape; equal seeds draw equal ones."""

    def __init__(self, shape: ModelShape, seed: int) -> None:
        self.shape = shape
        self.random = Random(seed)
        layers = range(shape.layers)
        self.heads = [Head(layer, head) for layer in layers for head in range(shape.heads)]
        self.mlps = [MLP(layer) for layer in layers]
        self.neurons = [Neuron(layer, index) for layer in layers for index in (0, 1, 13)]
        # Single neurons are nearly as many as heads, so that they meet each other.
        self.senders: list[Component] = [*self.heads, *self.mlps, *self.neurons, Embed()]
        slots = [Receiver(head, slot) for head in self.heads for slot in Slot]
        inputs = [*slots, *(Receiver(part) for part in (*self.mlps, *self.neurons))]
        self.inner = [r for r in inputs if any(self.feeds(s, r) for s in self.senders)]
        self.out = Receiver(Logits())

    def feeds(self, sender: Component, receiver: Receiver) -> bool:
        return can_feed(sender, receiver, parallel=self.shape.parallel)

    def place(self) -> tuple[Position, ...]:
        return self.random.choice(PLACES)

    def direction(self) -> Direction:
        return self.random.choice(list(Direction))

    def reference(self) -> Ablation:
        return self.random.choice(list(Ablation))

    def components(self, most: int) -> tuple[Component, ...]:
        return tuple(self.random.sample(self.senders, self.random.randint(1, most)))

    def edge(self) -> PatchEdge:
        """One sender, one receiver of any sort; a slot of a head, an MLP and logits in turn."""
        inputs = [
            self.random.choice([r for r in self.inner if isinstance(r.component, Head)]),
            self.random.choice([r for r in self.inner if isinstance(r.component, MLP | Neuron)]),
            self.out,
        ]
        receiver = self.random.choices(inputs, (6, 2, 1))[0]
        sender = self.random.choice([s for s in self.senders if self.feeds(s, receiver)])
        through = self.random.random() < 0.4
        return PatchEdge((sender,), (receiver,), self.place(), through, self.direction())

    def group(self) -> PatchEdge:
        """Several senders and receivers, over several layers: a sender may lie above a receiver."""
        through = self.random.random() < 0.4
        receivers = apart(self.random.sample(self.inner, self.random.randint(2, 4)))
        if self.random.random() < 0.2:
            # Through MLPs what logits read decides the output alone, so they stand alone.
            receivers = [self.out] if through else [*receivers, self.out]
        return self._fed(receivers, through)

    def slots_together(self) -> PatchEdge:
        """Q and K of one head; under grouped-query attention also keys of two heads of a group."""
        head = self.random.choice([h for h in self.heads if h.layer > 0])
        neighbour = Head(head.layer, (head.head + 1) % self.shape.heads)
        receivers = [Receiver(head, Slot.Q), Receiver(head, Slot.K), Receiver(neighbour, Slot.K)]
        return self._fed(receivers[: self.random.randint(2, 3)], self.random.random() < 0.4)

    def _fed(self, receivers: list[Receiver], through: bool) -> PatchEdge:
        """An edge from several senders, of which one at least feeds one of the receivers."""
        feeding = [s for s in self.senders if any(self.feeds(s, r) for r in receivers)]
        chosen = dict.fromkeys((self.random.choice(feeding), *self.components(3)))
        senders = apart([*chosen])
        return PatchEdge(tuple(senders), tuple(receivers), self.place(), through, self.direction())

    def inside_one_mlp(self) -> PatchEdge:
        """A neuron that sends to the logits from an MLP that is itself entered, or in part."""
        mlp = self.random.choice(self.mlps)
        inside = [neuron for neuron in self.neurons if holds(mlp, neuron)]
        sender, receivers = self.random.choice(inside), [Receiver(mlp)]
        if self.random.random() < 0.6:
            receivers = [Receiver(neuron) for neuron in self.random.sample(inside, 2)]
        above = [r for r in self.inner if self.feeds(sender, r)]
        last = self.random.choice([*above, self.out, self.out])
        senders = dict.fromkeys((self.random.choice([Embed(), *self.heads[:4]]), sender))
        return PatchEdge(tuple(senders), (*receivers, last), self.place(), False, self.direction())

    def path(self) -> PatchPath:
        """One to four hops of one to three receivers, mostly up to the logits."""
        below = [*self.heads[: self.shape.heads], self.mlps[0], self.neurons[0], Embed()]
        starts = tuple(apart(self.random.sample(below, self.random.randint(1, 2))))
        senders: tuple[Component, ...] = starts
        hops: list[Hop] = []
        for _ in range(self.random.randint(1, 3)):
            fed = [r for r in self.inner if any(self.feeds(s, r) for s in senders)]
            if not fed:
                break
            most = min(len(fed), self.random.choice((1, 1, 2, 3)))
            chosen = apart(self.random.sample(fed, most))
            hops.append(Hop(tuple(chosen), self.place(), self.random.random() < 0.4))
            senders = tuple(r.component for r in chosen if not isinstance(r.component, Logits))
        if not hops or self.random.random() < 0.6:
            through = self.random.random() < 0.4
            hops.append(Hop((self.out,), self.random.choice(((), (AT_END,))), through))
        return PatchPath(starts, tuple(hops), self.direction())

    def activation(self) -> PatchActivation:
        kinds = [a for a in Activation if not (self.shape.parallel and a is Activation.RESID_MID)]
        kind = self.random.choice(kinds)
        of_heads = kind in (
            Activation.Z, Activation.Q, Activation.K, Activation.V, Activation.PATTERN,
        )  # fmt: skip
        one = of_heads and self.random.random() < 0.7
        head = self.random.randrange(self.shape.heads) if one else None
        layer = self.random.randrange(self.shape.layers)
        return PatchActivation(kind, layer, head, self.place(), self.direction())

    def ablation(self) -> AblateNodes:
        return AblateNodes(self.components(5), self.place(), self.reference(), per_template=True)

    def alone(self) -> RunCircuitAlone:
        keep_mlps = self.random.random() < 0.5
        heads = self.random.sample(self.heads, self.random.randint(0, 6))
        mlps = [] if keep_mlps else self.random.sample(self.mlps, self.random.randint(0, 2))
        neurons = self.random.sample(self.neurons, self.random.randint(0, 3))
        kept = [Kept(component, self.place()) for component in (*heads, *mlps, *neurons)]
        # A component may be kept at several places.
        kept += [Kept(head, self.place()) for head in heads[:1]]
        return RunCircuitAlone(tuple(kept), keep_mlps, self.reference(), per_template=True)

    def without(self) -> RunWithout:
        """Components at positions of their own, some of them at several, some spared in part."""
        removed = [Kept(component, self.place()) for component in self.components(4)]
        removed += [Kept(each.component, self.place()) for each in removed[:1]]
        spared = [Kept(each.component, self.place()) for each in removed[:2]]
        spared = spared[: self.random.randint(0, 2)]
        return RunWithout(tuple(removed), tuple(spared), self.reference(), per_template=True)


def apart(parts: list) -> list:
    """Without neurons whose MLP is among the parts, too: nothing may count twice."""
    own = [getattr(part, "component", part) for part in parts]
    return [part for part, c in zip(parts, own, strict=True) if not any(holds(o, c) for o in own)]


KINDS: tuple[tuple[Callable[[Sampler], Intervention], int], ...] = (
    (Sampler.edge, 8),
    (Sampler.group, 4),
    (Sampler.slots_together, 2),
    (Sampler.inside_one_mlp, 2),
    (Sampler.path, 4),
    (Sampler.activation, 6),
    (Sampler.ablation, 3),
    (Sampler.alone, 3),
    (Sampler.without, 3),
)
"""Ways of drawing, and how many of each stand in a round."""


def sample(shape: ModelShape, seed: int, rounds: int) -> list[Intervention]:
    """Interventions of every kind, mixed as a plan would not: no engine may need an order."""
    sampler = Sampler(shape, seed)
    drawn = list(_rounds(sampler, rounds))
    sampler.random.shuffle(drawn)
    return drawn


def _rounds(sampler: Sampler, rounds: int) -> Iterator[Intervention]:
    for _ in range(rounds):
        for draw, count in KINDS:
            for _ in range(count):
                yield draw(sampler)
