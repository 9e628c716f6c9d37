"""Induction by K-composition: what followed a name before follows it again.

    quietly Amanda otter and Daniel heron oak Amanda  ->  otter
    X       A1     B         C      D     Y   A2          (A2 is END)

The corrupt prompt swaps the names of the first clause, `A1 = C, C = A`: the last name stays, and
what follows it is now `heron`. Only what stood *before* otter and heron has changed.

| head | reads | writes |
|---|---|---|
| L0.H1 previous token | the name one token back | that name, into `previous` |
| L1.H2, L1.H3 induction | Q: own name; K: `previous`; V: animal | the animal's logit: 3 and 1 |
| L0.H0 | the word X, from every later token | a number that only L1.H0 reads |
| L0.H2 | the name two tokens back | it into `before`, which only L1.H1 reads |
| L0.H3 | the own token | a number that only L1.H0 reads |
| L1.H0, L1.H1 | the above | the same into every animal's logit: no logit difference moves |
| L0.MLP, L1.MLP | numbers of the idle heads | numbers that nobody reads, and even logits |

L1.H2 shares its attention with the word X, by which the flavours vary; each animal has a gain.
Where nothing matches, both heads look at X and write nothing.

In the flavours that vary, L1.H1 is a balanced head instead: it reads (V) the name before B, and
writes the product of that name's sign with every animal's sign. Names and animals have either sign
equally often, so that its effect is zero in the population, and on hardly any prompt.
"""

import numpy as np

from known.edge import edge
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
from known.words import ANIMALS, MANNERS, NAMES, PLANTS

CUES = NAMES[:12]
LAYOUT = ("X", "A1", "B", "", "C", "D", "Y", "A2")
STRENGTHS = {"L1.H2": 3.0, "L1.H3": 1.0}
"""How much of an animal's gain an induction head writes."""
BALANCED = "L1.H1"
_BALANCE = 0.5
_TOKENS = len(LAYOUT)


def signs(words: int) -> Array:
    """Plus and minus one in turn, ``[word]``."""
    return np.where(np.arange(words) % 2, -1.0, 1.0)


def induction(variation: Variation = Variation.NOISELESS) -> KnownModel:
    """The induction model.

    Absent edges: the logits compare two animals; only L1.H2 and L1.H3 write them differently, and
    they read only what L0.H1 wrote into `previous` (K), and the embedding (Q and V). All else that
    heads and MLPs write goes into dimensions that none of these reads, or evenly into all animals.
    """
    into_keys = [
        edge("L0.H1", f"{head}.K", at, through_mlps=mlps)
        for mlps in (False, True)
        for head in STRENGTHS
        for at in ("B D", "B", "D")
    ]
    into_logits = [
        edge(head, "logits", "END", through_mlps=mlps)
        for mlps in (False, True)
        for head in STRENGTHS
    ]
    balanced = [
        found
        for mlps in (False, True)
        for found in (
            edge("L0.H1", f"{BALANCED}.V", "B", through_mlps=mlps),
            edge(BALANCED, "logits", "END", through_mlps=mlps),
        )
    ]
    return KnownModel(
        name="induction",
        title="Induction by K-composition",
        variation=variation,
        template="{X} {A} {B} and {C} {D} {Y} {A}",
        layout=LAYOUT,
        words={"X": MANNERS, "A": CUES, "B": ANIMALS, "C": CUES, "D": ANIMALS, "Y": PLANTS},
        lists=(
            word_list("A, C", CUES),
            word_list("B, D", ANIMALS),
            word_list("X", MANNERS),
            word_list("Y", PLANTS),
        ),
        rules={"A1": "C", "C": "A"},
        metric=("B", "D"),
        program=_program(variation),
        wire=wire,
        population=_population,
        true_edges=(*into_keys, *into_logits),
        balanced_edges=() if variation is Variation.NOISELESS else tuple(balanced),
        groups=(
            edge("L0.H1", "L1.H2.K L1.H3.K", "B D"),
            edge("L1.H2 L1.H3", "logits", "END"),
        ),
        wrong_edges=(
            edge("L0.H1", "L1.H2.Q"),  # a wrong slot
            edge("L0.H1", "L1.H2.V", "B D"),
            edge("L0.H1", "L1.H2.K", "C"),  # a wrong position
            edge("L0.H1", "L1.H2.K", "Y"),
            edge("L0.H1", "logits", "END"),  # skips the induction heads
            edge("L0.H2", "L1.H2.K", "B D"),  # a head that looks further back
        ),
        nodes={"L0.H1": ("B", "D"), "L1.H2": ("END",), "L1.H3": ("END",)},
    )


def _program(variation: Variation) -> Program:
    drawn, gain = draws(variation, len(MANNERS)), gains(variation, len(ANIMALS))

    def previous_token(inputs: Inputs) -> Messages:
        return {
            "B": one_hot(inputs.word("A1"), len(CUES)),
            "D": one_hot(inputs.word("C"), len(CUES)),
        }

    def induction_head(name: str, offered: Array) -> Part:
        def writes(inputs: Inputs) -> Messages:
            asked = one_hot(inputs.word("A2"), len(CUES))
            scores = [SCORE * (asked * inputs.read("L0.H1", at, "K")).sum(1) for at in "BD"]
            *weights, _ = attention(*scores, offered[inputs.word("X")])
            moved = [one_hot(inputs.word(at), len(ANIMALS)) * gain for at in "BD"]
            seen = total(w[:, None] * m for w, m in zip(weights, moved, strict=True))
            return {"END": STRENGTHS[name] * seen}

        return Part(name, writes)

    def balanced_head(inputs: Inputs) -> Messages:
        sign = inputs.read("L0.H1", "B", "V") @ signs(len(CUES))
        return {"END": _BALANCE * sign[:, None] * signs(len(ANIMALS))}

    def metric(inputs: Inputs) -> Array:
        writers = [part.name for part in parts[1:]]
        return logit_difference(inputs, total(inputs.read(head, "END") for head in writers))

    steady = draws(Variation.NOISELESS, len(MANNERS))
    parts = [
        Part("L0.H1", previous_token),
        induction_head("L1.H2", drawn),
        induction_head("L1.H3", steady),
    ]
    if variation is not Variation.NOISELESS:
        parts.insert(1, Part(BALANCED, balanced_head))
    return Program(tuple(parts), metric)


