"""Designs that run and say little: warnings about a whole circuit, from what is written alone."""

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import product

import networkx as nx

from circuitlang.circuit.circuit import Circuit
from circuitlang.circuit.claim import (
    AblationClaim,
    Claim,
    EdgeClaim,
    OtherClaim,
    PathClaim,
    edges_of,
)
from circuitlang.circuit.component import Component, Embed, Logits, Neuron
from circuitlang.circuit.patching import PatchClaim, SteerClaim
from circuitlang.circuit.position import Position
from circuitlang.circuit.prompts import FRESH, Prompts, Template
from circuitlang.circuit.reading import ReadingClaim, ReadingKind
from circuitlang.circuit.settings import Ablation
from circuitlang.circuit.unchanged import never_change
from circuitlang.source import Diagnostic


def something_arrives(circuit: Circuit) -> Iterator[Diagnostic]:
    """What stands before the first corrupted word is the same in both worlds.

    Attention looks back only, so a sender there writes the same, and patching it changes nothing,
    by construction. (With `S2 = IO`, previous-token heads at S1+1 have no effect.) The embedding
    writes the same wherever the token is the same.
    """
    before, unchanged = _before_any_change(circuit.prompts), _unchanged(circuit)
    for claim in circuit.all_claims:
        positions = _patched_at(claim)
        if not positions:
            continue
        places = ", ".join(map(str, positions))
        if before(positions):
            message = f"`{claim.text}` acts at {places}, before anything is corrupted"
            hint = "both worlds are the same there, so the effect is zero: corrupt an earlier word"
            yield Diagnostic("CL241", claim.span, message, hint)
        elif _is_of_the_embedding(claim) and unchanged(positions):
            message = f"`{claim.text}` acts on the embedding at {places}, where no token differs"
            hint = "both worlds embed the same there, so the effect is zero: take a corrupted word"
            yield Diagnostic("CL241", claim.span, message, hint)


def _unchanged(circuit: Circuit) -> Callable[[tuple[Position, ...]], bool]:
    """Whether tokens never change, asked once for each of the positions that claims have."""
    return cache(lambda positions: never_change(positions, circuit.prompts, circuit.metric))


def _before_any_change(prompts: Prompts) -> Callable[[tuple[Position, ...]], bool]:
    """Whether positions surely lie before the first word that the rules change."""
    if not prompts.rules or prompts.corrupt_templates:
        return lambda _: False
    firsts = [(template, _first_change(template, prompts)) for template in prompts.templates]
    return lambda positions: all(
        _is_before(position, *first) for first in firsts for position in positions
    )


def _is_of_the_embedding(claim: Claim) -> bool:
    """Whether the embedding alone is patched, by its own name or as the first stream."""
    match claim:
        case EdgeClaim(senders=parts) | PathClaim(senders=parts):
            return {*parts} == {Embed()}
        case PatchClaim(sites=sites) | SteerClaim(sites=sites):
            return all(isinstance(site.component, Embed) for site in sites)
        case AblationClaim(components=parts):
            return {*parts} == {Embed()}
        case _:
            return False


def _first_change(template: Template, prompts: Prompts) -> int:
    """Index of the first slot that the rules change."""
    changed = [
        index
        for rule in prompts.rules
        for number, index in enumerate(
            (i for i, slot in enumerate(template.slots) if slot == rule.target), 1
        )
        if rule.occurrence in (None, number)
    ]
    return min(changed, default=len(template.slots))


def _patched_at(claim: Claim) -> tuple[Position, ...]:
    """Where the other world's values go in; nothing where they go in everywhere, or are means."""
    match claim:
        case EdgeClaim() | PatchClaim():
            return claim.positions
        case SteerClaim(texts=None):
            return claim.positions
        case PathClaim():
            return claim.hops[0].positions
        case AblationClaim(reference=Ablation.RESAMPLE):
            return claim.positions
        case _:
            return ()


def _is_before(position: Position, template: Template, first: int) -> bool:
    """Whether a position surely lies before a slot: no word has less than one token."""
    place = template.order_of(position)
    if place is None or place[0] >= first:
        return False
    between = sum(len(text.split()) for text in template.texts[place[0] + 1 : first + 1])
    return place[1] <= between


