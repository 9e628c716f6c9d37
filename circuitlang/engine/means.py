"""Mean outputs over the corrupt prompts, per position, for mean ablation."""

from collections.abc import Iterable

import torch
from torch import Tensor

from circuitlang.engine.batch import Batch
from circuitlang.engine.site import Site
from circuitlang.engine.transformer import Transformer
from circuitlang.engine.world import output_sites


class MeanOutputs:
    """Means of every head's and MLP's output over the corrupt prompts of a group.

    A group is a template (``per_template``) or the whole file; its prompts have one length, and the
    mean is taken separately at each position (Wang et al. 2022, section 2).
    """

    def __init__(self, model: Transformer, batches: Iterable[Batch], per_template: bool) -> None:
        self.per_template = per_template
        sums: dict[tuple[int, Site], Tensor] = {}
        counts: dict[int, int] = {}
        for batch in batches:
            found = model.run(batch.corrupt, output_sites(model))
            for row, template in enumerate(batch.templates):
                group = self._group(template)
                counts[group] = counts.get(group, 0) + 1
                for site, value in found.sites.items():
                    total = sums.get((group, site))
                    # Summed in float64: a mean of many prompts must not depend on their order.
                    new = value[row].double()
                    sums[group, site] = new if total is None else total + new
        self._means = {key: total / counts[key[0]] for key, total in sums.items()}

    def _group(self, template: int) -> int:
        return template if self.per_template else 0

    def rows(self, site: Site, batch: Batch) -> Tensor:
        """The mean of each prompt's group: ``[prompt, pos, ...]`` in float64."""
        return torch.stack([self._means[self._group(t), site] for t in batch.templates])
