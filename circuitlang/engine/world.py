"""An undisturbed forward pass with everything that experiments start from."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from circuitlang.circuit import MLP, Component, Head
from circuitlang.engine.site import Kind, Site
from circuitlang.engine.transformer import Activations, Transformer


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """The clean or the corrupt run of a batch: tokens ``[prompt, pos]`` and activations."""

    tokens: Tensor
    activations: Activations

    @property
    def logits(self) -> Tensor:
        """Logits at END, ``[prompt, vocab]``."""
        return self.activations.logits

    @property
    def outputs(self) -> Mapping[Site, Tensor]:
        """Every head's and MLP's output."""
        return self.activations.sites

    @property
    def bytes(self) -> int:
        """Memory that it holds."""
        return self.activations.bytes

    def held(self) -> dict[str, Tensor]:
        """Every cached tensor by its hook's name."""
        found = {site.hook_name: values for site, values in self.activations.sites.items()}
        return {**found, "logits": self.logits, "tokens": self.tokens}

    def z(self, layer: int) -> Tensor:
        """Head outputs before the output projection, ``[prompt, pos, head, d_head]``."""
        return self.activations[Site(Kind.Z, layer)]

    def mlp_out(self, layer: int) -> Tensor:
        """An MLP's write, ``[prompt, pos, d_model]``."""
        return self.activations[Site(Kind.MLP_OUT, layer)]


def output_sites(model: Transformer) -> tuple[Site, ...]:
    """Every head's and MLP's output."""
    kinds = (Kind.Z, Kind.MLP_OUT) if model.shape.mlps else (Kind.Z,)
    return tuple(Site(kind, layer) for layer in range(model.shape.layers) for kind in kinds)


def final_site(model: Transformer) -> Site:
    """The residual stream that the final norm reads."""
    return Site(Kind.RESID_POST, model.shape.layers - 1)


def run_world(model: Transformer, tokens: Tensor) -> World:
    """Run a batch undisturbed."""
    return World(tokens, model.run(tokens, (*output_sites(model), final_site(model))))


def output_site(component: Component) -> Site:
    """Where a component's output is read."""
    return Site(Kind.Z if isinstance(component, Head) else Kind.MLP_OUT, component.layer)


def written_by(model: Transformer, component: Component, activations: Activations) -> Tensor:
    """What a component adds to the residual stream in a run, ``[prompt, pos, d_model]``."""
    output = activations[output_site(component)]
    if isinstance(component, MLP):
        return output
    return model.head_write(component.layer, component.head, output[:, :, component.head])