def zeros_are_zero(circuit: Circuit) -> Iterator[Diagnostic]:
    """Zero ablation of published weights takes the value biases away with the head."""
    if circuit.model.weights != "plain":
        return
    for claim in circuit.all_claims:
        if getattr(claim, "reference", None) is Ablation.ZERO:
            message = "zero ablation depends on where biases stand, and here none are folded"
            hint = "use `by mean` or `by resample`, or `model ... weights folded`"
            yield Diagnostic("CL242", claim.span, message, hint)
            return


def means_are_of_like(circuit: Circuit) -> Iterator[Diagnostic]:
    """A mean over different templates mixes positions that have nothing to do with each other."""
    if circuit.settings.per_template or len(circuit.prompts.shares) == 1:
        return
    for claim in circuit.all_claims:
        if getattr(claim, "reference", None) is Ablation.MEAN:
            count = len(circuit.prompts.shares)
            message = f"the mean of this ablation mixes {count} templates, token by token"
            yield Diagnostic("CL243", claim.span, message, "write `ablation mean per template`")
            return


def corrupt_words_are_new(circuit: Circuit) -> Iterator[Diagnostic]:
    """A fixed corrupt word that its slot may have already leaves some pairs as they are."""
    prompts = circuit.prompts
    changed = {rule.target for rule in prompts.rules}
    for rule in prompts.rules:
        words = next((w for w in prompts.word_lists if rule.target in w.slots), None)
        if rule.literal is None or words is None or rule.literal not in words.words:
            continue
        name = f"{rule.target}{rule.occurrence or ''}"
        message = f"`{rule.literal}` is among the words of `{rule.target}`: where it is drawn, "
        message += f"`{name}` is not corrupted"
        kept = [slot for slot in words.slots if slot not in changed]
        if kept:
            message += f", and where `{kept[0]}` has it, both are `{rule.literal}`"
        hint = f"take it out of the list, or write `{name} = {FRESH}`"
        yield Diagnostic("CL245", rule.span, message, hint)


def everything_leads_on(circuit: Circuit) -> Iterator[Diagnostic]:
    """Where edges lead to the logits, a node of other edges that nothing leads on is a gap.

    A claim about the effect of the node itself closes it, and so does a claim that an edge which
    would lead on is absent: the file has thought of it.
    """
    steps = nx.DiGraph()
    there: set[Component | Logits] = set()
    edges = [(claim, edge) for claim in circuit.edges for edge in edges_of(claim)]
    for number, (claim, edge) in enumerate(edges):
        ends = [receiver.component for receiver in edge.receivers]
        # Through a number, so that a group of many costs its sum and not its product.
        steps.add_edges_from(product(edge.senders, (number,)))
        steps.add_edges_from(product((number,), ends))
        there.update(() if claim.absent else (*edge.senders, *ends))
    if Logits() not in there:
        return
    spoken_of = (part for claim in circuit.claims for part in _has_an_effect(claim))
    steps.add_edges_from((part, Logits()) for part in spoken_of)
    for part in [part for part in steps if isinstance(part, Neuron)]:
        steps.add_edges_from(((part, part.mlp), (part.mlp, part)))
    leading = nx.ancestors(steps, Logits())
    stuck = [r for r in circuit.roles if there & {*r.components} and not leading & {*r.components}]
    parts = {part for role in stuck for part in role.components}
    for role in stuck:
        own = {*role.components}
        onward = {end for part in own & there for hop in steps[part] for end in steps[hop]}
        if onward & (parts - own):
            continue  # what is missing is missing further on, and told there
        message = f"no edge leads on from `{role.name}` to the logits"
        hint = "claim what it does to later nodes or to the logits, or `ablate` it"
        yield Diagnostic("CL244", role.span, message, hint)


def _has_an_effect(claim: OtherClaim) -> Iterable[Component]:
    """The components whose own effect on the logits a claim is about."""
    match claim:
        case AblationClaim() | PatchClaim() | SteerClaim():
            return claim.components
        case ReadingClaim(kind=ReadingKind.DIRECT_EFFECT):
            return claim.components
        case _:
            return ()


SUSPICIONS: tuple[Callable[[Circuit], Iterator[Diagnostic]], ...] = (
    something_arrives,
    zeros_are_zero,
    means_are_of_like,
    corrupt_words_are_new,
    everything_leads_on,
)
