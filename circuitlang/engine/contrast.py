"""Mean differences between clean and corrupt activations: what `steer` adds."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor

from circuitlang.circuit import ActivationSite
from circuitlang.engine.batch import Batch
from circuitlang.engine.site import Kind, Site
from circuitlang.engine.tokens import TokenizedPair
from circuitlang.engine.transformer import Transformer

Differences = Mapping[Site, Tensor]
"""Clean minus corrupt values of sites, ``[prompt, pos, ...]`` as in `Kind`."""


def site_of(activation: ActivationSite) -> Site:
    """Where an activation is read."""
    return Site(Kind[activation.activation.name], activation.layer)


class Contrast:
    """Sums of clean-minus-corrupt differences over the prompts of a group, at each position.

    A group is a template (``per_template``) or the whole file; its prompts have one length. The
    mean that a prompt is steered by leaves out the prompt itself and its copies: a direction that
    was made of a prompt's own runs would be tested on what it was made from.
    """

    def __init__(self, runs: Iterable[tuple[Batch, Differences]], per_template: bool) -> None:
        self.per_template = per_template
        self._sums: dict[tuple[int, Site], Tensor] = {}
        self._counts: Counter[int] = Counter()
        self._copies: Counter[object] = Counter()
        for batch, differences in runs:
            groups = [self._group(template) for template in batch.templates]
            self._counts.update(groups)
            self._copies.update(map(self._key, batch.pairs))
            for group in dict.fromkeys(groups):
                rows = [row for row, own in enumerate(groups) if own == group]
                for site, value in differences.items():
                    # In float64: a mean of many prompts must not depend on their order.
                    new = value[rows].double().sum(dim=0)
                    total = self._sums.get((group, site))
                    self._sums[group, site] = new if total is None else total + new

    @classmethod
    def of(
        cls,
        model: Transformer,
        batches: Iterable[Batch],
        sites: Sequence[Site],
        per_template: bool,
    ) -> "Contrast":
        """Run a model over clean and corrupt prompts and sum the differences at some sites."""
        return cls(((batch, differences(model, batch, sites)) for batch in batches), per_template)

    def _group(self, template: int) -> int:
        return template if self.per_template else 0

    def _key(self, pair: TokenizedPair) -> object:
        return self._group(pair.template), pair.clean, pair.corrupt

    def rows(self, site: Site, own: Tensor, batch: Batch, index: int | None = None) -> Tensor:
        """The mean difference of the other prompts of each prompt's group, in float64.

        ``own`` are the prompts' own differences, ``[prompt, pos, ...]`` as the result; with
        ``index`` those of one head or neuron of the site.

        Raises:
            ValueError: a group has no other prompt, or no sum was taken at the site.
        """
        result = own.double().clone()
        for row, pair in enumerate(batch.pairs):
            group = self._group(pair.template)
            copies = self._copies[self._key(pair)]
            others = self._counts[group] - copies
            total = self._sums.get((group, site))
            if total is None or others <= 0:
                raise ValueError("a direction to steer by needs other prompts to be measured on")
            total = total if index is None else total[:, index]
            result[row] = (total - copies * result[row]) / others
        return result


def differences(model: Transformer, batch: Batch, sites: Sequence[Site]) -> dict[Site, Tensor]:
    """Clean minus corrupt values of some sites."""
    clean, corrupt = (model.run(tokens, sites) for tokens in (batch.clean, batch.corrupt))
    return {site: clean[site] - corrupt[site] for site in dict.fromkeys(sites)}
