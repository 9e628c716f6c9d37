"""Two senders: one is heard directly, the other only through an MLP.

    quietly otter and heron oak again  ->  otter
    X       A         B     Y   END

The corrupt prompt swaps the animals, `A = B, B = A`.

| part | reads | writes |
|---|---|---|
| L0.H1 | V: the animal at A; its attention is shared with X | it, into `first` |
| L0.H3 | V: the animal at A | it, into `direct` |
| L0.MLP | `first` | the same into `relayed` |
| L1.H2 | V, at END itself: `relayed` and `direct` | 3 and 1 times the animal's gain: its logit |
| all others | animals, numbers | numbers that only they read, or evenly into all logits |

So L0.H1 -> L1.H2.V is exactly zero and L0.H1 ~> L1.H2.V is not; for L0.H3 both are the same.
"""

import numpy as np

from known.edge import edge
from known.gates import LAYOUT, copy_from, embed_prompt
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
RELAYED, DIRECT, RELAY, WRITER = "L0.H1", "L0.H3", "L0.MLP", "L1.H2"
_RELAYED, _DIRECT = 3.0, 1.0


def mlp_path(variation: Variation = Variation.NOISELESS) -> KnownModel:
    """The model with a path through an MLP.

    Absent edges: only L1.H2 writes animals unevenly into the logits. It attends to its own token
    whatever it reads, and reads (V) `relayed` and `direct`, which L0.MLP and L0.H3 alone write;
    L0.MLP passes on `first`, which L0.H1 alone writes. L1.MLP reads none of these.
    """
    true_edges = [
        found
        for mlps in (False, True)
        for found in (
            edge(RELAYED, RELAY, "END", through_mlps=mlps),
            edge(RELAY, f"{WRITER}.V", "END", through_mlps=mlps),
            edge(DIRECT, f"{WRITER}.V", "END", through_mlps=mlps),
            edge(WRITER, "logits", "END", through_mlps=mlps),
        )
    ]
    true_edges.append(edge(RELAYED, f"{WRITER}.V", "END", through_mlps=True))
    senders = f"{RELAYED} {DIRECT}"
    return KnownModel(
        name="mlp_path",
        title="A path that only goes through an MLP",
        variation=variation,
        template="{X} {A} and {B} {Y} again",
        layout=LAYOUT,
        words={"X": MANNERS, "A": SHOWN, "B": SHOWN, "Y": PLANTS},
        lists=(word_list("A, B", SHOWN), word_list("X", MANNERS), word_list("Y", PLANTS)),
        rules={"A": "B", "B": "A"},
        metric=("A", "B"),
        program=_program(variation),
        wire=wire,
        population=_population,
        true_edges=tuple(true_edges),
        groups=(
            edge(senders, f"{WRITER}.V", "END"),  # only the direct one is heard
            edge(senders, f"{WRITER}.V", "END", through_mlps=True),
            edge(f"{RELAY} {DIRECT}", f"{WRITER}.V", "END"),
        ),
        wrong_edges=(
            edge(RELAYED, f"{WRITER}.V", "END"),  # a wrong arrow
            edge(RELAYED, f"{WRITER}.Q", "END", through_mlps=True),  # a wrong slot
            edge(RELAYED, f"{WRITER}.K", "END", through_mlps=True),
            edge(RELAYED, f"{WRITER}.V", "B", through_mlps=True),  # a wrong position
            edge(DIRECT, RELAY, "END"),  # the other sender
            edge(RELAYED, "L1.MLP", "END"),  # the other MLP
            edge(RELAYED, "logits", "END", through_mlps=True),
        ),
        nodes={RELAYED: ("END",), DIRECT: ("END",), WRITER: ("END",)},
    )


def _program(variation: Variation) -> Program:
    drawn, gain = draws(variation, len(MANNERS)), gains(variation, len(SHOWN))

    def sender(name: str, offered: Array) -> Part:
        def writes(inputs: Inputs) -> Messages:
            kept, _ = attention(SCORE, offered[inputs.word("X")])
            return {"END": kept[:, None] * one_hot(inputs.word("A"), len(SHOWN))}

        return Part(name, writes)

    def relay(inputs: Inputs) -> Messages:
        return {"END": np.maximum(inputs.read(RELAYED, "END"), 0)}

    def writer(inputs: Inputs) -> Messages:
        relayed, direct = (inputs.read(name, "END", "V") for name in (RELAY, DIRECT))
        return {"END": (_RELAYED * relayed + _DIRECT * direct) * gain}

    steady = draws(Variation.NOISELESS, len(MANNERS))
    parts = (
        sender(RELAYED, drawn),
        sender(DIRECT, steady),
        Part(RELAY, relay),
        Part(WRITER, writer),
    )
    return Program(parts, lambda inputs: logit_difference(inputs, inputs.read(WRITER, "END")))


def _population() -> tuple[Pairs, Array]:
    a, b, x = grid(len(SHOWN), len(SHOWN), len(MANNERS))
    a, b, x = (axis[a != b] for axis in (a, b, x))
    words = {"X": x, "A": a, "B": b, "Y": np.zeros_like(x)}
    shares = np.full(len(x), 1 / len(x))
    return Pairs(World(words, a, b), World(words | {"A": b, "B": a}, a, b)), shares


def wire(variation: Variation) -> Wiring:
    """The weights."""
    wide = len(SHOWN)
    wiring = Wiring(
        (*SHOWN, *MANNERS, *PLANTS, "and", "again"),
        {
            "animal": wide, "first": wide, "relayed": wide, "direct": wide, "token": len(LAYOUT),
            "X": 1, "steady": 1, "idle": 4,
        },
        layers=2,
        neurons=wide + 1,
    )  # fmt: skip
    embed_prompt(wiring, SHOWN, variation, LAYOUT)
    wiring.read_out(SHOWN, "animal")  # nothing but heads writes animals at END
    for name, space, drawn_by in ((RELAYED, "first", "X"), (DIRECT, "direct", "steady")):
        copy_from(wiring, name, LAYOUT.index("A"), drawn_by)
        wiring.head(name).write(space)
    at = wiring.spaces.at
    for word in range(wide):
        wiring.neuron(0, 1 + word, {at("first", word): 1.0}, {at("relayed", word): 1.0})
    _writer(wiring, variation)
    for name, back in (("L0.H0", 0), ("L0.H2", 2)):
        idle_head(wiring, name, ("animal", "idle"), back=back, length=len(LAYOUT), into=1 + back)
    for name in ("L1.H0", "L1.H1", "L1.H3"):
        idle_head(wiring, name, ("first", "direct", "idle"), evenly="animal")
    idle_mlp(wiring, 0, ("direct", "idle"), evenly="idle")
    idle_mlp(wiring, 1, ("first", "idle"), evenly="animal")
    return wiring


def _writer(wiring: Wiring, variation: Variation) -> None:
    head, end, at = wiring.head(WRITER), len(LAYOUT) - 1, wiring.spaces.at
    head.always_query(0, SCORE)
    head.key_at("token", end, 0)
    head.value("relayed", scale=_RELAYED)
    head.value("direct", scale=_DIRECT)
    for word, gain in enumerate(gains(variation, len(SHOWN))):
        head.o[word, at("animal", word)] += float(gain)
