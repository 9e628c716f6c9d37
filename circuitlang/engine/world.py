"""An undisturbed forward pass with everything that experiments start from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from circuitlang.circuit import MLP, Component, Embed, Head, Neuron
from circuitlang.engine.site import Kind, Site, Write
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
        """The embedding's, every head's and MLP's output."""
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


EMBEDDING = Site(Kind.RESID_PRE, 0)
"""What the embedding writes: the residual stream that enters the first block."""


def output_sites(model: Transformer) -> tuple[Site, ...]:
    """The embedding's, every head's and MLP's output; those of neurons are read when asked for."""
    kinds = (Kind.Z, Kind.MLP_OUT) if model.shape.mlps else (Kind.Z,)
    layers = range(model.shape.layers)
    return (EMBEDDING, *(Site(kind, layer) for layer in layers for kind in kinds))


def final_site(model: Transformer) -> Site:
    """The residual stream that the final norm reads."""
    return Site(Kind.RESID_POST, model.shape.layers - 1)


def run_world(model: Transformer, tokens: Tensor) -> World:
    """Run a batch undisturbed."""
    return World(tokens, model.run(tokens, (*output_sites(model), final_site(model))))


def output_site(component: Component) -> Site:
    """Where a component's output is read."""
    match component:
        case Head():
            return Site(Kind.Z, component.layer)
        case MLP():
            return Site(Kind.MLP_OUT, component.layer)
        case Neuron():
            return Site(Kind.POST, component.layer)
        case Embed():
            return EMBEDDING


def outputs_of(model: Transformer, world: World, components: Iterable[Component]) -> Activations:
    """A world's activations with the outputs of these components; neurons take one more pass."""
    sites = dict.fromkeys(map(output_site, components))
    missing = tuple(site for site in sites if site not in world.activations.sites)
    if not missing:
        return world.activations
    more = model.run(world.tokens, missing)
    return Activations({**world.activations.sites, **more.sites}, world.logits)


def written_by(model: Transformer, component: Component, activations: Activations) -> Tensor:
    """What a component adds to the residual stream in a run, ``[prompt, pos, d_model]``."""
    output = activations[output_site(component)]
    match component:
        case Head(layer=layer, head=head):
            return model.head_write(layer, head, output[:, :, head])
        case Neuron(layer=layer, index=index):
            return model.neuron_write(layer, index, output[:, :, index])
        case _:
            return output


def rewrite(component: Component, values: Tensor, mask: Tensor) -> Write:
    """The write that gives a component another output at the masked positions.

    ``values`` has the shape of the component's output site; of a layer's ``z`` only the one head is
    taken.
    """
    site = output_site(component)
    match component:
        case Head(head=index) | Neuron(index=index):
            return Write(site, values[:, :, index], mask, index)
        case _:
            return Write(site, values, mask)


def frozen_heads(model: Transformer, world: World) -> list[Write]:
    """Writes that hold every head at its output in a world."""
    layers = range(model.shape.layers)
    return [Write(Site(Kind.Z, layer), world.z(layer)) for layer in layers]
