"""Every edge of the IOI circuit into heads, one by one; and as many edges of other heads."""

from collections.abc import Sequence

from benchmarks.comparison import Entry, Truth, compare
from benchmarks.machine import Environment
from benchmarks.method import (
    DirectPathMethod,
    LiteralMethod,
    Method,
    OneForwardMethod,
    fast_method,
    reference_method,
)
from benchmarks.operations import Sizes, needed_operations, world_operations
from benchmarks.outcome import Options, Outcome
from benchmarks.workload import (
    SMALL,
    SMOKE,
    circuit_edges,
    ioi_circuit,
    random_batch,
    random_edges,
    random_transformer,
    spread,
    variant,
)
from circuitlang.engine.batch import Batch
from circuitlang.engine.transformer import Transformer
from circuitlang.plan import PatchEdge

PROMPTS, LENGTH = 32, 16
RANDOM_A_SLOT = 100


def run(options: Options, here: Environment) -> Outcome:
    """The circuit's own edges."""
    return _case("edges", circuit_edges(ioi_circuit()), options, here)


def run_random(options: Options, here: Environment) -> Outcome:
    """Edges of random heads outside the circuit, up to 100 for each slot that the file names."""
    count = 3 if options.quick else RANDOM_A_SLOT
    return _case("random", random_edges(ioi_circuit(), SMALL.heads, count), options, here)


def _case(name: str, edges: Sequence[PatchEdge], options: Options, here: Environment) -> Outcome:
    size = SMOKE if options.quick else SMALL
    prompts, length = (4, 9) if options.quick else (PROMPTS, LENGTH)
    model = random_transformer(size, options.device)
    batch = random_batch(size.vocabulary, prompts, length, options.device)
    outcome = Outcome(name)
    for through_mlps in (False, True):
        for everywhere in (True, False):
            if (options.quick or name == "random") and through_mlps == everywhere:
                continue  # each of the two choices once is enough
            chosen = variant(edges, through_mlps=through_mlps, everywhere=everywhere)
            if options.quick:
                chosen = chosen[::6]
            what = "through MLPs" if through_mlps else "direct"
            where = "all positions" if everywhere else "the file's positions"
            title = f"{len(chosen)} edges, {what}, {where}; {prompts} prompts of {length} tokens"
            entries = _entries(model, batch, chosen, options, library=name == "edges")
            base = model.run(batch.clean).logits.gather(1, batch.answers)
            truth = Truth(reference_method(model, batch), chosen, batch, base)
            sizes = Sizes.of(model)
            needed = needed_operations(sizes, chosen, batch) + 2 * world_operations(sizes, batch)
            outcome.sections.append(compare(title, chosen, entries, truth, options, here, needed))
    return outcome


def _entries(
    model: Transformer,
    batch: Batch,
    edges: Sequence[PatchEdge],
    options: Options,
    *,
    library: bool,
) -> list[Entry]:
    sample = tuple(spread(len(edges), options.samples))
    methods: list[Method] = [
        reference_method(model, batch),
        LiteralMethod(model, batch, share_worlds=False),
        LiteralMethod(model, batch, share_worlds=True),
        OneForwardMethod(model, batch),
    ]
    entries = [Entry(method, sample) for method in methods]
    if library and DirectPathMethod.fits(edges):
        entries.append(Entry(DirectPathMethod(model, batch), _of_one_late_sender(edges)))
    if (fast := fast_method(model, batch)) is not None:
        entries.append(Entry(fast, tuple(range(len(edges)))))
    return entries


def _of_one_late_sender(edges: Sequence[PatchEdge]) -> tuple[int, ...]:
    """Edges of one sender in the last layer that sends: the library always runs all later heads."""
    latest = max((e.senders[0] for e in edges), key=lambda s: (s.layer, str(s)))
    slots = [e.receivers[0].slot for e in edges if e.senders == (latest,)]
    return tuple(
        i for i, e in enumerate(edges)
        if e.senders == (latest,) and e.receivers[0].slot == slots[0]
    )  # fmt: skip
