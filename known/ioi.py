"""Indirect object identification: duplicate token, S-inhibition and name mover heads.

    quietly Amanda and Daniel oak Daniel to  ->  Amanda
    X       IO         S1     Y   S2     END

The corrupt prompt repeats the other name, `S2 = IO`.

| head | reads | writes |
|---|---|---|
| L0.H1, L0.H4 duplicate token | Q, K: the name, among those of the first clause | where it stood |
| L1.H0, L1.H3 S-inhibition | V: what L0.H1 (L0.H4) wrote at S2 | the place to leave out |
| L2.H1, L2.H2 name movers | Q: the place that L1.H0 wrote | the other name's logit: 3 and -1 |
| L2.H4 name mover | Q: the place that L1.H3 wrote | the other name's logit: 2 |
| L2.H3 balanced, in the flavours that vary | V: the name at S2 | its sign times each name's sign |
| all others | names, numbers | numbers that only they read, or evenly into all logits |

L2.H2 is a negative name mover. The attention of L2.H1 and L2.H2 is shared with the word X, that of
L2.H4 with Y, and each name has a gain: so do effects vary in the flavours.
"""

import numpy as np

from known.edge import KnownEdge, edge
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
    total,
)
from known.variation import SCORE, Variation, draws, gains
from known.wiring import Wiring
from known.words import MANNERS, NAMES, PLANTS

PEOPLE = NAMES[:9]
LAYOUT = ("X", "IO", "", "S1", "Y", "S2", "")
DUPLICATES = ("L0.H1", "L0.H4")
INHIBITORS = {"L1.H0": "L0.H1", "L1.H3": "L0.H4"}
"""What each listens to."""
MOVERS = {"L2.H1": ("L1.H0", "X", 3.0), "L2.H2": ("L1.H0", "X", -1.0), "L2.H4": ("L1.H3", "Y", 2.0)}
"""What each listens to, which word draws its attention off, and how much of a gain it writes."""
BALANCED = "L2.H3"
_BALANCE = 0.5
_HEADS, _D_HEAD = 6, len(PEOPLE) + 2


def ioi(variation: Variation = Variation.NOISELESS) -> KnownModel:
    """The IOI model.

    Absent edges: the logits compare two names; only the movers (and the balanced head, which reads
    nothing but the embedding) write names unevenly. Movers read the embedding (K, V) and their
    inhibitor's place (Q); inhibitors read their duplicate token head (V) and attend to S2 whatever
    they read; duplicate token heads read the embedding. No MLP writes what any of them reads.
    """
    true_edges: list[KnownEdge] = []
    for mlps in (False, True):
        for inhibitor, duplicate in INHIBITORS.items():
            true_edges.append(edge(duplicate, f"{inhibitor}.V", "S2", through_mlps=mlps))
        for mover, (inhibitor, _, _) in MOVERS.items():
            true_edges.append(edge(inhibitor, f"{mover}.Q", "END", through_mlps=mlps))
        true_edges += [edge(mover, "logits", "END", through_mlps=mlps) for mover in MOVERS]
    balanced = [edge(BALANCED, "logits", "END", through_mlps=mlps) for mlps in (False, True)]
    return KnownModel(
        name="ioi_compiled",
        title="Indirect object identification, by hand",
        variation=variation,
        template="{X} {IO} and {S} {Y} {S} to",
        layout=LAYOUT,
        words={"X": MANNERS, "IO": PEOPLE, "S": PEOPLE, "Y": PLANTS},
        lists=(word_list("IO, S", PEOPLE), word_list("X", MANNERS), word_list("Y", PLANTS)),
        rules={"S2": "IO"},
        metric=("IO", "S"),
        program=_program(variation),
        wire=wire,
        population=_population,
        true_edges=tuple(true_edges),
        balanced_edges=() if variation is Variation.NOISELESS else tuple(balanced),
        groups=(
            edge("L0.H1 L0.H4", "L1.H0.V L1.H3.V", "S2", through_mlps=True),
            edge("L1.H0 L1.H3", "L2.H1.Q L2.H4.Q", "END", through_mlps=True),
            edge("L1.H0 L1.H3", "L2.H1.Q L2.H2.Q L2.H4.Q", "END", through_mlps=True),
            edge("L2.H1 L2.H4", "logits", "END", through_mlps=True),
            edge("L2.H1 L2.H2 L2.H4", "logits", "END", through_mlps=True),
        ),
        wrong_edges=(
            edge("L1.H0", "L2.H1.K", "END"),  # a wrong slot
            edge("L1.H0", "L2.H1.V", "END"),
            edge("L0.H1", "L1.H0.K", "S2"),
            edge("L0.H1", "L1.H0.V", "S1"),  # a wrong position
            edge("L0.H1", "L1.H3.V", "S2"),  # the other head of the pair
            edge("L1.H3", "L2.H1.Q", "END"),
            edge("L0.H1", "L2.H1.Q", "END"),  # skips the S-inhibition head
            edge("L0.H2", "L1.H0.V", "S2"),  # an idle head
        ),
        nodes={
            **dict.fromkeys(DUPLICATES, ("S2",)),
            **dict.fromkeys((*INHIBITORS, *MOVERS), ("END",)),
        },
        layers=3,
        heads=_HEADS,
    )


