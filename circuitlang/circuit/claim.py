"""What a file asserts: edges, and claims about nodes and the whole circuit."""

from dataclasses import dataclass, field
from enum import StrEnum

from circuitlang.circuit.bound import Bound
from circuitlang.circuit.component import Component, Logits, Receiver
from circuitlang.circuit.patching import PatchClaim, SteerClaim
from circuitlang.circuit.position import Position
from circuitlang.circuit.reading import BaselineClaim, ReadingClaim
from circuitlang.circuit.settings import Ablation, Direction
from circuitlang.source import Span


@dataclass(frozen=True, slots=True)
class Role:
    """A node: a name for components at positions (the empty tuple: at every position)."""

    name: str
    components: tuple[Component, ...]
    positions: tuple[Position, ...] = ()
    label: str = ""
    span: Span = field(default=Span(0, 0), compare=False)


@dataclass(frozen=True, slots=True)
class EdgeClaim:
    """The effect of patching an edge lies in a bound.

    ``through_mlps``: MLPs between sender and receiver recompute (`~>`); otherwise the edge is
    direct (`->`). ``positions`` are those of the edge itself: where the senders write and the
    receivers read. ``absent`` marks `no ... within`.
    """

    senders: tuple[Component, ...]
    receivers: tuple[Receiver, ...]
    positions: tuple[Position, ...]
    through_mlps: bool
    direction: Direction
    absent: bool
    bound: Bound
    sender_name: str
    receiver_name: str
    text: str
    span: Span = field(default=Span(0, 0), compare=False)


@dataclass(frozen=True, slots=True)
class Step:
    """One hop of a path: the receivers that it enters, and the positions at which it lives.

    ``through_mlps``: MLPs on the way recompute (`~>`); otherwise the hop is direct (`->`).
    """

    receivers: tuple[Receiver, ...]
    positions: tuple[Position, ...]
    receiver_name: str
    through_mlps: bool = False


@dataclass(frozen=True, slots=True)
class PathClaim:
    """The effect of patching a whole path `A -> B.V -> C.Q -> logits` lies in a bound.

    Nested edges, each direct or through MLPs: every hop carries only what arrived over the hop
    before. ``hops`` has two at least; ``absent`` marks `no ... within`.
    """

    senders: tuple[Component, ...]
    hops: tuple[Step, ...]
    direction: Direction
    absent: bool
    bound: Bound
    sender_name: str
    text: str
    span: Span = field(default=Span(0, 0), compare=False)

    @property
    def receivers(self) -> tuple[Receiver, ...]:
        """Of the last hop."""
        return self.hops[-1].receivers

    @property
    def edges(self) -> tuple[EdgeClaim, ...]:
        """Every hop as an edge, for what speaks of edges one by one, such as a drawing."""
        senders, name, found = self.senders, self.sender_name, list[EdgeClaim]()
        for hop in self.hops:
            found.append(
                EdgeClaim(
                    senders,
                    hop.receivers,
                    hop.positions,
                    through_mlps=hop.through_mlps,
                    direction=self.direction,
                    absent=self.absent,
                    bound=self.bound,
                    sender_name=name,
                    receiver_name=hop.receiver_name,
                    text=self.text,
                    span=self.span,
                )
            )
            parts = (r.component for r in hop.receivers)
            senders = tuple(part for part in parts if not isinstance(part, Logits))
            slot = hop.receivers[0].slot
            name = hop.receiver_name.removesuffix(f".{slot}" if slot else "")
        return tuple(found)


def edges_of(claim: EdgeClaim | PathClaim) -> tuple[EdgeClaim, ...]:
    """An edge itself, or the hops of a path."""
    return claim.edges if isinstance(claim, PathClaim) else (claim,)


@dataclass(frozen=True, slots=True)
class AblationClaim:
    """Replacing the nodes' outputs costs an effect that lies in a bound."""

    components: tuple[Component, ...]
    positions: tuple[Position, ...]
    reference: Ablation
    bound: Bound
    text: str
    span: Span = field(default=Span(0, 0), compare=False)


@dataclass(frozen=True, slots=True)
class FaithfulnessClaim:
    """(F(C) - F(empty)) / (F(M) - F(empty)) lies in a bound (Wang et al. 2022)."""

    reference: Ablation
    bound: Bound
    text: str
    span: Span = field(default=Span(0, 0), compare=False)


class CircuitTest(StrEnum):
    """What else is claimed of a whole circuit.

    COMPLETENESS and MINIMALITY: Wang et al. 2022, section 4. The others: Shi et al. 2024, with the
    nulls turned round, so that a pass is shown and never the lack of a rejection.
    """

    COMPLETENESS = "completeness"
    MINIMALITY = "minimality"
    EQUIVALENT = "equivalent"
    INDEPENDENT = "independent"
    MINIMAL = "minimal"
    SUFFICIENT = "sufficient"


@dataclass(frozen=True, slots=True)
class CircuitTestClaim:
    """A test of the whole circuit holds within a bound; docs/language.md defines each."""

    test: CircuitTest
    reference: Ablation
    bound: Bound
    text: str
    span: Span = field(default=Span(0, 0), compare=False)


OtherClaim = (
    AblationClaim
    | FaithfulnessClaim
    | CircuitTestClaim
    | PatchClaim
    | SteerClaim
    | ReadingClaim
    | BaselineClaim
)
"""A claim of the `claims` block."""

Claim = EdgeClaim | PathClaim | OtherClaim
