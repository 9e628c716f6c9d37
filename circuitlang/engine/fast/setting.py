"""What every job of a batch is made from."""

from dataclasses import dataclass, field

from torch import Tensor

from circuitlang.circuit import MLP, Component, Embed, Head, Logits, Neuron, Receiver, can_feed
from circuitlang.engine.fast.anatomy import Anatomy
from circuitlang.engine.fast.jobs import Job, Phase
from circuitlang.engine.fast.worlds import FastWorld, FastWorlds
from circuitlang.engine.means import MeanOutputs
from circuitlang.engine.site import Site


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """A batch's worlds, the model's blocks, and means for ablations."""

    worlds: FastWorlds
    anatomy: Anatomy
    means: MeanOutputs | None
    _means: dict[Site, Tensor] = field(default_factory=dict)

    @property
    def layers(self) -> int:
        """Of the model."""
        return len(self.anatomy.blocks)

    @property
    def length(self) -> int:
        """Tokens of a prompt."""
        return self.worlds.clean.length

    def feeds(self, sender: Component, receiver: Receiver) -> bool:
        """Whether a sender's output is part of a receiver's input."""
        return can_feed(sender, receiver, parallel=self.anatomy.parallel)

    def layer_of(self, receiver: Receiver) -> int:
        """The layer in which a receiver reads; logits read after the last."""
        component = receiver.component
        return self.layers if isinstance(component, Logits) else component.layer

    def nothing(self, index: int, base: FastWorld) -> Job:
        """A job that changes nothing so far."""
        return Job(index, base, self.length - 1, (self.layers, Phase.BEFORE))

    def write(self, world: FastWorld, component: Component) -> Tensor:
        """What a component adds to the residual stream in a world, ``[prompt, pos, d_model]``."""
        if isinstance(component, Embed):
            return world.embedding
        block = self.anatomy.blocks[component.layer]
        match component:
            case MLP(layer=layer):
                return world.mlp_out(layer)
            case Neuron(index=index):
                return block.neurons.neuron_write(index, self.neuron(world, component))
            case Head(layer=layer, head=head):
                return block.head_write(head, world.z(layer)[:, :, head])

    def neuron(self, world: FastWorld, neuron: Neuron) -> Tensor:
        """A neuron's activation in a world, ``[prompt, pos]``."""
        return world.neuron(neuron, self.worlds.columns(()))

    def mean_rows(self, site: Site) -> Tensor:
        """The mean output of each prompt's group, ``[prompt, pos, ...]``.

        Raises:
            ValueError: no means were taken.
        """
        if self.means is None:
            raise ValueError("a mean ablation needs the means of the corrupt prompts")
        if site not in self._means:
            dtype = self.worlds.clean.final.dtype
            self._means[site] = self.means.rows(site, self.worlds.batch).to(dtype)
        return self._means[site]
