"""Path patching of one edge as it is usually taught: four passes with TransformerLens hooks.

Written from the definition (Wang et al. 2022, section 3.1). A: run the source prompts and keep the
heads' outputs. B: run the base prompts and keep them. C: run the base prompts with every head held
at B's output, but the sender at A's, and keep what the receiver's slot computes. D: run the base
prompts with that put into the slot. In C the MLPs are recomputed, or held at B's output too for the
direct edge alone.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from circuitlang.circuit import Direction, Head, Slot
from circuitlang.engine.batch import Batch
from circuitlang.engine.transformer import Transformer
from circuitlang.plan import PatchEdge

Hook = tuple[str, Callable[..., Tensor | None]]


class LiteralPatching:
    """Four passes a pair of heads; with ``share_worlds`` A and B are made once for all pairs.

    ``forwards`` counts the forward passes. Logits of every position are computed, as a plain
    forward pass of the library does.
    """

    def __init__(self, model: Transformer, batch: Batch, *, share_worlds: bool = False) -> None:
        self.model, self.batch = model, batch
        self.share_worlds = share_worlds
        self.forwards = 0
        self._worlds: dict[Direction, tuple[Any, Any]] = {}

    @torch.no_grad()
    def logits(self, edge: PatchEdge) -> Tensor:
        """Logits at END, ``[prompt, vocab]``, of an edge between two heads."""
        sender, receiver, slot = heads_of(edge)
        base = self.batch.clean if edge.direction is Direction.NOISING else self.batch.corrupt
        new, original = self._caches(edge.direction)
        mask = self.batch.mask(edge.positions)
        slot_name = f"blocks.{receiver.layer}.attn.hook_{slot.lower()}"
        kept: dict[str, Tensor] = {}

        def keep(activation: Tensor, hook: object) -> None:
            kept[slot_name] = activation.clone()

        hooks = self._frozen(sender, new, original, mask, mlps=not edge.through_mlps)
        self._forward(base, [*hooks, (slot_name, keep)])
        index = receiver.head * kept[slot_name].shape[2] // self.model.shape.heads

        def enter(activation: Tensor, hook: object) -> Tensor:
            return _put(activation, kept[slot_name], index, mask)

        return self._forward(base, [(slot_name, enter)])[:, -1]

    def _caches(self, direction: Direction) -> tuple[Any, Any]:
        """Passes A and B: the source's and the base's activations."""
        if self.share_worlds and direction in self._worlds:
            return self._worlds[direction]
        pair = (self.batch.corrupt, self.batch.clean)
        source, base = pair if direction is Direction.NOISING else pair[::-1]
        self._worlds[direction] = (self._cache(source), self._cache(base))
        return self._worlds[direction]

    def prepare(self, direction: Direction) -> None:
        """Make the shared runs ahead of the pairs."""
        self._worlds.clear()
        self._caches(direction)

    def _cache(self, tokens: Tensor) -> Any:  # noqa: ANN401 - an ActivationCache
        self.forwards += 1
        _, cache = self.model.bridge.run_with_cache(tokens, names_filter=self._outputs())
        return cache

    def _outputs(self) -> list[str]:
        layers = range(self.model.shape.layers)
        names = [f"blocks.{layer}.attn.hook_z" for layer in layers]
        return names + [f"blocks.{layer}.hook_mlp_out" for layer in layers]

    def _frozen(
        self,
        sender: Head,
        new: Any,  # noqa: ANN401
        original: Any,  # noqa: ANN401
        mask: Tensor,
        *,
        mlps: bool,
    ) -> list[Hook]:
        """Hooks that give every head, and with ``mlps`` every MLP, its output of the base run, and
        the sender that of the source run.
        """
        names = [name for name in self._outputs() if mlps or name.endswith("hook_z")]
        values = {name: original[name] for name in names}
        own = f"blocks.{sender.layer}.attn.hook_z"
        values[own] = _put(original[own], new[own], sender.head, mask)

        def hold(name: str) -> Hook:
            return name, lambda activation, hook: values[name]

        return [hold(name) for name in names]

    def _forward(self, tokens: Tensor, hooks: list[Hook]) -> Tensor:
        self.forwards += 1
        logits: Tensor = self.model.bridge.run_with_hooks(
            tokens, return_type="logits", fwd_hooks=hooks
        )
        return logits


def heads_of(edge: PatchEdge) -> tuple[Head, Head, Slot]:
    """Sender, receiver and slot of an edge between two heads.

    Raises:
        ValueError: the edge is of another kind.
    """
    if len(edge.senders) == len(edge.receivers) == 1:
        sender, receiver = edge.senders[0], edge.receivers[0]
        if (
            isinstance(sender, Head)
            and isinstance(receiver.component, Head)
            and receiver.slot is not None
        ):
            return sender, receiver.component, receiver.slot
    raise ValueError(f"not an edge between two heads: {edge}")


def _put(activation: Tensor, value: Tensor, head: int, mask: Tensor) -> Tensor:
    """A copy of ``[prompt, pos, head, d]`` with one head's value from another at masked places."""
    result = activation.clone()
    part = result[:, :, head]
    part[mask] = value[:, :, head][mask]
    return result
