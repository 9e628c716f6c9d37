"""How many floating-point operations an experiment needs, counted from the model's sizes alone.

Only matrix products count, as torch's FlopCounterMode counts them: a product of ``m x k`` and
``k x n`` is ``2 m k n`` operations. Norms, activations and sums are left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from circuitlang.circuit import MLP, Component, Head, Logits, Position, Receiver, Slot
from circuitlang.engine.batch import Batch
from circuitlang.engine.transformer import Transformer
from circuitlang.plan import PatchEdge


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the count depends on; ``hidden`` is the MLP's width, ``mlp_products`` 3 if gated."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_width: int
    hidden: int
    vocabulary: int
    mlp_products: int = 2
    parallel: bool = False

    @classmethod
    def of(cls, model: Transformer) -> "Sizes":
        """The sizes of a loaded model."""
        config, shape = model.bridge.cfg, model.shape
        gated = bool(getattr(config, "gated_mlp", False))
        return cls(
            shape.layers, config.d_model, shape.heads, shape.kv_heads, config.d_head,
            config.d_mlp if shape.mlps else 0, config.d_vocab, 3 if gated else 2, shape.parallel,
        )  # fmt: skip

    @property
    def mlp(self) -> int:
        """One token through one MLP."""
        return 2 * self.mlp_products * self.width * self.hidden

    @property
    def query(self) -> int:
        """One token's queries of all heads; as much again gives their output projection."""
        return 2 * self.width * self.heads * self.head_width

    @property
    def keys_and_values(self) -> int:
        """One token's keys and values."""
        return 2 * 2 * self.width * self.kv_heads * self.head_width

    def attention(self, keys: int, heads: int | None = None) -> int:
        """Scores and mixture of one query token over ``keys`` tokens, of some heads."""
        return 2 * 2 * keys * self.head_width * (self.heads if heads is None else heads)

    def block(self, keys: int) -> int:
        """One token through one block with ``keys`` tokens to attend to."""
        return self.keys_and_values + 2 * self.query + self.attention(keys) + self.mlp

    @property
    def read_out(self) -> int:
        """Two rows of the unembedding, for the answer and the distractor."""
        return 2 * 2 * self.width


def edge_operations(sizes: Sizes, edge: PatchEdge, tokens: int, first: int, places: int) -> int:
    """Operations of one edge experiment on one prompt, the share of its sender left out.

    Args:
        sizes: the model.
        edge: one experiment; several receivers start at the earliest.
        tokens: length of the prompt.
        first: the first changed position; what comes before it is known from the base run.
        places: number of positions at which the receiver reads something else.

    With L = ``tokens - first`` tokens to recompute, r the receiver's layer and n layers: the slot
    at its places; the attention of its heads and their output projection, and the MLP of layer r,
    over L tokens; blocks r+1 to n-2 over L tokens; of the last layer keys and values over L tokens,
    and queries, attention, output projection and MLP at END alone; two rows of the unembedding. A
    receiver in the last layer is needed at END alone but for its keys and values.
    """
    layers = [layer for r in edge.receivers if (layer := _layer(r)) is not None]
    if not layers:
        return sizes.read_out
    entry, last, count = min(layers), sizes.layers - 1, tokens - first
    total = sizes.read_out
    for receiver in edge.receivers:
        total += _receiver(
            sizes, receiver, tokens, count if _layer(receiver) != last else 1, places
        )
    # The MLP of the entry layer, unless it is itself the receiver.
    if not any(isinstance(r.component, MLP) and _layer(r) == entry for r in edge.receivers):
        total += sizes.mlp * (1 if entry == last else count)
    total += max(0, last - 1 - entry) * count * sizes.block(tokens)
    if entry < last:
        total += count * sizes.keys_and_values + 2 * sizes.query + sizes.attention(tokens)
        total += sizes.mlp
    return total


def _receiver(sizes: Sizes, receiver: Receiver, tokens: int, count: int, places: int) -> int:
    """A receiver's own work: the slot, its heads' attention, and what they write."""
    component = receiver.component
    if isinstance(component, Logits):
        return 0
    if isinstance(component, MLP):
        return min(places, count) * sizes.mlp
    heads = 1 if receiver.slot is Slot.Q else sizes.heads // sizes.kv_heads
    slot = 2 * sizes.width * sizes.head_width * places
    write = 2 * heads * sizes.head_width * sizes.width
    return slot + count * (sizes.attention(tokens, heads) + write)


def _layer(receiver: Receiver) -> int | None:
    return None if isinstance(receiver.component, Logits) else receiver.component.layer


def sender_operations(
    sizes: Sizes, sender: Component, farthest: int, mlps: bool, places: int
) -> int:
    """Operations of one sender on one prompt, shared by all of its receivers.

    What the sender writes, at its places; with ``mlps`` also every MLP from there to the layer
    ``farthest`` in which the last receiver stands.
    """
    written = 2 * sizes.head_width * sizes.width if isinstance(sender, Head) else 0
    if not mlps:
        return written * places
    # A head is heard by the MLP of its own layer, except in parallel blocks.
    own = isinstance(sender, Head) and not sizes.parallel
    between = max(0, farthest - sender.layer - (0 if own else 1))
    return places * (written + between * sizes.mlp)


def world_operations(sizes: Sizes, batch: Batch) -> int:
    """Operations of one undisturbed run of a batch, END unembedded."""
    prompts, tokens = batch.clean.shape
    blocks = sizes.layers * tokens * sizes.block(tokens)
    return prompts * (blocks + 2 * sizes.width * sizes.vocabulary)


def needed_operations(sizes: Sizes, edges: Sequence[PatchEdge], batch: Batch) -> int:
    """Operations of a list of edge experiments on a batch; the two worlds are not counted.

    The lower bound of an exact run: every edge from the layer that it enters, over the tokens that
    it changes, and every sender once.
    """
    prompts, tokens = batch.clean.shape
    total = 0
    senders: dict[tuple[Component, tuple[Position, ...], bool, str], int] = {}
    for edge in edges:
        mask = batch.mask(edge.positions)
        # A batch is computed as one rectangle, from the first column that any prompt changes.
        first = int(mask.any(dim=0).int().argmax())
        places = len(edge.positions) or tokens
        total += edge_operations(sizes, edge, tokens, first, places)
        farthest = max(sizes.layers if (x := _layer(r)) is None else x for r in edge.receivers)
        for sender in edge.senders:
            key = (sender, edge.positions, edge.through_mlps, str(edge.direction))
            senders[key] = max(farthest, senders.get(key, 0))
    for (sender, positions, mlps, _), farthest in senders.items():
        total += sender_operations(sizes, sender, farthest, mlps, len(positions) or tokens)
    return prompts * total