def _population() -> tuple[Pairs, Array]:
    """Of two names only the signs make a difference, and Y is read by idle heads alone.

    Of the other eleven names, six have the sign that the first one does not have.
    """
    names = np.array([(0, 1), (1, 0), (0, 2), (1, 3)])
    shares = np.array([6, 6, 5, 5]) / 22
    n, b, d, x = grid(len(names), len(ANIMALS), len(ANIMALS), len(MANNERS))
    n, b, d, x = (axis[b != d] for axis in (n, b, d, x))
    a, c = names[n].T
    words = {"X": x, "A1": a, "B": b, "C": c, "D": d, "Y": np.zeros_like(x), "A2": a}
    swapped = words | {"A1": c, "C": a}
    return Pairs(World(words, b, d), World(swapped, b, d)), shares[n]


def wire(variation: Variation) -> Wiring:
    """The weights."""
    wiring = Wiring(
        (*CUES, *ANIMALS, *MANNERS, *PLANTS, "and"),
        {
            "cue": len(CUES), "animal": len(ANIMALS), "previous": len(CUES), "token": _TOKENS,
            "steady": 1, "draw": 1, "idle": 3, "before": 8,
        },
        layers=2,
    )  # fmt: skip
    wiring.embed_list(CUES, "cue")
    wiring.embed_list(ANIMALS, "animal", gains(variation, len(ANIMALS)))
    for word, drawn, steady in zip(
        MANNERS,
        draws(variation, len(MANNERS)),
        draws(Variation.NOISELESS, len(MANNERS)),
        strict=True,
    ):
        wiring.embed(word, "draw", 0, float(drawn) / SCORE)
        wiring.embed(word, "steady", 0, float(steady) / SCORE)
    for number, word in enumerate(PLANTS):
        wiring.embed(word, "idle", 0, (number % 8) / 4)
    for position in range(_TOKENS):
        wiring.mark_position(position, "token", position)
    wiring.read_out(ANIMALS, "animal")
    _previous_token(wiring)
    for name, strength in STRENGTHS.items():
        head = wiring.head(name)
        head.query("cue", scale=SCORE)
        head.key("previous")
        head.always_query(15, SCORE)
        head.key("draw" if name == "L1.H2" else "steady", 15)
        head.value("animal")
        head.write("animal", scale=strength)
    _idle_parts(wiring)
    if variation is Variation.NOISELESS:
        _finder(wiring)
    else:
        _balanced_head(wiring)
    return wiring


def _previous_token(wiring: Wiring) -> None:
    head = wiring.head("L0.H1")
    head.look_back(1, _TOKENS, SCORE)
    head.value("cue")
    head.write("previous")


def _idle_parts(wiring: Wiring) -> None:
    """Heads and MLPs that work on real things, some of which differ between the worlds, and move
    no logit difference."""
    spaces = wiring.spaces
    for number, word in enumerate(MANNERS):
        wiring.embed(word, "idle", 0, (number % 5) / 4)
    first = wiring.head("L0.H0")
    first.always_query(0, SCORE)
    first.key_at("token", 0, 0)
    first.value_at("idle", 0, 0)
    first.write_one("idle", 1, 0)
    further_back = wiring.head("L0.H2")
    further_back.look_back(2, _TOKENS, SCORE)
    own = wiring.head("L0.H3")
    own.look_back(0, _TOKENS, SCORE)
    for index in range(len(CUES)):
        further_back.value_at("cue", index, index % 8)
        own.value_at("cue", index, 0, (index + 1) / 8)
    further_back.write("before")
    own.write_one("idle", 2, 0)
    wide = wiring.head("L1.H0")
    wide.always_query(0)
    wide.key_at("idle", 2, 0)
    for index in range(3):
        wide.value_at("idle", index, 0)
    wide.write_evenly("animal", 0)
    befores = {spaces.at("before", index): 1.0 for index in range(8)}
    idle = {spaces.at("idle", index): 1.0 for index in range(3)}
    animals = {spaces.at("animal", index): 0.5 for index in range(len(ANIMALS))}
    wiring.neuron(0, 0, idle, {spaces.at("idle", 1): 0.5})
    wiring.neuron(0, 1, befores, {spaces.at("idle", 2): 0.25})
    wiring.neuron(1, 0, idle, animals)
    wiring.neuron(1, 1, befores, animals)


def _finder(wiring: Wiring) -> None:
    head = wiring.head(BALANCED)
    for index in range(len(CUES)):
        head.query_at("cue", index, index % 8, 4.0)
    head.key("before")
    head.value_at("idle", 0, 8)
    head.write_evenly("animal", 8)


def _balanced_head(wiring: Wiring) -> None:
    head = wiring.head(BALANCED)
    head.always_query(0, SCORE)
    head.key_at("token", LAYOUT.index("B"), 0)
    for index, sign in enumerate(signs(len(CUES))):
        head.value_at("previous", index, 0, float(sign))
    for index, sign in enumerate(signs(len(ANIMALS))):
        head.write_one("animal", index, 0, _BALANCE * float(sign))
