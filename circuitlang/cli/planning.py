"""`circuitlang plan`."""

from collections.abc import Sequence

from circuitlang.circuit import Activation, BaselineClaim, show_positions, to_graph
from circuitlang.cli.cost_lines import cost_lines, no_estimate
from circuitlang.cli.estimate import estimate, prompts_too_long, with_tokens
from circuitlang.cli.opening import sound_design
from circuitlang.cli.power_lines import power_lines
from circuitlang.cli.session import Session, print_out, show_diagnostics
from circuitlang.plan import (
    AblateNodes,
    Experiments,
    Intervention,
    Need,
    PatchActivation,
    PatchEdge,
    PatchPath,
    PatchTogether,
    Plan,
    Reading,
    ReadStream,
    RunCircuitAlone,
    RunWithout,
    Steer,
    SteerByTexts,
    Use,
    compile_plan,
    few_swept,
    with_sweeps,
)
from circuitlang.plan.cost import EngineCost
from circuitlang.plan.greedy import most_experiments, searches_of, searching
from circuitlang.plan.readings import SEQUENCES
from circuitlang.report.outcome import ExitCode
from circuitlang.source import counted


def show_plan(
    session: Session, engines: Sequence[EngineCost], batch: int, threads: int | None, memory: int
) -> ExitCode:
    """List the experiments of a file and what they cost; refuse a design that cannot pass."""
    sound = sound_design(session)
    if problems := prompts_too_long(session.circuit):
        show_diagnostics(session.source, problems)
        sound = False
    claims = compile_plan(with_tokens(session.circuit))
    plan = with_sweeps(claims)
    circuit = plan.circuit
    graph = to_graph(circuit)
    experiments = {experiment.id: experiment for experiment in plan.experiments}
    own = {name for need in plan.needs for _, name in need.experiments}
    swept = {name for sweep in plan.sweeps for name in sweep.experiments} - own
    drawn = len(experiments.keys() - own - swept)
    also = f" and {counted(drawn, 'random edge')}" if drawn else ""
    lines = [
        f"{circuit.name}: {counted(len(circuit.all_claims), 'claim')}, "
        f"{counted(len(own), 'experiment')}{also}, {counted(circuit.prompts.sample, 'prompt')} "
        f"of {counted(len(circuit.prompts.templates), 'template')}",
        f"pairs: {circuit.settings.pairs}",
        f"graph: {counted(graph.number_of_nodes(), 'component')}, "
        f"{counted(graph.number_of_edges(), 'edge')}",
    ]
    found = estimate(claims, engines, batch, threads, memory)
    lines += no_estimate(claims) if found is None else cost_lines(plan, found)
    lines += power_lines(circuit) if circuit.all_claims else []
    read = {reading.id: reading for reading in plan.readings}
    searched = {id(tests.claim): tests for tests in searching(plan)}
    for need, claim in zip(plan.needs, circuit.all_claims, strict=True):
        lines.append(claim.text)
        for use, names in _by_use(need).items():
            cost = counted(sum(experiments[name].forward_passes for name in names), "pass")
            if len(names) > 1:
                lines.append(f"  {len(names):,} experiments  {use} ({cost})")
                continue
            what = f"{use}: {_in_words(experiments[names[0]].intervention)}"
            lines.append(f"  {names[0]}  {what} ({cost})")
        lines += [f"  {name}  {_reading_in_words(read[name])}" for name in need.readings]
        if isinstance(claim, BaselineClaim):
            lines.append("  the metric itself, of runs that are made in any case")
        if (tests := searched.get(id(claim))) and searches_of(tests):
            lines.append(f"  {_search_in_words(tests)}")
        if need.drawn_later:
            lines.append("  more are drawn once the model is loaded and its size known")
        if need.random_edges:
            passes = sum(experiments[name].forward_passes for name in need.random_edges)
            edges = counted(len(need.random_edges), "random edge")
            lines.append(f"  set against {edges} ({counted(passes, 'pass')})")
        elif need.no_random_edges:
            lines.append(f"  no random edges: {need.no_random_edges}")
    lines += _sweeps(plan)
    print_out("\n".join(lines) + "\n")
    return ExitCode.PASSED if sound else ExitCode.USAGE


