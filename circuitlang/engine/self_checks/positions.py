"""A patch acts at the positions that it names: one edge entered by token numbers alone.

Nothing here goes through masks, columns or changes of an engine. The probe's senders and receivers
do not matter; its positions are those of the plan.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from circuitlang.circuit import AT_END, TOKEN, Logits, Position, Slot
from circuitlang.engine.batch import Batch
from circuitlang.engine.interface import AnyWorlds, Engine
from circuitlang.engine.self_checks.law import Found, engine_tolerance, gap, guarded, self_check
from circuitlang.engine.site import Kind, Site, Write
from circuitlang.engine.tokens import TokenizedPair
from circuitlang.engine.transformer import Transformer
from circuitlang.engine.world import final_site
from circuitlang.evidence import SelfCheck
from circuitlang.plan import PatchEdge


def acts_at_positions(
    engine: Engine, model: Transformer, worlds: AnyWorlds, probe: PatchEdge
) -> SelfCheck:
    """An engine's numbers of an edge against those of the edge written out token by token.

    Args:
        engine: what measures.
        model: what it measures.
        worlds: of a few prompts, made by the engine.
        probe: see :func:`circuitlang.plan.cost.position_probe`.
    """
    batch = worlds.batch
    clean, by_hand = _by_hand(model, batch, probe)
    chosen = by_hand.gather(1, batch.answers)
    size = gap(chosen, clean.gather(1, batch.answers))
    found = guarded(
        lambda: Found(
            gap(engine.answers([probe], worlds)[0], chosen), size, "it moves the answers by"
        )
    )
    into = "logits" if isinstance(probe.receivers[0].component, Logits) else "V of layer 1"
    return self_check(
        "a patch acts at its positions only",
        "logits",
        found,
        engine_tolerance(model, clean),
        f"the heads of layer 0 into {into} at {_words(batch.pairs[0], probe.positions)}",
    )


def _by_hand(model: Transformer, batch: Batch, probe: PatchEdge) -> tuple[Tensor, Tensor]:
    """Logits ``[prompt, vocab]`` of the clean run, and of the clean run with the probe.

    Tokens come from the prompts' own ids and positions, prompt by prompt.
    """
    clean = torch.tensor([pair.clean for pair in batch.pairs], device=batch.clean.device)
    corrupt = torch.tensor([pair.corrupt for pair in batch.pairs], device=batch.clean.device)
    z, v = Site(Kind.Z, 0), Site(Kind.V, 1)
    into_logits = isinstance(probe.receivers[0].component, Logits)
    stream = final_site(model) if into_logits else model.input_site(1, mlp=False)
    base = model.run(clean, (z, stream) if into_logits else (z, stream, v))
    change = model.run(corrupt, (z,))[z] - base[z]
    residual = base[stream].clone()
    pairs = enumerate(batch.pairs)
    marked = {(row, token_of(pair, p)) for row, pair in pairs for p in probe.positions}
    for head in range(model.shape.heads):
        write = model.head_write(0, head, change[:, :, head])
        for row, token in marked:
            residual[row, token] += write[row, token]
    if into_logits:
        return base.logits, model.read_out(residual)
    entered = model.project(1, Slot.V, residual)
    new = base[v].clone()
    for row, token in marked:
        new[row, token] = entered[row, token]
    return base.logits, model.run(clean, (), [Write(v, new)]).logits


def token_of(pair: TokenizedPair, position: Position) -> int:
    """The token, counted from 0, that a position is on in a prompt."""
    if position == AT_END:
        return len(pair.clean) - 1
    return position.offset if position.slot == TOKEN else pair.positions[position]


def _words(pair: TokenizedPair, positions: Sequence[Position]) -> str:
    """`S2 = "Mary"`: what stands at the positions of a prompt."""
    if not pair.shown:
        return ", ".join(map(str, positions))
    return ", ".join(f'{p} = "{pair.shown[token_of(pair, p)].strip()}"' for p in positions)
