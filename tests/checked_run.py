"""What a run does for its self-checks, without a plan's own experiments."""

from collections.abc import Sequence

from circuitlang.engine.batch import batches
from circuitlang.engine.choice import agreement
from circuitlang.engine.fast import FastEngine
from circuitlang.engine.record import Record
from circuitlang.engine.reference import ReferenceEngine
from circuitlang.engine.self_checks import Witness, acts_at_positions, same_again, self_checks
from circuitlang.evidence import SelfCheck
from circuitlang.plan import PatchEdge, Plan
from circuitlang.plan.cost import CHECKED_PROMPTS, check_sample, position_probe


class CheckedRun:
    """A plan's experiments on batches of some prompts, measured by an engine and recorded."""

    def __init__(self, engine, plan: Plan, tokens: Sequence, size: int) -> None:
        self.engine, self.plan, self.tokens = engine, plan, tokens
        self.batches = tuple(batches(tokens, size, engine.model.device))
        self.worlds = [engine.worlds(batch) for batch in self.batches]
        self.record = Record(len(tokens))
        interventions = [e.intervention for e in plan.experiments]
        for worlds in self.worlds:
            batch = worlds.batch
            self.record.put("clean", batch.rows, batch.metric(worlds.clean.logits))
            self.record.put("corrupt", batch.rows, batch.metric(worlds.corrupt.logits))
            answers = engine.answers(interventions, worlds)
            for experiment, values in zip(plan.experiments, batch.metric_of(answers), strict=True):
                self.record.put(experiment.id, batch.rows, values)

    def checks(self) -> tuple[SelfCheck, ...]:
        """Every check that measures something."""
        model, engine = self.engine.model, self.engine
        reference = ReferenceEngine(model, engine.means)
        few = reference.worlds(self.batches[0].first(CHECKED_PROMPTS))
        edges = (e.intervention for e in self.plan.experiments)
        edge = next((e for e in edges if isinstance(e, PatchEdge)), None)
        found = list(self_checks(reference, few, edge, self.worlds[0].clean.logits))
        fast = isinstance(engine, FastEngine)
        own = engine.worlds(few.batch) if fast else few
        probe = position_probe(self.plan.experiments, model.shape)
        found.append(acts_at_positions(engine, model, own, few, probe))
        if fast:
            sample = [e.intervention for e in check_sample(self.plan.experiments)]
            found.append(agreement(engine, reference, sample, own, few))
        witness = Witness(model, self.plan, self.tokens, self.batches)
        witness.seal(self.worlds)
        witness.close(self.record, engine)
        return (*found, *witness.checks(), same_again(model, few.clean))
