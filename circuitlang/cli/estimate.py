"""What a file's run will cost, from the model's config and tokenizer where they are at hand."""

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from circuitlang.circuit import Circuit, Position, expand
from circuitlang.models import ModelSize, context_of_folder, folder_at_hand, size_at_hand
from circuitlang.plan import Plan, few_swept, in_parts, texts_of
from circuitlang.plan.cost import (
    EngineCost,
    Geometry,
    Machine,
    RunCost,
    rows_of_batches,
    run_cost,
    search_cost,
    seconds,
    sweep_cost,
    with_cost,
)
from circuitlang.plan.looks import looks_of
from circuitlang.source import Diagnostic

if TYPE_CHECKING:
    from circuitlang.engine.tokenizer import Tokenizer

_MOST_PROMPTS = 240
"""Prompts that are tokenised; more of the same templates have the same lengths."""
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Estimate:
    """Costs of a run, an engine each, with its time in seconds.

    ``exact`` is false where the model's own tokenizer is not at hand and words stand for tokens.
    """

    size: ModelSize
    batches: tuple[Geometry, ...]
    machine: Machine
    costs: tuple[tuple[RunCost, float], ...]
    exact: bool


def estimate(
    plan: Plan,
    engines: Sequence[EngineCost],
    batch_size: int,
    threads: int | None,
    memory: int,
) -> Estimate | None:
    """Cost of a run with each engine; None when the model's sizes are not known here.

    ``plan`` is without the circuit's sweeps, which are counted here.
    """
    circuit = plan.circuit
    model = circuit.model
    folder = folder_at_hand(model.kind, model.name, model.revision)
    size = size_at_hand(model.kind, model.name, model.revision)
    if size is None:
        return None
    size = size.ungrouped() if model.key_values == "ungrouped" else size
    drawn, exact = _drawn(circuit, folder)
    batches = _batches(drawn, range(len(drawn)), batch_size)
    plan, cells = in_parts(plan)
    swept = _batches(drawn, range(few_swept(circuit) or 0), batch_size)
    texts = _texts(plan, folder)
    machine = Machine(_rate(model.dtype, threads))
    settings = circuit.settings
    draws = len(circuit.all_claims) * circuit.prompts.sample * settings.resamples
    searched, others = (_batches(drawn, rows, batch_size) for rows in _searched(circuit))
    costs = []
    for engine in engines:
        cost = run_cost(plan, size, batches, engine, memory, texts=texts)
        search = search_cost(plan, size, searched, others, engine, memory)
        cost = with_cost(cost, search) if search else cost
        if cells is not None:
            cost = with_cost(cost, sweep_cost(cells, size, swept, engine, memory))
        costs.append(cost)
    timed = tuple((cost, seconds(cost, size, machine, model.dtype, draws)) for cost in costs)
    return Estimate(size, batches, machine, timed, exact)


Drawn = list[tuple[int, dict[Position, int]]]
"""For every prompt its length in tokens, and the token of each named position."""