def _reading_in_words(reading: Reading) -> str:
    if reading.kind.of_sequences:
        return f"read on {SEQUENCES} sequences of random tokens (seed {reading.seed})"
    return "read off the clean run (a pass for all that is read)"


def _search_in_words(tests: Experiments) -> str:
    most, number = most_experiments(tests), counted(searches_of(tests), "greedy search")
    return (
        f"then {number}: at most {counted(most, 'experiment')} "
        f"({counted(most, 'pass')}) on half of the prompts"
    )


def _sweeps(plan: Plan) -> list[str]:
    """Each sweep with its cells, or why they cannot be told."""
    passes = {experiment.id: experiment.forward_passes for experiment in plan.experiments}
    few, lines = few_swept(plan.circuit), []
    where = "" if few is None else f", on the first {counted(few, 'pair')}"
    for sweep, need in zip(plan.circuit.sweeps, plan.sweeps, strict=True):
        lines.append(sweep.text)
        if need.missing:
            lines.append(f"  {need.missing}")
            continue
        size = " x ".join(counted(len(labels), name) for name, labels in need.axes)
        cost = counted(sum(passes[name] for name in need.experiments), "pass")
        cells = counted(len(need.experiments), "experiment")
        lines.append(f"  {cells}: {size} ({cost}{where}); shown, not judged")
    return lines


def _by_use(need: Need) -> dict[Use, list[str]]:
    found: dict[Use, list[str]] = {}
    for use, name in need.experiments:
        found.setdefault(use, []).append(name)
    return found


def _in_words(intervention: Intervention) -> str:
    match intervention:
        case PatchEdge():
            kind = "through MLPs" if intervention.through_mlps else "direct"
            senders = counted(len(intervention.senders), "sender")
            receivers = counted(len(intervention.receivers), "receiver")
            place = show_positions(intervention.positions)
            return f"{kind} edge, {intervention.direction} at {place}, {senders}, {receivers}"
        case PatchPath():
            hops = counted(len(intervention.hops), "hop")
            senders = counted(len(intervention.senders), "sender")
            through = sum(hop.through_mlps for hop in intervention.hops)
            mlps = f", {through} through MLPs" if through else ""
            return f"path of {hops}{mlps}, {intervention.direction}, {senders}"
        case PatchActivation():
            part = "neuron" if intervention.activation is Activation.POST else "head"
            head = "" if intervention.head is None else f" of {part} {intervention.head}"
            what = f"{intervention.activation}{head} of layer {intervention.layer}"
            place = show_positions(intervention.positions)
            return f"activation {what}, {intervention.direction} at {place}"
        case PatchTogether():
            place = show_positions(intervention.positions)
            sites = counted(len(intervention.sites), "activation")
            return f"{sites} at once, {intervention.direction} at {place}"
        case Steer():
            place = show_positions(intervention.positions)
            sites = counted(len(intervention.sites), "activation")
            return f"{intervention.factor:g} * (clean - corrupt) added to {sites} at {place}"
        case SteerByTexts(factor=factor, texts=(first, second)):
            if factor < 0:  # as it was written, most likely
                factor, first, second = -factor, second, first
            named = intervention.positions
            place = show_positions(named) if named else "the front"
            sites = counted(len(intervention.sites), "activation")
            return f'{factor:g} * ("{first}" - "{second}") added to {sites} at {place}'
        case ReadStream():
            return f"logit lens before layer {intervention.layer} at {intervention.position}"
        case AblateNodes():
            place = show_positions(intervention.positions)
            return f"{intervention.reference} ablation of {len(intervention.components)} at {place}"
        case RunCircuitAlone():
            mlps = "all MLPs kept" if intervention.keep_mlps else "other MLPs ablated, too"
            kept = counted(len(intervention.kept), "component")
            return f"{kept} kept, {mlps}, {intervention.reference} ablation"
        case RunWithout():
            return f"{intervention.reference} ablation of {len(intervention.removed)}"
