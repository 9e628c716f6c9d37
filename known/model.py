"""A transformer whose circuit is known by construction, with every exact number about it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import numpy as np

from known.edge import KnownEdge
from known.program import LOGITS, Array, Indices, Pairs, Program, World
from known.variation import Variation
from known.wiring import Wiring


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A known model in one flavour.

    Attributes:
        layout: the position of each token of the template; a word that is the same in every prompt
            has the empty name. A position is a slot and, where it stands more than once, a number.
        words: the word list of each slot.
        rules: what each changed position holds in the corrupt prompt: the slot whose clean word
            it takes, or `fresh`.
        true_edges: every edge with an effect, at the positions where it lives.
        balanced_edges: edges whose effect varies around a population effect of exactly zero.
        groups: edges of several senders or receivers at once.
        wrong_edges: true edges with a wrong slot, position, order or arrow.
        nodes: the circuit, for faithfulness: positions by component.
        population: all prompts that the word lists allow, one for each class of prompts that only
            differ in words that make no difference, and the share of each class, ``[prompt]``.
    """

    name: str
    title: str
    variation: Variation
    template: str
    layout: tuple[str, ...]
    words: Mapping[str, tuple[str, ...]]
    lists: tuple[str, ...]
    rules: Mapping[str, str]
    metric: tuple[str, str]
    program: Program = field(repr=False)
    wire: Callable[[Variation], Wiring] = field(repr=False)
    population: Callable[[], tuple[Pairs, Array]] = field(repr=False)
    true_edges: tuple[KnownEdge, ...]
    balanced_edges: tuple[KnownEdge, ...] = ()
    groups: tuple[KnownEdge, ...] = ()
    wrong_edges: tuple[KnownEdge, ...] = ()
    nodes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    layers: int = 2
    heads: int = 4

    def build(self, folder: Path, dtype: str = "float64") -> Path:
        """Write the Hugging Face folder."""
        return self.wire(self.variation).write_folder(folder, dtype)

    # -- circuit files ---------------------------------------------------------------------------

    def header(self, model: str, sample: int, seed: int = 0) -> str:
        """The blocks `model`, `prompts` and `metric`; ``model`` is what follows `model`."""
        rules = ", ".join(f"{position} = {value}" for position, value in self.rules.items())
        lists = "\n".join(f"  {line}" for line in self.lists)
        return (
            f'circuit {self.name} "{self.title}"\n\nmodel {model}\n\n'
            f'prompts {{\n  clean "{self.template}"\n  corrupt {rules}\n{lists}\n'
            f"  sample {sample} seed {seed}\n}}\n\nmetric logit_diff({', '.join(self.metric)})\n"
        )

    def circuit_text(
        self,
        model: str,
        edges: Sequence[tuple[KnownEdge, str]],
        sample: int,
        seed: int = 0,
        claims: str = "",
        test: str = "",
    ) -> str:
        """A circuit file with edges, each with what follows it, such as `>= 20%`.

        A bound that begins with `within` makes the edge one that must be absent. Nodes are named
        by number; a single component without positions stands for itself.
        """
        named: dict[tuple[tuple[str, ...], tuple[str, ...]], str] = {}
        lines = []
        for edge, bound in edges:
            absent = "no " if bound.startswith("within") else ""
            lines.append(f"  {absent}{_written(edge, named)}  {bound}")
        nodes = "".join(
            f"  {name}  {', '.join(parts)}{_at(positions)}\n"
            for (parts, positions), name in named.items()
        )
        blocks = [self.header(model, sample, seed)]
        blocks += [f"nodes {{\n{nodes}}}\n"] if nodes else []
        blocks += ["edges {\n" + "\n".join(lines) + "\n}\n"] if lines else []
        blocks += [f"claims {{\n{claims}\n}}\n"] if claims else []
        blocks += [f"test {{\n{test}\n}}\n"] if test else []
        return "\n".join(blocks)

    # -- which edges there are -------------------------------------------------------------------

    def components(self) -> tuple[str, ...]:
        """Every head and MLP, layer by layer."""
        return tuple(
            f"L{layer}.{part}"
            for layer in range(self.layers)
            for part in (*(f"H{head}" for head in range(self.heads)), "MLP")
        )

    def possible_edges(self) -> Iterator[KnownEdge]:
        """Every edge from one component into one slot, of both kinds, at every position at once."""
        parts = self.components()
        for sender, receiver in product(parts, (*parts, LOGITS)):
            if _feeds(sender, receiver):
                is_head = ".H" in receiver
                for slot in (".Q", ".K", ".V") if is_head else ("",):
                    for through_mlps in (False, True):
                        yield KnownEdge((sender,), (receiver + slot,), (), through_mlps)

    def absent_edges(self) -> tuple[KnownEdge, ...]:
        """Every possible edge that no true or balanced edge is part of.

        Each has an effect of exactly zero on every prompt.
        """
        present = {
            (sender, receiver, edge.through_mlps)
            for edge in (*self.true_edges, *self.balanced_edges)
            for sender in edge.senders
            for receiver in edge.receivers
        }
        return tuple(
            edge
            for edge in self.possible_edges()
            if (edge.senders[0], edge.receivers[0], edge.through_mlps) not in present
        )

    # -- exact numbers ---------------------------------------------------------------------------

    def read(self, prompts: Sequence[tuple[str, str]]) -> Pairs:
        """Clean and corrupt texts as the program reads them."""
        clean, corrupt = (
            [self._positions(text) for text in side] for side in zip(*prompts, strict=True)
        )
        answer, distractor = (
            self._indices(clean, next(at for at in self.layout if slot_of(at) == slot))
            for slot in self.metric
        )
        named = [position for position in self.layout if position]
        worlds = (
            World({at: self._indices(side, at) for at in named}, answer, distractor)
            for side in (clean, corrupt)
        )
        return Pairs(*worlds)

    def metrics(self, pairs: Pairs) -> tuple[Array, Array]:
        """The metric of the clean and of the corrupt world, ``[prompt]`` each."""
        return self.program.run(pairs.clean)[0], self.program.run(pairs.corrupt)[0]

    def patched(self, edge: KnownEdge, pairs: Pairs, *, denoising: bool = False) -> Array:
        """The metric of the patched world, ``[prompt]``."""
        base, source = (
            (pairs.corrupt, pairs.clean) if denoising else (pairs.clean, pairs.corrupt)
        )  # fmt: skip
        return self.program.patched(edge, base, source)

    def effect(
        self,
        edge: KnownEdge,
        pairs: Pairs,
        *,
        denoising: bool = False,
        shares: Array | None = None,
    ) -> float:
        """The effect on these prompts: a ratio of means, weighted by ``shares`` ``[prompt]``."""
        clean, corrupt = self.metrics(pairs)
        patched = self.patched(edge, pairs, denoising=denoising)
        change = patched - corrupt if denoising else clean - patched
        gap = clean - corrupt
        return float(np.average(change, weights=shares) / np.average(gap, weights=shares))

    def population_effect(self, edge: KnownEdge, *, denoising: bool = False) -> float:
        """The effect over every prompt that the word lists allow: a ratio of expectations."""
        pairs, shares = self.population()
        return self.effect(edge, pairs, denoising=denoising, shares=shares)

    def ablation_effect(
        self, pairs: Pairs, components: Mapping[str, Sequence[str]], reference: str
    ) -> float:
        """The effect of ablating components at positions."""
        clean, corrupt = self.metrics(pairs)
        ablated = self.program.ablated(pairs, components, reference)
        return float((clean - ablated).mean() / (clean - corrupt).mean())

    def faithfulness(
        self, pairs: Pairs, reference: str, nodes: Mapping[str, Sequence[str]] | None = None
    ) -> float:
        """(F(C) - F(empty)) / (F(M) - F(empty)) of the nodes."""
        kept = self.nodes if nodes is None else nodes
        keeps_mlps = not any(name.endswith("MLP") for name in kept)
        whole = self.metrics(pairs)[0].mean()
        alone = self.program.alone(pairs, kept, reference).mean()
        empty = self.program.alone(pairs, {} if keeps_mlps else {"MLP": ()}, reference).mean()
        return float((alone - empty) / (whole - empty))

    def _positions(self, text: str) -> dict[str, str]:
        return dict(zip(self.layout, text.split(), strict=True))

    def _indices(self, side: Sequence[Mapping[str, str]], position: str) -> Indices:
        words = self.words[slot_of(position)]
        return np.array([words.index(prompt[position]) for prompt in side])


