"""What activation patching replaces: an activation of a layer, of one head or as a whole."""

from dataclasses import dataclass, field
from enum import StrEnum

from circuitlang.circuit.component import MLP, Component, Embed, Head, Neuron


class Activation(StrEnum):
    """What activation patching replaces, in TransformerLens's words.

    One of a layer's heads or all of them for ``Z`` (head outputs before the output projection),
    ``Q``, ``K``, ``V`` and ``PATTERN``; of an MLP one neuron's activation or all of them for
    ``POST``; the whole residual stream or write for the others.
    """

    RESID_PRE = "resid_pre"
    RESID_MID = "resid_mid"
    RESID_POST = "resid_post"
    ATTN_OUT = "attn_out"
    MLP_OUT = "mlp_out"
    Z = "z"
    Q = "q"
    K = "k"
    V = "v"
    PATTERN = "pattern"
    POST = "post"

    @property
    def of_heads(self) -> bool:
        """Whether every head of a layer has its own."""
        return self in _OF_HEADS

    @property
    def divides(self) -> bool:
        """Whether a single head or neuron has its own."""
        return self in (*_OF_HEADS, Activation.POST)


_OF_HEADS = (Activation.Z, Activation.Q, Activation.K, Activation.V, Activation.PATTERN)

STREAMS = (
    Activation.RESID_PRE,
    Activation.RESID_MID,
    Activation.RESID_POST,
    Activation.ATTN_OUT,
    Activation.MLP_OUT,
)
"""What a layer has as a whole: `L5.resid_pre`."""


@dataclass(frozen=True, slots=True, order=True)
class ActivationSite:
    """An activation of a layer.

    ``head`` is None where it is no head's, or all heads' at once; of `POST` it counts neurons.
    ``written`` is what a file calls it, where that is not its own name: `embed`.
    """

    activation: Activation
    layer: int
    head: int | None = None
    written: str = field(default="", compare=False)

    def __str__(self) -> str:
        if self.written:
            return self.written
        if self.head is None:
            return f"L{self.layer}.{self.activation}"
        if self.activation is Activation.POST:
            return f"{self.component}"
        slot = "" if self.activation is Activation.Z else f".{_SHOWN[self.activation]}"
        return f"L{self.layer}.H{self.head}{slot}"

    @property
    def component(self) -> Component | None:
        """The part whose activation it is; None for a stream or several heads.

        The stream that enters the first block is what the embedding writes.
        """
        match self.activation:
            case Activation.POST if self.head is not None:
                return Neuron(self.layer, self.head)
            case _ if self.head is not None:
                return Head(self.layer, self.head)
            case Activation.MLP_OUT:
                return MLP(self.layer)
            case Activation.RESID_PRE if self.layer == 0:
                return Embed()
            case _:
                return None


_SHOWN = {a: a.value if a is Activation.PATTERN else a.name for a in Activation}
