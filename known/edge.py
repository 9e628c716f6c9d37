"""An edge as a `.circuit` file writes it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KnownEdge:
    """`senders -> receivers`, or `~>` with ``through_mlps``, at the senders' positions.

    All are texts of the language: senders such as `L0.H1`, receivers such as `L1.H2.K`, `L1.MLP`
    or `logits` (one slot for all of them), positions such as `S2`; no positions mean every one.
    """

    senders: tuple[str, ...]
    receivers: tuple[str, ...]
    positions: tuple[str, ...] = ()
    through_mlps: bool = False

    @property
    def arrow(self) -> str:
        """`->` or `~>`."""
        return "~>" if self.through_mlps else "->"

    def __str__(self) -> str:
        at = f" at {', '.join(self.positions)}" if self.positions else ""
        return f"{', '.join(self.senders)}{at} {self.arrow} {', '.join(self.receivers)}"


def edge(
    senders: str, receivers: str, positions: str = "", *, through_mlps: bool = False
) -> KnownEdge:
    """An edge from words: ``edge("L0.H1 L0.H2", "L1.H0.K", "B D")``."""
    return KnownEdge(
        tuple(senders.split()), tuple(receivers.split()), tuple(positions.split()), through_mlps
    )
