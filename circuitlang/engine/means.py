"""Mean outputs over the corrupt prompts, per position, for mean ablation."""

from collections.abc import Collection, Iterable, Mapping

import torch
from torch import Tensor

from circuitlang.engine.batch import Batch
from circuitlang.engine.contrast import Contrast, site_of
from circuitlang.engine.site import Kind, Site
from circuitlang.engine.text_contrast import TextContrast
from circuitlang.engine.tokenizer import Tokenizer
from circuitlang.engine.transformer import Transformer
from circuitlang.engine.world import output_sites
from circuitlang.plan import Intervention, Steer, SteerByTexts

Outputs = Mapping[Site, Tensor]
"""Every head's and MLP's output in one run, shapes as in :class:`circuitlang.engine.site.Kind`."""


class MeanOutputs:
    """Means of every head's and MLP's output over the corrupt prompts of a group.

    A group is a template (``per_template``) or the whole file; its prompts have one length, and the
    mean is taken separately at each position (Wang et al. 2022, section 2). ``contrast`` and
    ``texts`` are the directions of `steer`, where a plan needs any.
    """

    def __init__(self, corrupt: Iterable[tuple[Batch, Outputs]], per_template: bool) -> None:
        self.per_template = per_template
        self.contrast: Contrast | None = None
        self.texts: TextContrast | None = None
        sums: dict[tuple[int, Site], Tensor] = {}
        counts: dict[int, int] = {}
        for batch, outputs in corrupt:
            groups = [self._group(template) for template in batch.templates]
            for group in dict.fromkeys(groups):
                rows = [row for row, own in enumerate(groups) if own == group]
                counts[group] = counts.get(group, 0) + len(rows)
                for site, value in outputs.items():
                    # Summed in float64: a mean of many prompts must not depend on their order.
                    new = value[rows].double().sum(dim=0)
                    total = sums.get((group, site))
                    sums[group, site] = new if total is None else total + new
        self._means = {key: total / counts[key[0]] for key, total in sums.items()}

    @classmethod
    def of(
        cls,
        model: Transformer,
        batches: Iterable[Batch],
        per_template: bool,
        neurons: Collection[int] = (),
    ) -> "MeanOutputs":
        """Run a model over the corrupt prompts and take the means.

        ``neurons``: layers for whose single neurons means are taken, too.
        """
        sites = (*output_sites(model), *(Site(Kind.POST, layer) for layer in neurons))
        runs = ((batch, model.run(batch.corrupt, sites).sites) for batch in batches)
        return cls(runs, per_template)

    def add_contrast(
        self, model: Transformer, batches: Iterable[Batch], interventions: Iterable[Intervention]
    ) -> None:
        """Measure the directions that interventions add, over all prompts, where any does."""
        steers = [each for each in interventions if isinstance(each, Steer)]
        sites = tuple(dict.fromkeys(site_of(site) for steer in steers for site in steer.sites))
        if sites:
            self.contrast = Contrast.of(model, batches, sites, self.per_template)

    def add_texts(
        self, model: Transformer, tokenizer: Tokenizer, interventions: Iterable[Intervention]
    ) -> None:
        """Measure the directions of quoted texts, where interventions add any.

        Raises:
            RunError: a text is longer than what the model reads, or has tokens that it lacks.
        """
        steers = [each for each in interventions if isinstance(each, SteerByTexts)]
        if steers:
            self.texts = TextContrast.of(model, tokenizer, steers)

    def _group(self, template: int) -> int:
        return template if self.per_template else 0

    def rows(self, site: Site, batch: Batch) -> Tensor:
        """The mean of each prompt's group: ``[prompt, pos, ...]`` in float64."""
        return torch.stack([self._means[self._group(t), site] for t in batch.templates])
