"""Differences between the activations of two texts: what `steer` adds for quoted texts."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from circuitlang.circuit import ActivationSite
from circuitlang.engine.contrast import site_of
from circuitlang.engine.errors import RunError
from circuitlang.engine.text_tokens import TextTokens, text_tokens
from circuitlang.engine.tokenizer import Tokenizer
from circuitlang.engine.transformer import Activations, Transformer
from circuitlang.plan import Intervention, SteerByTexts, texts_of

Texts = tuple[str, str]


class TextContrast:
    """Activations of pairs of texts, each pair in one pass of two rows."""

    def __init__(self, runs: Mapping[Texts, tuple[TextTokens, Activations]]) -> None:
        self._runs = runs

    @classmethod
    def of(
        cls, model: Transformer, tokenizer: Tokenizer, interventions: Iterable[Intervention]
    ) -> "TextContrast":
        """Run a model over all texts that interventions steer by.

        Raises:
            RunError: a text is longer than what the model reads, or has tokens that it lacks.
        """
        steers = [each for each in interventions if isinstance(each, SteerByTexts)]
        runs = {}
        for texts in texts_of(steers):
            own = (site_of(s) for each in steers if each.texts == texts for s in each.sites)
            tokens = text_tokens(texts, tokenizer)
            if tokens.length > model.context:
                raise RunError(
                    f"a text that is steered by has {tokens.length} tokens, and the model reads at "
                    f"most {model.context}"
                )
            if max(*tokens.first, *tokens.second) >= model.bridge.cfg.d_vocab:
                raise RunError("the tokenizer has tokens that the model does not have")
            rows = torch.tensor([tokens.first, tokens.second], device=model.device)
            runs[texts] = tokens, model.run(rows, tuple(dict.fromkeys(own)))
        return cls(runs)

    def rows(self, steer: SteerByTexts, site: ActivationSite, length: int) -> Tensor:
        """What is added at each token of a prompt for a factor of 1, ``[pos, ...]`` as in `Kind`.

        Where the steering names positions, it is the difference at the texts' own last tokens,
        whichever the position. Else the n-th token gets the difference at the n-th token of the
        texts as filled up, and those behind them nothing (Turner et al. 2023, section 3).
        With a head or a neuron, ``...`` is its own.

        Raises:
            ValueError: the texts do not differ there, are longer than the prompt or were not run.
        """
        if steer.texts not in self._runs:
            raise ValueError("the texts to steer by were not run")
        tokens, run = self._runs[steer.texts]
        first, second = run[site_of(site)]
        if steer.positions:
            change = first[tokens.lengths[0] - 1] - second[tokens.lengths[1] - 1]
            change = change.expand(length, *change.shape)
        elif len(set(tokens.lengths)) > 1 and not tokens.by_spaces:
            raise ValueError("the tokenizer has no space to fill the shorter text up with")
        elif tokens.length > length:
            raise ValueError(f"the texts have {tokens.length} tokens, and a prompt {length}")
        else:
            change = first.new_zeros((length, *first.shape[1:]))
            change[: tokens.length] = first - second
        change = change if site.head is None else change[:, site.head]
        if not bool(change.any()):
            raise ValueError(f"the texts are the same at {site}, so that nothing is added")
        return change
