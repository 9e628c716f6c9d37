"""What passes amount to, in the quantities that take time."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Work:
    """Passes over layers.

    ``operations`` of matrix products, floating point; ``visits`` to a layer, each with a fixed cost
    however few tokens it works on; ``weights`` that are read, one a matrix entry and visit.
    """

    passes: int = 0
    operations: int = 0
    visits: int = 0
    weights: int = 0

    def __add__(self, other: "Work") -> "Work":
        return Work(
            self.passes + other.passes,
            self.operations + other.operations,
            self.visits + other.visits,
            self.weights + other.weights,
        )

    def __mul__(self, times: int) -> "Work":
        return Work(
            self.passes * times,
            self.operations * times,
            self.visits * times,
            self.weights * times,
        )
