"""Cached runs, sealed when they are made and looked at again when the last experiment is done."""

from collections.abc import Mapping

import torch
from torch import Tensor

from circuitlang.engine.interface import AnyWorlds

_WHOLE = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class Seal:
    """Sums over the bits of everything that a batch's worlds hold."""

    def __init__(self, worlds: AnyWorlds) -> None:
        self.worlds = worlds
        self._sums = _sums(worlds.held())

    def broken(self) -> tuple[int, int]:
        """How many of the sealed tensors are another one now or have other bits; and of how many.

        Tensors that were cached after the sealing are held against a new computation of them.
        """
        now = _sums(self.worlds.held())
        changed = sum(
            name not in now or not torch.equal(now[name], bits) for name, bits in self._sums.items()
        )
        derived = self.worlds.derived()
        changed += sum(not torch.equal(kept, again) for kept, again in derived)
        return changed, len(self._sums) + len(derived)


def _sums(held: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """For every vector of a tensor the sum of its numbers' bits: exact, no rounding hides in it.

    Kept vector by vector, so that values moved to another prompt, token or head show as well.
    """
    return {
        name: values.contiguous().view(_WHOLE[values.element_size()]).sum(-1, dtype=torch.int64)
        for name, values in held.items()
    }
