"""Parts that work on real things and move no logit difference.

They write numbers into the space `idle`, which only idle parts read, or evenly into all logits that
are compared. Many of them write something else in the corrupt world, so that an absent edge from
one of them is a change that nothing picks up, and not no change at all.
"""

from collections.abc import Sequence

from known.variation import SCORE
from known.wiring import Wiring


def idle_head(
    wiring: Wiring,
    name: str,
    reads: Sequence[str],
    *,
    back: int | None = None,
    length: int = 0,
    into: int | None = None,
    evenly: str = "",
) -> None:
    """A head that adds up spaces, with weights of their own for each dimension.

    It attends so many tokens ``back``, or softly by what is in `idle`, and writes into a dimension
    of `idle` or ``evenly`` into a space.
    """
    head, spaces = wiring.head(name), wiring.spaces
    if back is None:
        head.always_query(0)
        head.query("idle", 1)
        head.key_at("idle", 0, 0)
        head.key("idle", 1, 0.5)
    else:
        head.look_back(back, length, SCORE)
    for space in reads:
        for index in range(spaces.width(space)):
            head.value_at(space, index, 0, (index + 1) / 8)
    if into is None:
        head.write_evenly(evenly, 0)
    else:
        head.write_one("idle", into, 0)


def idle_mlp(wiring: Wiring, layer: int, reads: Sequence[str], *, evenly: str) -> None:
    """One neuron that adds up spaces and writes evenly into another."""
    spaces = wiring.spaces
    found = [spaces.at(space, i) for space in reads for i in range(spaces.width(space))]
    written = [spaces.at(evenly, i) for i in range(spaces.width(evenly))]
    weights = {dimension: (number + 1) / 8 for number, dimension in enumerate(found)}
    wiring.neuron(layer, 0, weights, dict.fromkeys(written, 0.25), bias=0.125)