def word_list(slots: str, words: Sequence[str]) -> str:
    """A line of a `prompts` block."""
    return f"{slots} from " + ", ".join(f'"{word}"' for word in words)


def slot_of(position: str) -> str:
    """`S` of `S2`."""
    return position.rstrip("0123456789")


def _feeds(sender: str, receiver: str) -> bool:
    if receiver == LOGITS:
        return True
    one, other = sender.split("."), receiver.split(".")
    if one[0] != other[0]:
        return int(one[0][1:]) < int(other[0][1:])
    return one[1] != "MLP" and other[1] == "MLP"


def _at(positions: Sequence[str]) -> str:
    return f"  at {', '.join(positions)}" if positions else ""


def _written(edge: KnownEdge, named: dict[tuple[tuple[str, ...], tuple[str, ...]], str]) -> str:
    """An edge over nodes; new ones are named."""

    def node(parts: tuple[str, ...], positions: tuple[str, ...]) -> str:
        if len(parts) == 1 and not positions:
            return parts[0]
        return named.setdefault((parts, positions), f"N{len(named) + 1}")

    slots = {receiver.partition(".")[2].partition(".")[2] for receiver in edge.receivers}
    if len(slots) > 1:
        raise ValueError(f"an edge enters one slot: {edge}")
    slot = slots.pop()
    parts = tuple(receiver.removesuffix(f".{slot}") for receiver in edge.receivers)
    entered = node(parts, ()) + (f".{slot}" if slot else "")
    return f"{node(edge.senders, edge.positions)} {edge.arrow} {entered}"