def _searched(circuit: Circuit) -> tuple[list[int], list[int]]:
    """Rows that greedy searches search, every second one of a template, and all others that they
    are judged on at the first look."""
    templates = len(circuit.prompts.templates)  # they take turns
    rows = range(looks_of(circuit)[0].prompts)
    searched = [row for row in rows if row // templates % 2]
    return searched, [row for row in rows if not row // templates % 2]


def _batches(drawn: Drawn, rows: Sequence[int], batch_size: int) -> tuple[Geometry, ...]:
    """The batches of some prompts."""
    some = [drawn[row] for row in rows]
    return tuple(
        Geometry.of(some[batch[0]][0], [some[i][1] for i in batch])
        for batch in rows_of_batches(some, batch_size)
    )


def _drawn(circuit: Circuit, folder: Path | None) -> tuple[Drawn, bool]:
    """The prompts of a run, and whether the model's own tokenizer told their lengths."""
    from circuitlang.engine.tokens import named_positions, token_index
    from circuitlang.engine.word_tokenizer import WordTokenizer
    from circuitlang.engine.written import written

    tokenizer, exact = _tokenizer(folder)
    prompts, positions = circuit.prompts, named_positions(circuit)
    templates = len(prompts.templates)
    most = max(templates, _MOST_PROMPTS // templates * templates)
    some = replace(prompts, sample=min(prompts.sample, most))
    lengths, places = [], []
    pairs = expand(some, circuit.metric)
    try:
        drawn = [written(pair, tokenizer) for pair in pairs]
    except ValueError:  # fewer tokens than are drawn, which `check --tokens` names
        drawn = [written(pair, WordTokenizer()) for pair in pairs]
    for pair in drawn:
        ranges = pair.clean_ranges
        lengths.append(max(1, len(ranges)))
        found = {p: token_index(p, pair.pair.clean, ranges) for p in positions}
        # A position outside the prompt is a mistake that `check --tokens` names.
        places.append({p: min(max(0, i), lengths[-1] - 1) for p, i in found.items()})
    rows = (i % len(lengths) for i in range(prompts.sample))  # templates take turns
    return [(lengths[row], places[row]) for row in rows], exact


def _texts(plan: Plan, folder: Path | None) -> tuple[Geometry, ...]:
    """The pairs of texts that are steered by, as two rows of a pass each."""
    from circuitlang.engine.text_tokens import text_tokens

    tokenizer, _ = _tokenizer(folder)
    found = []
    for texts in texts_of(e.intervention for e in plan.experiments):
        try:
            found.append(Geometry(2, text_tokens(texts, tokenizer).length))
        except ValueError:  # a text without a token, which `check --tokens` names
            continue
    return tuple(found)


def with_tokens(circuit: Circuit) -> Circuit:
    """A circuit that knows its prompts' layout where a sweep asks for it and the model's own
    tokenizer is at hand."""
    if not any(sweep.by_position for sweep in circuit.sweeps):
        return circuit
    model = circuit.model
    tokenizer, exact = _tokenizer(folder_at_hand(model.kind, model.name, model.revision))
    if not exact:
        return circuit
    from circuitlang.engine.layout import with_layout
    from circuitlang.engine.tokens import align

    aligned = align(circuit, tokenizer)
    return with_layout(circuit, aligned.pairs, aligned.tokens) if aligned.tokens else circuit


def prompts_too_long(circuit: Circuit) -> "tuple[Diagnostic, ...]":
    """Prompts longer than the model reads, where its own config and tokenizer are at hand."""
    folder = folder_at_hand(circuit.model.kind, circuit.model.name, circuit.model.revision)
    context = None if folder is None else context_of_folder(folder)
    tokenizer, exact = _tokenizer(folder)
    if context is None or not exact:
        return ()
    from circuitlang.engine.prompt_lengths import too_long
    from circuitlang.engine.written import ids_of

    try:
        pairs = expand(circuit.prompts, circuit.metric)
        lengths = [(pair.template, len(ids_of(pair, tokenizer)[0])) for pair in pairs]
    except ValueError:  # fewer tokens than are drawn, which `check --tokens` names
        return ()
    return tuple(too_long(circuit, lengths, context))


def _tokenizer(folder: Path | None) -> "tuple[Tokenizer, bool]":
    """The model's own, or words in its place; and whether it is the model's own."""
    from circuitlang.engine.errors import ModelError
    from circuitlang.engine.tokenizer import FastTokenizer
    from circuitlang.engine.word_tokenizer import WordTokenizer

    if folder is not None:
        try:
            return FastTokenizer.from_folder(folder), True
        except (OSError, ModelError, ModuleNotFoundError):
            pass  # the size alone is worth an estimate
    return WordTokenizer(), False


def _rate(dtype: str, threads: int | None) -> float:
    """Operations a second of a large matrix product: the middle of three."""
    if threads is not None and "numpy" not in sys.modules:
        # Read once, when the library below numpy is loaded.
        os.environ.update(dict.fromkeys(_THREADS, str(threads)))
    import numpy as np

    side = 1024
    number = np.float64 if dtype == "float64" else np.float32
    matrix = np.full((side, side), 0.5, dtype=number)
    product = np.empty_like(matrix)  # made once: the first touch of memory takes time
    np.matmul(matrix[:64], matrix[:, :64])  # starts the library's threads
    times = []
    for _ in range(3):
        started = time.perf_counter()
        np.matmul(matrix, matrix, out=product)
        times.append(time.perf_counter() - started)
    return 2 * side**3 / median(times)
