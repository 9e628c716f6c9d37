"""What was measured, prompt by prompt, and by what; saved as JSON and judged without torch."""

from circuitlang.evidence.evidence import Evidence, PromptRecord
from circuitlang.evidence.joining import joined
from circuitlang.evidence.provenance import Provenance
from circuitlang.evidence.screening import ScreenedEdge, Screening
from circuitlang.evidence.self_check import SelfCheck
from circuitlang.evidence.store import load_evidence, save_evidence

__all__ = [
    "Evidence",
    "PromptRecord",
    "Provenance",
    "ScreenedEdge",
    "Screening",
    "SelfCheck",
    "joined",
    "load_evidence",
    "save_evidence",
]