def signs() -> tuple[Array, Array]:
    """What the balanced head reads and writes: neither sums to anything, nor does their product."""
    numbers = np.arange(len(PEOPLE))
    read = np.where(numbers % 2, -1.0, 1.0)
    read[-1] = 0.0  # an odd one out
    return read, np.where(numbers // 2 % 2, -1.0, 1.0)


def _program(variation: Variation) -> Program:
    drawn = {"X": draws(variation, len(MANNERS)), "Y": draws(variation, len(PLANTS))}
    gain = gains(variation, len(PEOPLE))

    def duplicate_token(inputs: Inputs) -> Messages:
        repeated = inputs.word("S2")
        places = [inputs.word(at) == repeated for at in ("IO", "S1")]
        return {"S2": np.stack(places, 1).astype(np.float64)}

    def inhibitor(heard: str) -> Part:
        name = next(name for name, duplicate in INHIBITORS.items() if duplicate == heard)
        return Part(name, lambda inputs: {"END": inputs.read(heard, "S2", "V")})

    def mover(name: str) -> Part:
        heard, drawn_by, strength = MOVERS[name]

        def writes(inputs: Inputs) -> Messages:
            left_out = inputs.read(heard, "END", "Q")
            scores = SCORE * (1 - left_out)
            offered = drawn[drawn_by][inputs.word(drawn_by)]
            *weights, _ = attention(scores[:, 0], scores[:, 1], offered)
            moved = [one_hot(inputs.word(at), len(PEOPLE)) * gain for at in ("IO", "S1")]
            seen = total(w[:, None] * m for w, m in zip(weights, moved, strict=True))
            return {"END": strength * seen}

        return Part(name, writes)

    def balanced_head(inputs: Inputs) -> Messages:
        read, written = signs()
        return {"END": _BALANCE * read[inputs.word("S2")][:, None] * written}

    def metric(inputs: Inputs) -> Array:
        return logit_difference(inputs, total(inputs.read(name, "END") for name in writers))

    parts = [Part(name, duplicate_token) for name in DUPLICATES]
    parts += [inhibitor(heard) for heard in DUPLICATES]
    parts += [mover(name) for name in MOVERS]
    writers = [*MOVERS]
    if variation is not Variation.NOISELESS:
        parts.append(Part(BALANCED, balanced_head))
        writers.append(BALANCED)
    return Program(tuple(parts), metric)


def _population() -> tuple[Pairs, Array]:
    """No head looks at both X and Y, and what heads write is added up: one Y for each X gives the
    means of all pairs of them."""
    io, s, x = grid(len(PEOPLE), len(PEOPLE), len(MANNERS))
    io, s, x = (axis[io != s] for axis in (io, s, x))
    words = {"X": x, "IO": io, "S1": s, "Y": x, "S2": s}
    shares = np.full(len(io), 1 / len(io))
    return Pairs(World(words, io, s), World(words | {"S2": io}, io, s)), shares


def wire(variation: Variation) -> Wiring:
    """The weights."""
    wiring = Wiring(
        (*PEOPLE, *MANNERS, *PLANTS, "and", "to"),
        {
            "name": len(PEOPLE), "out": len(PEOPLE), "token": len(LAYOUT),
            "L0.H1": 2, "L0.H4": 2, "L1.H0": 2, "L1.H3": 2, "X": 1, "Y": 1, "idle": 4,
        },
        layers=3,
        heads=_HEADS,
        d_head=_D_HEAD,
    )  # fmt: skip
    wiring.embed_list(PEOPLE, "name")
    wiring.embed_list(PEOPLE, "out", gains(variation, len(PEOPLE)))
    for space, words in (("X", MANNERS), ("Y", PLANTS)):
        for number, (word, drawn) in enumerate(
            zip(words, draws(variation, len(words)), strict=True)
        ):
            wiring.embed(word, space, 0, float(drawn) / SCORE)
            wiring.embed(word, "idle", 0, (number % 8) / 4)
    for position in range(len(LAYOUT)):
        wiring.mark_position(position, "token", position)
    wiring.read_out(PEOPLE, "out")
    for name in DUPLICATES:
        _duplicate_token(wiring, name)
    for name, heard in INHIBITORS.items():
        head = wiring.head(name)
        head.always_query(0, SCORE)
        head.key_at("token", LAYOUT.index("S2"), 0)
        head.value(heard)
        head.write(name)
    for name in MOVERS:
        _mover(wiring, name)
    if variation is not Variation.NOISELESS:
        _balanced_head(wiring)
    _idle_parts(wiring, variation)
    return wiring


def _duplicate_token(wiring: Wiring, name: str) -> None:
    """Scores: 2 for the same name in the first clause, 1 for another one there or for the name
    itself, and 3/2 for the first token, where there is nothing to read."""
    head, clause = wiring.head(name), len(PEOPLE)
    head.query("name", scale=SCORE)
    head.key("name")
    head.always_query(clause, SCORE)
    head.key_at("token", 0, clause, 1.5)
    for channel, position in enumerate(("IO", "S1")):
        head.key_at("token", LAYOUT.index(position), clause)
        head.value_at("token", LAYOUT.index(position), channel)
    head.write(name)


def _mover(wiring: Wiring, name: str) -> None:
    head, (heard, drawn_by, strength) = wiring.head(name), MOVERS[name]
    for channel, position in enumerate(("IO", "S1")):
        head.always_query(channel, SCORE)
        head.query_at(heard, channel, channel, -SCORE)
        head.key_at("token", LAYOUT.index(position), channel)
    head.always_query(2, SCORE)
    head.key(drawn_by, 2)
    head.value("out")
    head.write("out", scale=strength)


def _balanced_head(wiring: Wiring) -> None:
    head = wiring.head(BALANCED)
    head.always_query(0, SCORE)
    head.key_at("token", LAYOUT.index("S2"), 0)
    for index, (read, written) in enumerate(zip(*signs(), strict=True)):
        head.value_at("name", index, 0, float(read))
        head.write_one("out", index, 0, _BALANCE * float(written))


def _idle_parts(wiring: Wiring, variation: Variation) -> None:
    for number, name in enumerate(("L0.H0", "L0.H2", "L0.H3", "L0.H5")):
        idle_head(wiring, name, ("name", "idle"), back=number, length=len(LAYOUT), into=number)
    for number, name in enumerate(("L1.H1", "L1.H2", "L1.H4", "L1.H5")):
        idle_head(wiring, name, ("name", "L0.H1", "idle"), into=number)
    late = ("L2.H0", "L2.H5", *((BALANCED,) if variation is Variation.NOISELESS else ()))
    for name in late:
        idle_head(wiring, name, ("name", "L0.H4", "L1.H0", "idle"), evenly="out")
    idle_mlp(wiring, 0, ("L0.H1", "idle"), evenly="idle")
    idle_mlp(wiring, 1, ("L0.H4", "L1.H3", "idle"), evenly="idle")
    idle_mlp(wiring, 2, ("out", "L1.H0", "idle"), evenly="out")
