"""Two heads behind a gate: OR hides each of them when the other is there, AND needs both.

    quietly otter and heron oak again  ->  otter
    X       A         B     Y   END

The corrupt prompt has another animal in the place of A.

| part | reads | writes |
|---|---|---|
| L0.H1 | V: the animal at A; its attention is shared with X | it, into `first` |
| L1.H2 | V: the animal at A | it, into `second` |
| L1.MLP | for each animal, u = `first` + `second` | its gain times min(u, 1) or max(u - 1, 0) |
| all others | animals, numbers | numbers that only they read, or evenly into all logits |

With both heads fully there, patching one of them into the clean run leaves OR at 1: its effect is
zero, although the gate would not open without the two. Patched into the corrupt run, one of them
opens it: 100 %. With AND it is the other way round. Both heads together have 100 % in any case.
"""

from enum import StrEnum

import numpy as np

from known.edge import edge
from known.idle import idle_head, idle_mlp
from known.model import KnownModel, word_list
from known.program import (
    Array,
    Inputs,
    Messages,
    Pairs,
    Part,
    Program,
    World,
    attention,
    grid,
    logit_difference,
    one_hot,
)
from known.variation import SCORE, Variation, draws, gains
from known.wiring import Wiring
from known.words import ANIMALS, MANNERS, PLANTS

SHOWN = ANIMALS[:12]
LAYOUT = ("X", "A", "", "B", "Y", "")
FIRST, SECOND, GATE = "L0.H1", "L1.H2", "L1.MLP"


class Gate(StrEnum):
    """What the MLP computes."""

    OR = "or"
    AND = "and"


def gate(kind: Gate, variation: Variation = Variation.NOISELESS) -> KnownModel:
    """The gate model of a kind.

    Absent edges: the logits compare two animals; only the gate writes them unevenly, and it reads
    `first` and `second`, which L0.H1 and L1.H2 alone write. Both attend to A whatever they read,
    and read (V) the embedding.
    """
    true_edges = [
        found
        for mlps in (False, True)
        for found in (
            edge(FIRST, GATE, "END", through_mlps=mlps),
            edge(SECOND, GATE, "END", through_mlps=mlps),
            edge(GATE, "logits", "END", through_mlps=mlps),
        )
    ]
    true_edges += [edge(head, "logits", "END", through_mlps=True) for head in (FIRST, SECOND)]
    both = f"{FIRST} {SECOND}"
    return KnownModel(
        name=f"{kind}_gate",
        title=f"Two heads behind an {kind.upper()} gate",
        variation=variation,
        template="{X} {A} and {B} {Y} again",
        layout=LAYOUT,
        words={"X": MANNERS, "A": SHOWN, "B": SHOWN, "Y": PLANTS},
        lists=(word_list("A, B", SHOWN), word_list("X", MANNERS), word_list("Y", PLANTS)),
        rules={"A": "fresh"},
        metric=("A", "B"),
        program=_program(kind, variation),
        wire=lambda wired: wire(kind, wired),
        population=_population,
        true_edges=tuple(true_edges),
        groups=(edge(both, GATE, "END"), edge(both, "logits", "END", through_mlps=True)),
        wrong_edges=(
            edge(FIRST, "logits", "END"),  # a wrong arrow: nothing flows but through the gate
            edge(SECOND, "logits", "END"),
            edge(FIRST, f"{SECOND}.V", "END"),  # the second head does not listen to the first
            edge(FIRST, f"{SECOND}.Q", "END"),
            edge("L0.H2", GATE, "END"),  # an idle head
            edge(FIRST, "L0.MLP", "END"),  # the MLP of another layer
        ),
        nodes={FIRST: ("END",), SECOND: ("END",), GATE: ("END",)},
    )


