"""What is read off the logits at END."""

from dataclasses import dataclass, field

from circuitlang.source import Span

METRICS = ("logit_diff",)


@dataclass(frozen=True, slots=True)
class Metric:
    """`logit_diff(a, b)`: logit of slot a's clean word minus that of slot b's, at END, in logits.

    Positive values mean that the model prefers a. The words are the clean prompt's in every world,
    so the corrupt run is scored on the same two tokens (Wang et al. 2022, section 3).
    """

    name: str
    answer: str
    distractor: str
    span: Span = field(default=Span(0, 0), compare=False)

    unit = "logits"

    def __str__(self) -> str:
        return f"{self.name}({self.answer}, {self.distractor})"
