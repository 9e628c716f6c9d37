"""Activation patching of every head's output: at all positions, at END, position by position."""

from typing import Any

from benchmarks.comparison import Entry, Truth, compare
from benchmarks.machine import Environment
from benchmarks.method import (
    LibrarySweepMethod,
    Method,
    OneForwardMethod,
    fast_method,
    reference_method,
)
from benchmarks.outcome import Options, Outcome
from benchmarks.workload import SMALL, SMOKE, random_batch, random_transformer, spread, z_sweep

PROMPTS, LENGTH = 32, 16
_PLACES = {"all": "all positions", "end": "at END", "each": "position by position"}


def run(options: Options, here: Environment) -> Outcome:
    """Denoising: base prompts corrupt, one head's output from the clean run."""
    size = SMOKE if options.quick else SMALL
    prompts, length = (4, 9) if options.quick else (PROMPTS, LENGTH)
    model = random_transformer(size, options.device)
    batch = random_batch(size.vocabulary, prompts, length, options.device)
    base = model.run(batch.corrupt).logits.gather(1, batch.answers)
    outcome = Outcome("sweep")
    for places, where in _PLACES.items():
        sweep = z_sweep(size, places, length)
        if options.quick:
            sweep = sweep[:: len(sweep) // 24]
        sample = tuple(spread(len(sweep), options.samples))
        reference: Method = reference_method(model, batch)
        methods: list[Method] = [
            OneForwardMethod(model, batch, sweep=True),
            LibrarySweepMethod(model, batch, every_position=places == "all"),
        ]
        if _runs(reference, sweep[0]):
            methods.insert(0, reference)
        else:
            # Until the engine knows this intervention, the plain hook is the definition.
            reference = OneForwardMethod(model, batch, sweep=True)
        entries = [Entry(method, sample) for method in methods]
        fast = fast_method(model, batch)
        if fast is not None and _runs(fast, sweep[0]):
            entries.append(Entry(fast, tuple(range(len(sweep)))))
        title = f"{len(sweep)} heads' outputs, {where}; {prompts} prompts of {length} tokens"
        truth = Truth(reference, sweep, batch, base)
        outcome.sections.append(compare(title, sweep, entries, truth, options, here))
    return outcome


def _runs(method: Method, experiment: Any) -> bool:  # noqa: ANN401
    """Whether an engine knows this kind of experiment."""
    method.prepare([experiment])
    try:
        method.values([experiment])
    except NotImplementedError:
        return False
    return True