def _program(kind: Gate, variation: Variation) -> Program:
    drawn, gain = draws(variation, len(MANNERS)), gains(variation, len(SHOWN))

    def head(name: str, offered: Array) -> Part:
        def writes(inputs: Inputs) -> Messages:
            kept, _ = attention(SCORE, offered[inputs.word("X")])
            return {"END": kept[:, None] * one_hot(inputs.word("A"), len(SHOWN))}

        return Part(name, writes)

    def opened(inputs: Inputs) -> Messages:
        heard = inputs.read(FIRST, "END") + inputs.read(SECOND, "END")
        passed = np.minimum(heard, 1) if kind is Gate.OR else np.maximum(heard - 1, 0)
        return {"END": passed * gain}

    steady = draws(Variation.NOISELESS, len(MANNERS))
    parts = (head(FIRST, drawn), head(SECOND, steady), Part(GATE, opened))
    return Program(parts, lambda inputs: logit_difference(inputs, inputs.read(GATE, "END")))


def _population() -> tuple[Pairs, Array]:
    """Which other animal stands there makes no difference, as long as it is another one."""
    a, b, x = grid(len(SHOWN), len(SHOWN), len(MANNERS))
    a, b, x = (axis[a != b] for axis in (a, b, x))
    others = np.where((a != 0) & (b != 0), 0, np.where((a != 1) & (b != 1), 1, 2))
    words = {"X": x, "A": a, "B": b, "Y": np.zeros_like(x)}
    shares = np.full(len(x), 1 / len(x))
    return Pairs(World(words, a, b), World(words | {"A": others}, a, b)), shares


def wire(kind: Gate, variation: Variation) -> Wiring:
    """The weights."""
    wide = len(SHOWN)
    wiring = Wiring(
        (*SHOWN, *MANNERS, *PLANTS, "and", "again"),
        {
            "animal": wide, "first": wide, "second": wide, "out": wide, "token": len(LAYOUT),
            "X": 1, "steady": 1, "idle": 4,
        },
        layers=2,
        neurons=2 * wide + 1,
    )  # fmt: skip
    embed_prompt(wiring, SHOWN, variation, LAYOUT)
    wiring.read_out(SHOWN, "out")
    for name, space, drawn_by in ((FIRST, "first", "X"), (SECOND, "second", "steady")):
        copy_from(wiring, name, LAYOUT.index("A"), drawn_by)
        wiring.head(name).write(space)
    at, gain = wiring.spaces.at, gains(variation, wide)
    for word in range(wide):
        heard = {at("first", word): 1.0, at("second", word): 1.0}
        above = 1.0 if kind is Gate.AND else -1.0
        wiring.neuron(1, 1 + word, heard, {at("out", word): above * float(gain[word])}, bias=-1.0)
        if kind is Gate.OR:
            wiring.neuron(1, 1 + wide + word, heard, {at("out", word): float(gain[word])})
    for number, name in enumerate(("L0.H0", "L0.H2", "L0.H3")):
        idle_head(wiring, name, ("animal", "idle"), back=number, length=len(LAYOUT), into=number)
    for name in ("L1.H0", "L1.H1", "L1.H3"):
        idle_head(wiring, name, ("animal", "first", "idle"), evenly="out")
    idle_mlp(wiring, 0, ("first", "idle"), evenly="idle")
    idle_mlp(wiring, 1, ("animal", "idle"), evenly="out")
    return wiring


def embed_prompt(
    wiring: Wiring, answers: tuple[str, ...], variation: Variation, layout: tuple[str, ...]
) -> None:
    """Animals, the word X that draws attention off, numbers for idle parts, and positions."""
    wiring.embed_list(answers, "animal")
    drawn, steady = (draws(v, len(MANNERS)) / SCORE for v in (variation, Variation.NOISELESS))
    for number, word in enumerate(MANNERS):
        wiring.embed(word, "X", 0, float(drawn[number]))
        wiring.embed(word, "steady", 0, float(steady[number]))
        wiring.embed(word, "idle", 0, (number % 8) / 4)
    for number, word in enumerate(PLANTS):
        wiring.embed(word, "idle", 0, (number % 8) / 4)
    for position in range(len(layout)):
        wiring.mark_position(position, "token", position)


def copy_from(wiring: Wiring, name: str, position: int, drawn_by: str) -> None:
    """A head that moves the animal at a position, and whose attention the word X draws off."""
    head = wiring.head(name)
    head.always_query(0, SCORE)
    head.key_at("token", position, 0)
    head.key(drawn_by, 0)
    head.value("animal")
