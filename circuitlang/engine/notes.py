"""What a reader must know about how experiments were defined for a model."""

from collections.abc import Sequence

from circuitlang.circuit import Activation, ActivationSite, Head, Receiver, Slot
from circuitlang.engine.loading import LoadedModel
from circuitlang.engine.text_tokens import text_tokens
from circuitlang.models import ModelShape
from circuitlang.plan import (
    Hop,
    PatchActivation,
    PatchEdge,
    PatchPath,
    PatchTogether,
    Plan,
    SteerByTexts,
    texts_of,
)
from circuitlang.source import in_a_row


def notes(plan: Plan, model: LoadedModel) -> tuple[str, ...]:
    """What a reader must know about how the experiments were defined for this model."""
    receivers: list[Receiver] = []
    for experiment in plan.experiments:
        each = experiment.intervention
        hops = each.hops if isinstance(each, PatchPath) else (each,)
        entered = (hop for hop in hops if isinstance(hop, PatchEdge | Hop))
        receivers += (receiver for hop in entered for receiver in hop.receivers)
        if isinstance(each, PatchTogether):
            receivers += filter(None, map(_entered, each.sites))
        elif isinstance(each, PatchActivation):
            site = ActivationSite(each.activation, each.layer, each.head)
            receivers += filter(None, [_entered(site)])
    return (
        *precision_note(model),
        *group_note(receivers, model),
        *_text_notes(plan, model),
    )


def _text_notes(plan: Plan, model: LoadedModel) -> list[str]:
    """Texts that are steered by, in tokens."""
    show, found = model.tokenizer.show, []
    steers = [e.intervention for e in plan.experiments if isinstance(e.intervention, SteerByTexts)]
    in_front = {steer.texts for steer in steers if not steer.positions}
    for texts in texts_of(steers):
        tokens = text_tokens(texts, model.tokenizer)
        both = zip(texts, (tokens.first, tokens.second), tokens.lengths, strict=True)
        shown = [f'"{text}" is {in_a_row(map(show, ids[:size]))}' for text, ids, size in both]
        filled = len(set(tokens.lengths)) > 1 and texts in in_front
        told = ", the shorter one filled up with spaces" if filled else ""
        found.append(f"Texts that are steered by, in tokens: {', '.join(shown)}{told}")
    return found


def _entered(site: ActivationSite) -> Receiver | None:
    """A patched key or value as the input that an edge would enter."""
    if site.head is None or site.activation not in (Activation.K, Activation.V):
        return None
    return Receiver(Head(site.layer, site.head), Slot(site.activation.name))


def precision_note(model: LoadedModel) -> tuple[str, ...]:
    """What weights in half precision do to small effects."""
    dtype = str(model.transformer.dtype).removeprefix("torch.")
    if dtype in ("float32", "float64"):
        return ()
    return (
        f"The weights are in {dtype}: rounding alone can move the metric by as much as the "
        "self-checks show, and small effects mean nothing; use float32 for a verdict that matters",
    )


def group_note(receivers: Sequence[Receiver], model: LoadedModel) -> tuple[str, ...]:
    """Which heads a K or V edge enters under grouped-query attention."""
    shape, ungrouped = model.transformer.shape, model.ungrouped
    if ungrouped > 1 and any(receiver.slot in (Slot.K, Slot.V) for receiver in receivers):
        return (
            f"Keys and values, which {ungrouped} heads of a group share, are ungrouped: what "
            "enters or replaces a K or V does so in the one head that is named, and the others of "
            "its group keep theirs",
        )
    if shape.kv_heads == shape.heads:
        return ()
    groups = dict.fromkeys(filter(None, (_group(r, shape) for r in receivers)))
    if not groups:
        return ()
    return (
        "Grouped-query attention shares keys and values between heads, so what enters or "
        f"replaces a K or V does so in the whole group: {', '.join(groups)}",
    )


def _group(receiver: Receiver, shape: ModelShape) -> str:
    """`L17.H3-H5` for a K or V receiver; nothing for others."""
    head = receiver.component
    if receiver.slot not in (Slot.K, Slot.V) or not isinstance(head, Head):
        return ""
    group = shape.group_of(head.head)
    return f"L{head.layer}.H{group[0]}-H{group[-1]}"
