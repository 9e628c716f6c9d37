"""What a file means: components, prompts, claims, the graph, and checks without weights."""

from circuitlang.circuit.activation import STREAMS, Activation, ActivationSite
from circuitlang.circuit.bound import RAW_UNITS, Bound, Unit
from circuitlang.circuit.circuit import Circuit, ModelReference
from circuitlang.circuit.claim import (
    AblationClaim,
    CircuitTest,
    CircuitTestClaim,
    Claim,
    EdgeClaim,
    FaithfulnessClaim,
    PathClaim,
    Role,
    Step,
    edges_of,
)
from circuitlang.circuit.coincidence import canonical
from circuitlang.circuit.component import (
    MLP,
    Component,
    Embed,
    Head,
    Logits,
    Neuron,
    Receiver,
    Slot,
    can_feed,
    holds,
)
from circuitlang.circuit.expansion import PromptPair, expand
from circuitlang.circuit.graph import pairs_of, to_graph
from circuitlang.circuit.metric import METRICS, FixedWord, Largest, Metric, WordSet
from circuitlang.circuit.model_files import missing_files
from circuitlang.circuit.patching import PatchClaim, SteerClaim
from circuitlang.circuit.position import AT_END, END, TOKEN, Position, show_positions
from circuitlang.circuit.prompts import Prompts, Rule, Template, WordList, template_in_words
from circuitlang.circuit.reading import BaselineClaim, ReadingClaim, ReadingKind
from circuitlang.circuit.resolve import resolve
from circuitlang.circuit.resolve.places import Places
from circuitlang.circuit.settings import (
    Ablation,
    Correction,
    Direction,
    PairRule,
    PairRules,
    TestSettings,
)
from circuitlang.circuit.sweep import Sweep, SweepAxis, SweepKind, named_places

__all__ = [
    "AT_END",
    "END",
    "METRICS",
    "MLP",
    "RAW_UNITS",
    "STREAMS",
    "TOKEN",
    "Ablation",
    "AblationClaim",
    "Activation",
    "ActivationSite",
    "BaselineClaim",
    "Bound",
    "Circuit",
    "CircuitTest",
    "CircuitTestClaim",
    "Claim",
    "Component",
    "Correction",
    "Direction",
    "EdgeClaim",
    "Embed",
    "FaithfulnessClaim",
    "FixedWord",
    "Head",
    "Largest",
    "Logits",
    "Metric",
    "ModelReference",
    "Neuron",
    "PairRule",
    "PairRules",
    "PatchClaim",
    "PathClaim",
    "Places",
    "Position",
    "PromptPair",
    "Prompts",
    "ReadingClaim",
    "ReadingKind",
    "Receiver",
    "Role",
    "Rule",
    "Slot",
    "SteerClaim",
    "Step",
    "Sweep",
    "SweepAxis",
    "SweepKind",
    "Template",
    "TestSettings",
    "Unit",
    "WordList",
    "WordSet",
    "can_feed",
    "canonical",
    "edges_of",
    "expand",
    "holds",
    "missing_files",
    "named_places",
    "pairs_of",
    "resolve",
    "show_positions",
    "template_in_words",
    "to_graph",
]
