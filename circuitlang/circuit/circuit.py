"""A resolved hypothesis: every name has its meaning, nothing has been measured."""

from dataclasses import dataclass, field

from circuitlang.circuit.claim import Claim, EdgeClaim, OtherClaim, PathClaim, Role
from circuitlang.circuit.component import MLP, Neuron
from circuitlang.circuit.later import later
from circuitlang.circuit.metric import Metric
from circuitlang.circuit.prompts import Prompts
from circuitlang.circuit.settings import TestSettings
from circuitlang.circuit.sweep import Sweep
from circuitlang.models import ModelShape
from circuitlang.source import Span


@dataclass(frozen=True, slots=True)
class ModelReference:
    """Which transformer, and how its weights are loaded.

    ``kind``: name (hub name, folder or obtainable model), builtin or gguf. ``weights``: plain
    (as published) or folded (TransformerLens compatibility mode: LayerNorm folded, writing weights
    and unembedding centred, value biases folded). ``key_values`` of grouped-query attention: shared
    by the heads of a group, or ungrouped, a key and a value head for each query head.
    """

    kind: str
    name: str
    revision: str | None = None
    dtype: str = "float32"
    weights: str = "plain"
    key_values: str = later("shared")
    span: Span = field(default=Span(0, 0), compare=False)

    def __str__(self) -> str:
        return self.name if self.kind == "name" else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Circuit:
    """One `.circuit` file with its names resolved.

    ``layout`` says what stands at each token of the prompts, once they are in tokens: nothing where
    their layouts differ, None where it is not known yet.
    """

    name: str
    title: str
    model: ModelReference
    prompts: Prompts
    metric: Metric
    roles: tuple[Role, ...]
    edges: tuple[EdgeClaim | PathClaim, ...]
    claims: tuple[OtherClaim, ...]
    settings: TestSettings
    shape: ModelShape | None = None
    sweeps: tuple[Sweep, ...] = ()
    layout: tuple[str, ...] | None = None

    @property
    def names_mlps(self) -> bool:
        """Whether a node names an MLP or a neuron; only then are the others not in the circuit."""
        return any(isinstance(c, MLP | Neuron) for role in self.roles for c in role.components)

    @property
    def all_claims(self) -> tuple[Claim, ...]:
        """Everything that gets a verdict, in file order: edges, then claims."""
        return (*self.edges, *self.claims)
