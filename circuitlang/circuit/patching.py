"""Claims that put something into a node's output: activation patching and steering."""

from dataclasses import dataclass, field

from circuitlang.circuit.activation import ActivationSite
from circuitlang.circuit.bound import Bound
from circuitlang.circuit.component import Component
from circuitlang.circuit.position import Position
from circuitlang.circuit.settings import Direction
from circuitlang.source import Span


@dataclass(frozen=True, slots=True)
class PatchClaim:
    """The effect of replacing activations by those of the other world lies in a bound.

    Activation patching (Meng et al. 2022, Heimersheim and Nanda 2024): all ``sites`` at once, at
    the positions (the empty tuple: at every one). Of a pattern these are the queries'.
    """

    sites: tuple[ActivationSite, ...]
    positions: tuple[Position, ...]
    direction: Direction
    bound: Bound
    text: str
    span: Span = field(default=Span(0, 0), compare=False)

    @property
    def components(self) -> tuple[Component, ...]:
        """Heads, MLPs, neurons and the embedding that are patched by name."""
        return _named(self.sites)


@dataclass(frozen=True, slots=True)
class SteerClaim:
    """Adding a multiple of a difference of activations moves the metric within a bound.

    Activation addition: ``factor`` times a difference is added to each site's value in the clean
    run, at the positions. Without ``texts`` it is the mean over the prompts of the site's clean
    minus corrupt value (Rimsky et al. 2024, who take the mean difference of contrast pairs), and
    ``factor`` is negative where the file subtracts clean from corrupt. With ``texts`` it is the
    site's value on the first minus that on the second (Turner et al. 2023): at the texts' last
    tokens where there are positions, else token by token from the prompt's first one on.
    """

    sites: tuple[ActivationSite, ...]
    positions: tuple[Position, ...]
    factor: float
    bound: Bound
    text: str
    span: Span = field(default=Span(0, 0), compare=False)
    texts: tuple[str, str] | None = None

    @property
    def components(self) -> tuple[Component, ...]:
        """Heads, MLPs, neurons and the embedding that are steered by name."""
        return _named(self.sites)


def _named(sites: tuple[ActivationSite, ...]) -> tuple[Component, ...]:
    """The components among sites; a layer's stream is none."""
    return tuple(c for site in sites if (c := site.component) is not None)
