"""`circuitlang plan`."""

from collections.abc import Sequence

from circuitlang.circuit import show_positions, to_graph
from circuitlang.cli.cost_lines import cost_lines, no_estimate
from circuitlang.cli.estimate import estimate
from circuitlang.cli.power_lines import power_lines
from circuitlang.cli.session import Session, has_errors, print_out, show_diagnostics
from circuitlang.plan import (
    AblateNodes,
    Intervention,
    PatchActivation,
    PatchEdge,
    PatchPath,
    RunCircuitAlone,
    check_design,
    compile_plan,
)
from circuitlang.plan.cost import EngineCost
from circuitlang.report.outcome import ExitCode


def show_plan(
    session: Session, engines: Sequence[EngineCost], batch: int, threads: int | None, memory: int
) -> ExitCode:
    """List the experiments of a file and what they cost; refuse a design that cannot pass."""
    problems = check_design(session.circuit)
    if problems:
        show_diagnostics(session.source, problems)
    plan = compile_plan(session.circuit)
    circuit = plan.circuit
    graph = to_graph(circuit)
    experiments = {experiment.id: experiment for experiment in plan.experiments}
    own = {name for need in plan.needs for _, name in need.experiments}
    drawn = len(experiments.keys() - own)
    also = f" and {drawn:,} random edges" if drawn else ""
    lines = [
        f"{circuit.name}: {len(circuit.all_claims)} claims, {len(own)} experiments{also}, "
        f"{circuit.prompts.sample} prompts of {len(circuit.prompts.templates)} templates",
        f"graph: {graph.number_of_nodes()} components, {graph.number_of_edges()} edges",
    ]
    found = estimate(plan, engines, batch, threads, memory)
    lines += no_estimate(plan) if found is None else cost_lines(plan, found)
    lines += power_lines(circuit)
    for need, claim in zip(plan.needs, circuit.all_claims, strict=True):
        lines.append(claim.text)
        for use, name in need.experiments:
            experiment = experiments[name]
            what = f"{use}: {_in_words(experiment.intervention)}"
            lines.append(f"  {name}  {what} ({_passes(experiment.forward_passes)})")
        if need.random_edges:
            passes = sum(experiments[name].forward_passes for name in need.random_edges)
            edges = f"{len(need.random_edges):,} random edge{'s' * (len(need.random_edges) != 1)}"
            lines.append(f"  set against {edges} ({_passes(passes)})")
        elif need.no_random_edges:
            lines.append(f"  no random edges: {need.no_random_edges}")
    print_out("\n".join(lines) + "\n")
    return ExitCode.USAGE if has_errors(problems) else ExitCode.PASSED


def _passes(number: int) -> str:
    return f"{number:,} pass{'' if number == 1 else 'es'}"


def _in_words(intervention: Intervention) -> str:
    match intervention:
        case PatchEdge():
            kind = "through MLPs" if intervention.through_mlps else "direct"
            pairs = f"{len(intervention.senders)} senders, {len(intervention.receivers)} receivers"
            place = show_positions(intervention.positions)
            return f"{kind} edge, {intervention.direction} at {place}, {pairs}"
        case PatchPath():
            hops = len(intervention.hops)
            hops_in_words = f"{hops} hop{'s' if hops > 1 else ''}"
            senders = f"{len(intervention.senders)} senders"
            return f"path of {hops_in_words}, {intervention.direction}, {senders}"
        case PatchActivation():
            head = "" if intervention.head is None else f" of head {intervention.head}"
            what = f"{intervention.activation}{head} of layer {intervention.layer}"
            place = show_positions(intervention.positions)
            return f"activation {what}, {intervention.direction} at {place}"
        case AblateNodes():
            place = show_positions(intervention.positions)
            return f"{intervention.reference} ablation of {len(intervention.components)} at {place}"
        case RunCircuitAlone():
            mlps = "all MLPs kept" if intervention.keep_mlps else "other MLPs ablated, too"
            kept = len(intervention.kept)
            return f"{kept} components kept, {mlps}, {intervention.reference} ablation"
