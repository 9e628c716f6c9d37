"""Sweeps as experiments: one for every cell of a heatmap."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

from circuitlang.circuit import (
    AT_END,
    TOKEN,
    Circuit,
    Position,
    Sweep,
    SweepAxis,
    SweepKind,
    named_places,
)
from circuitlang.circuit.resolve.limits import MAX_CELLS
from circuitlang.models import ModelShape
from circuitlang.plan.intervention import (
    Intervention,
    PatchActivation,
    ReadStream,
    experiment_id,
)
from circuitlang.plan.plan import Experiment, Plan, SweepNeed

_LAYERS_LATER = "its cells are known once the model is loaded"
_TOKENS_LATER = "its positions are known once the prompts are in tokens"

Layer = tuple[str, int]
Head = tuple[str, int | None]
Place = tuple[str, tuple[Position, ...]]


@dataclass(frozen=True, slots=True)
class _Grid:
    """What stands along each axis, with its label; one nameless entry where there is no axis."""

    layers: tuple[Layer, ...]
    heads: tuple[Head, ...]
    places: tuple[Place, ...]

    @property
    def cells(self) -> int:
        """How many experiments."""
        return len(self.layers) * len(self.heads) * len(self.places)


def with_sweeps(plan: Plan) -> Plan:
    """A plan with its circuit's sweeps, whose experiments come after all others.

    Commands that are about claims alone leave sweeps out by not asking for them. What cannot be
    told yet, or is too much, has no cells and says why.
    """
    circuit = plan.circuit
    experiments = {experiment.id: experiment for experiment in plan.experiments}
    needs, left = [], MAX_CELLS
    for sweep in circuit.sweeps:
        grid = _grid(sweep, circuit)
        if isinstance(grid, _Grid) and grid.cells > left:
            grid = f"all sweeps together have more than {MAX_CELLS:,} cells with this one"
        if isinstance(grid, str):
            needs.append(SweepNeed(missing=grid))
            continue
        left -= grid.cells
        names = []
        for intervention in _interventions(sweep, grid):
            name = experiment_id(intervention)
            experiments.setdefault(name, Experiment(name, intervention))
            names.append(name)
        labels = {
            SweepAxis.LAYER: tuple(label for label, _ in grid.layers),
            SweepAxis.HEAD: tuple(label for label, _ in grid.heads),
            SweepAxis.POSITION: tuple(label for label, _ in grid.places),
        }
        axes = tuple((str(axis), labels[axis]) for axis in sweep.axes)
        needs.append(SweepNeed(axes, tuple(names)))
    return replace(plan, experiments=tuple(experiments.values()), sweeps=tuple(needs))


def in_parts(plan: Plan) -> tuple[Plan, Plan | None]:
    """A plan with its circuit's sweeps, as it is measured; ``plan`` is without them.

    First what is measured on all pairs, which is everything unless `sweep pairs` asks for fewer.
    Then the cells that are measured on the first of the measured pairs alone, if there are any. A
    cell that a claim needs, too, is in the first part.
    """
    whole = with_sweeps(plan)
    if few_swept(plan.circuit) is None:
        return whole, None
    own = {experiment.id for experiment in plan.experiments}
    cells = tuple(e for e in whole.experiments if e.id not in own)
    after = replace(whole, experiments=cells, readings=()) if cells else None
    return replace(whole, experiments=plan.experiments), after


def few_swept(circuit: Circuit) -> int | None:
    """How many measured pairs, from the first, sweeps are made on; None for all."""
    few = circuit.settings.sweep_pairs
    return few if few is not None and few < circuit.prompts.sample else None


def _grid(sweep: Sweep, circuit: Circuit) -> _Grid | str:
    """The grid of a sweep, or why there is none."""
    shape = circuit.shape
    if shape is None:
        return _LAYERS_LATER
    places = _places(sweep, circuit)
    if places is None:
        return _TOKENS_LATER
    return _Grid(_layers(sweep, shape), _heads(sweep, shape), places)


def _layers(sweep: Sweep, shape: ModelShape) -> tuple[Layer, ...]:
    layers = [(f"L{layer}", layer) for layer in range(min(shape.layers, MAX_CELLS))]
    # A lens also looks at what the last layer leaves, which is the model's own output.
    return (*layers, *([("out", shape.layers)] if sweep.kind is SweepKind.LOGIT_LENS else []))


def _heads(sweep: Sweep, shape: ModelShape) -> tuple[Head, ...]:
    if SweepAxis.HEAD not in sweep.axes:
        return (("", None),)
    heads = min(shape.heads, MAX_CELLS)
    shared = sweep.kind in (SweepKind.K, SweepKind.V)
    # Keys and values belong to groups of heads, which their first head stands for.
    size = shape.heads // shape.kv_heads if shared else 1
    return tuple(
        (f"H{first}" if size == 1 else f"H{first}-{first + size - 1}", first)
        for first in range(0, heads, size)
    )


def _places(sweep: Sweep, circuit: Circuit) -> tuple[Place, ...] | None:
    """Positions, each with its label; None where the tokens decide and are not known."""
    if not sweep.by_position:
        alone = (AT_END,) if sweep.kind is SweepKind.LOGIT_LENS else sweep.positions
        return (("", alone),)
    if sweep.positions:
        return tuple((str(position), (position,)) for position in sweep.positions)
    if circuit.layout is None:
        return None
    if circuit.layout:
        return tuple(
            (f"{index} {label}".rstrip(), (Position(TOKEN, offset=index),))
            for index, label in enumerate(circuit.layout)
        )
    return tuple((str(position), (position,)) for position in named_places(circuit))


def _interventions(sweep: Sweep, grid: _Grid) -> Iterator[Intervention]:
    """One a cell, row by row: layers, then heads, then positions."""
    for (_, layer), (_, head), (_, places) in product(grid.layers, grid.heads, grid.places):
        activation = sweep.kind.activation
        if activation is None or sweep.direction is None:
            yield ReadStream(layer, places[0])
        else:
            yield PatchActivation(activation, layer, head, places, sweep.direction)
