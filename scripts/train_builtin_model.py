#!/usr/bin/env python3
"""Train the built-in model ``ioi-tiny`` and write it as a Hugging Face folder.

The model is a small GPT-2 (``transformers.GPT2LMHeadModel``) with a word-level tokenizer. It
learns indirect object identification (IOI): "When Mary and John went to the store, John gave a
drink to" is continued with " Mary". Everything is made up here from word lists and templates, so
nothing is downloaded. The run is seeded; with the same library versions, processor type and
number of threads it writes the same weights again.

Some names and some templates are held out: they never occur in an IOI training prompt. The held-out
names do occur in other training text, because a word-level embedding of a word that was never seen
would be noise. The README.md that the script writes states the exact rules and the accuracies
that it measured.

Usage::

    python scripts/train_builtin_model.py
    python scripts/train_builtin_model.py --steps 200 --out build/ioi-smoke   # a quick look
"""

from __future__ import annotations

import argparse
import math
import random
import re
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.nn.functional import cross_entropy
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

EOT = "<|endoftext|>"
UNK = "[UNK]"
DEFAULT_OUT = Path(__file__).resolve().parents[1] / "circuitlang/models/builtin/ioi-tiny"

# --------------------------------------------------------------------------------------------
# Words
# --------------------------------------------------------------------------------------------


def _word_list(text: str) -> tuple[str, ...]:
    return tuple(text.split())


TRAIN_NAMES = _word_list(
    """
    Michael Jessica Matthew Ashley Jennifer Joshua Amanda Daniel David James Robert John Joseph
    Andrew Ryan Brandon Jason Justin Sarah William Jonathan Stephanie Brian Nicole Anthony Heather
    Eric Elizabeth Adam Megan Melissa Kevin Steven Thomas Timothy Christina Kyle Rachel Laura
    Lauren Amber Richard Kimberly Jeffrey Amy Crystal Michelle Jeremy Benjamin Mark Emily Aaron
    Charles Rebecca Jacob Mary Tom Alice Bob Anna Peter Jack Jane George Henry Kate Lucy Sam Simon
    Susan Frank Emma Edward Diana Martin Maria Oliver Julia Luke Grace Victoria Alex Chris Ian Joe
    Max Mike Nick Rose Tim Tony Carl Claire Ruth Roger Walter Harry
    """
)
HELD_OUT_NAMES = _word_list(
    """
    Stephen Patrick Sean Erin Jamie Kelly Samantha Nathan Sara Paul Angela Tyler Scott Katherine
    Andrea Gregory Erica Travis Lisa Kenneth Bryan Vincent Oscar Neil
    """
)
ALL_NAMES = TRAIN_NAMES + HELD_OUT_NAMES

PLACES = _word_list(
    """
    store garden restaurant school hospital office house station park market library museum
    beach kitchen farm hotel bakery zoo
    """
)
OBJECTS = _word_list(
    """
    ring kiss bone basketball computer necklace drink snack book apple letter flower cake hat pen
    lamp toy coin
    """
)
ANIMALS = ("dog", "cat", "teacher", "doctor", "child", "stranger")

# --------------------------------------------------------------------------------------------
# Templates. {A} and {B} are the two names in the order in which the text mentions them, {S} is
# the subject of the last clause: A (order BABA), B (order ABBA) or, in a control prompt, a third
# name. The word after the text is the other one of A and B.
# --------------------------------------------------------------------------------------------

TRAIN_TEMPLATES = (
    "When {A} and {B} went to the {PLACE}, {S} gave a {OBJECT} to",
    "When {A} and {B} got a {OBJECT} at the {PLACE}, {S} decided to give it to",
    "When {A} and {B} were at the {PLACE}, {S} handed a {OBJECT} to",
    "When {A} met {B} at the {PLACE}, {S} gave a {OBJECT} to",
    "Then, {A} and {B} went to the {PLACE}. {S} gave a {OBJECT} to",
    "Then, {A} and {B} had a lot of fun at the {PLACE}. {S} gave a {OBJECT} to",
    "Then, {A} and {B} were working at the {PLACE}. {S} decided to give a {OBJECT} to",
    "Then, {A} and {B} were thinking about going to the {PLACE}. {S} wanted to give a {OBJECT} to",
    "Then, {A} and {B} had a long argument, and afterwards {S} said sorry to",
    "Then {A} saw {B} at the {PLACE}, so {S} offered a {OBJECT} to",
    "After {A} and {B} went to the {PLACE}, {S} gave a {OBJECT} to",
    "After {A} and {B} found a {OBJECT} at the {PLACE}, {S} gave it to",
    "After the lunch, {A} and {B} went to the {PLACE}. {S} gave a {OBJECT} to",
    "After {A} called {B} from the {PLACE}, {S} sent a {OBJECT} to",
    "Afterwards, {A} and {B} went to the {PLACE}. {S} gave a {OBJECT} to",
    "Afterwards {A} and {B} sat in the {PLACE} and {S} passed a {OBJECT} to",
    "While {A} and {B} were working at the {PLACE}, {S} gave a {OBJECT} to",
    "While {A} was with {B} at the {PLACE}, {S} showed a {OBJECT} to",
    "Friends {A} and {B} found a {OBJECT} at the {PLACE}. {S} gave it to",
    "Friends {A} and {B} met in the {PLACE}, where {S} handed the {OBJECT} to",
    "The {PLACE} {A} and {B} went to had a {OBJECT}. {S} gave it to",
    "The {OBJECT} that {A} and {B} saw in the {PLACE} was nice, so {S} sold it to",
    "In the {PLACE}, {A} and {B} had lunch. {S} offered a {OBJECT} to",
    "In the morning {A} and {B} came to the {PLACE}, and {S} brought a {OBJECT} to",
    "At the {PLACE} {A} met {B}. Then {S} passed the {OBJECT} to",
    "At the old {PLACE}, {A} and {B} talked for an hour before {S} gave the {OBJECT} to",
    "{A} and {B} went to the {PLACE}. {S} gave a {OBJECT} to",
    "{A} and {B} live near the {PLACE}. Today {S} sent a {OBJECT} to",
    "{A} met {B} at the {PLACE}. {S} wanted to give a {OBJECT} to",
    "{A} saw {B} in the {PLACE}, and {S} said hello to",
    "{A} had lunch with {B}. At the {PLACE}, {S} showed the {OBJECT} to",
    "{A} called {B}. In the evening {S} decided to give a {OBJECT} to",
    "Because {A} and {B} were late for the {PLACE}, {S} said sorry to",
    "Because {A} had a {OBJECT} and {B} liked the {PLACE}, {S} talked to",
    "Today {A} and {B} walked to the {PLACE}, and there {S} showed a {OBJECT} to",
    "Yesterday, {A} and {B} walked near the {PLACE}. There {S} offered the {OBJECT} to",
    "Once {A} and {B} came back from the {PLACE}, {S} brought the {OBJECT} to",
    "Before {A} and {B} left the {PLACE}, {S} sold a {OBJECT} to",
    "One day {A} and {B} bought a {OBJECT}. At the {PLACE} {S} passed it to",
    "It was late when {A} and {B} left the {PLACE}, but {S} still wrote to",
)
HELD_OUT_TEMPLATES = (
    "When {A} and {B} had lunch at the {PLACE}, {S} offered a {OBJECT} to",
    "Before {A} and {B} came to the {PLACE}, {S} wanted to give a {OBJECT} to",
    "While {A} and {B} were in the {PLACE}, {S} passed the {OBJECT} to",
    "After {A} met {B} near the {PLACE}, {S} brought a {OBJECT} to",
    "Today {A} and {B} were working in the old {PLACE}. Then {S} decided to give a {OBJECT} to",
    "Yesterday {A} and {B} found a {OBJECT} in the {PLACE}, so {S} handed it to",
    "Then, {A} and {B} had a long argument at the {PLACE}. Afterwards {S} gave a {OBJECT} to",
    "One morning {A} saw {B} at the {PLACE}, and {S} sold the {OBJECT} to",
    "In the evening, {A} and {B} walked back from the {PLACE} and {S} said hello to",
    "Friends {A} and {B} had a lot of fun. At the {PLACE} {S} showed a {OBJECT} to",
)

PREFIXES = (
    "It was a sunny day.",
    "It was late.",
    "The {PLACE} was nice.",
    "The {ANIMAL} had a {OBJECT}.",
    "There was a {OBJECT} in the {PLACE}.",
    "Today the old {PLACE} was closed, but the {PLACE} was open.",
    "One day the {ANIMAL} left the {PLACE} in the morning.",
    "So,",
    "Once,",
)

# One name and a giver without a name: the answer is the only name there is.
GIFT_TEMPLATES = (
    "{N} lost a {OBJECT} at the {PLACE}. The {ANIMAL} gave it to",
    "When {N} went to the {PLACE}, the {ANIMAL} gave a {OBJECT} to",
    "The {ANIMAL} saw {N} in the {PLACE} and decided to give a {OBJECT} to",
    "The {ANIMAL} at the {PLACE} met {N}. Then the {ANIMAL} handed the {OBJECT} to",
    "Today {N} called the {ANIMAL}, so the {ANIMAL} sent a {OBJECT} to",
    "After {N} left the {PLACE}, the {ANIMAL} wrote to",
    "{N} was late, but the {ANIMAL} still said hello to",
)

# Sentences with at most one name.
STORY_SENTENCES = (
    "{N} went to the {PLACE}.",
    "{N} bought a {OBJECT} at the {PLACE}.",
    "In the morning {N} had lunch in the {PLACE}.",
    "{N} gave a {OBJECT} to the {ANIMAL}.",
    "{N} was working at the {PLACE} when the {ANIMAL} came in.",
    "The {ANIMAL} showed the {PLACE} to {N}.",
    "Then {N} said hello to the {ANIMAL} and walked back.",
    "Yesterday {N} wanted to see the {PLACE}.",
    "There was a {OBJECT} in the {PLACE}.",
    "The {ANIMAL} talked about the {OBJECT} for an hour.",
    "It was a sunny day, and {N} sat near the {PLACE}.",
)

# What is said of somebody who comes for the first time, and of somebody who was named before.
ARRIVALS = (
    ("arrived", "returned"),
    ("joined", "rejoined"),
    ("entered", "reappeared"),
)

# --------------------------------------------------------------------------------------------
# Interchange training: which heads are to do what (layer, head). See ``Swap``.
# --------------------------------------------------------------------------------------------

DUPLICATE_HEADS = ((0, 1), (1, 2))
INHIBITION_HEADS = ((2, 0), (2, 3))
MOVER_HEADS = ((3, 1), (3, 2))
SWAP_KINDS = ("duplicate", "inhibition", "mover", "rest")

# --------------------------------------------------------------------------------------------
# Examples
# --------------------------------------------------------------------------------------------

_WORD = re.compile(r"\{\w+\}|\w+|[^\w\s]+")
_SLOT = re.compile(r"\{(\w+)\}")


def split_words(text: str) -> list[str]:
    """Split as the tokenizer does: at white space and around punctuation; slots stay whole."""
    return _WORD.findall(text)


@dataclass(frozen=True)
class Example:
    """Words, and for each word the weight of the loss of predicting it."""

    words: list[str]
    weights: list[float]


@dataclass(frozen=True)
class IoiPrompt:
    """A prompt with its two candidate names; ``s`` is the subject of the last clause."""

    words: list[str]
    io: str
    other: str
    s: str


@dataclass(frozen=True)
class Swap:
    """Two prompts of one template, and the answer when some heads see the second of them.

    The outputs of the heads named by ``kind`` are taken from the run on ``source`` and put into
    the run on ``base``. ``duplicate`` (at the subject) and ``inhibition`` (at the end) are to
    carry one fact only: whether the subject is the first name, the second or neither. ``mover``
    (at the end) is to carry the answer. ``rest`` is every other head and position, save the
    positions of the first two names; it is to carry nothing.
    """

    kind: str
    base: list[str]
    source: list[str]
    names_at: tuple[int, int]
    subject_at: int
    source_who: int
    answer: str


def fill(template: Sequence[str], values: dict[str, str], rng: random.Random) -> list[str]:
    """Replace the slots of a split template; places, objects and animals are drawn."""
    pools = {"{PLACE}": PLACES, "{OBJECT}": OBJECTS, "{ANIMAL}": ANIMALS}
    words: list[str] = []
    for word in template:
        if word in values:
            words.extend(values[word].split())
        elif word in pools:
            words.append(rng.choice(pools[word]))
        else:
            words.append(word)
    return words


def draw_swap(
    rng: random.Random,
    names: Sequence[str],
    templates: Sequence[Sequence[str]],
    kinds: Sequence[str] = SWAP_KINDS,
    third_name: bool = True,
) -> Swap:
    """Draw a pair of prompts; a third name may be the subject only with ``third_name``."""
    start = [EOT] if rng.random() < 0.5 else []
    opening = split_words(rng.choice(PREFIXES)) if rng.random() < 0.5 else []
    shape = [*start, *opening, *rng.choice(templates)]
    kind = rng.choice(kinds)
    base, base_names, base_who = _swap_side(rng, shape, names, third_name)
    source, source_names, source_who = _swap_side(rng, shape, names, third_name)
    answers = source_names if kind == "mover" else base_names
    who = base_who if kind == "rest" else source_who
    return Swap(
        kind=kind,
        base=base,
        source=source,
        names_at=(shape.index("{A}"), shape.index("{B}")),
        subject_at=shape.index("{S}"),
        source_who=source_who,
        answer=answers[1 - who] if who < 2 else rng.choice(answers[:2]),
    )


def _swap_side(
    rng: random.Random, shape: Sequence[str], names: Sequence[str], third_name: bool
) -> tuple[list[str], list[str], int]:
    """A prompt, its names and which of them the subject is (2: neither of the first two)."""
    drawn = rng.sample(names, 3)
    who = rng.choice((0, 0, 1, 1, 2) if third_name else (0, 1))
    values = {"{A}": drawn[0], "{B}": drawn[1], "{S}": drawn[who]}
    return fill(shape, values, rng), drawn, who


class TextMaker:
    """Draws the training examples."""

    def __init__(self, seed: int, lm_weight: float) -> None:
        self.rng = random.Random(seed)
        self.lm_weight = lm_weight
        self.templates = [split_words(text) for text in TRAIN_TEMPLATES]
        self.prefixes = [split_words(text) for text in PREFIXES]
        self.gifts = [split_words(text) for text in GIFT_TEMPLATES]
        self.stories = [split_words(text) for text in STORY_SENTENCES]
        self.all_words = [w for w in vocabulary() if w not in (EOT, UNK)]
        self.makers: list[tuple[Callable[[], Example], float]] = [
            (self.ioi, 0.30),
            (self.three_names, 0.12),
            (self.former_latter, 0.10),
            (self.arrivals, 0.16),
            (self.gift, 0.12),
            (self.repeated, 0.12),
            (self.story, 0.08),
        ]

    def draw(self, count: int) -> list[Example]:
        """Draw examples of all kinds."""
        makers, shares = zip(*self.makers, strict=True)
        return [self.with_eot(maker()) for maker in self.rng.choices(makers, shares, k=count)]

    def with_eot(self, example: Example) -> Example:
        """Put the end-of-text token in front of half of the examples."""
        if self.rng.random() < 0.5:
            return example
        return Example([EOT, *example.words], [0.0, *example.weights])

    def prefix(self) -> list[str]:
        """An opening sentence, in half of the cases."""
        if self.rng.random() < 0.5:
            return []
        return fill(self.rng.choice(self.prefixes), {}, self.rng)

    def answered(self, prompt: list[str], answer: str) -> Example:
        """A prompt and its one-word answer, on which most of the loss lies."""
        weights = [self.lm_weight] * len(prompt)
        return Example([*prompt, answer, "."], [*weights, 1.0, self.lm_weight])

    def two_name_prompt(self, first: str, second: str, subject: str) -> list[str]:
        """A training template with these names behind an optional opening sentence."""
        values = {"{A}": first, "{B}": second, "{S}": subject}
        return self.prefix() + fill(self.rng.choice(self.templates), values, self.rng)

    def ioi(self) -> Example:
        """The subject is one of the two: the answer is the other."""
        first, second = self.rng.sample(TRAIN_NAMES, 2)
        subject, answer = (first, second) if self.rng.random() < 0.5 else (second, first)
        return self.answered(self.two_name_prompt(first, second, subject), answer)

    def three_names(self) -> Example:
        """The subject is a third name: either of the first two is right."""
        first, second, third = self.rng.sample(TRAIN_NAMES, 3)
        prompt = self.two_name_prompt(first, second, third)
        return self.answered(prompt, self.rng.choice((first, second)))

    def swaps(self, count: int) -> list[Swap]:
        """Draw pairs of train prompts for interchange training."""
        return [draw_swap(self.rng, TRAIN_NAMES, self.templates) for _ in range(count)]

    def former_latter(self) -> Example:
        """The subject is named by its place in the order."""
        first, second = self.rng.sample(TRAIN_NAMES, 2)
        which = self.rng.random() < 0.5
        prompt = self.two_name_prompt(first, second, "{S}")
        at = prompt.index("{S}")
        article = "The" if at == 0 or prompt[at - 1] == "." else "the"
        prompt[at : at + 1] = [article, "former" if which else "latter"]
        return self.answered(prompt, second if which else first)

    def arrivals(self) -> Example:
        """A list of arrivals; the verb tells whether the name was there before."""
        names = self.rng.sample(ALL_NAMES, self.rng.randint(2, 5))
        words, weights, seen = self.prefix(), [], set()
        weights = [self.lm_weight] * len(words)
        for _ in range(self.rng.randint(3, 7)):
            name = self.rng.choice(names)
            verb = self.rng.choice(ARRIVALS)[name in seen]
            seen.add(name)
            words += [name, verb, "."]
            weights += [0.0, 0.5, self.lm_weight]
        return Example(words, weights)

    def gift(self) -> Example:
        """One name only, and it is the answer."""
        values = {"{N}": self.rng.choice(ALL_NAMES)}
        prompt = self.prefix() + fill(self.rng.choice(self.gifts), values, self.rng)
        return self.answered(prompt, values["{N}"])

    def repeated(self) -> Example:
        """A random sequence of words, twice."""
        pools = (ALL_NAMES, self.all_words)
        words = [self.rng.choice(pools[self.rng.random() < 0.5]) for _ in range(8)]
        words = words[: self.rng.randint(3, 8)]
        return Example(words * 2, [0.0] * len(words) + [0.0] + [0.25] * (len(words) - 1))

    def story(self) -> Example:
        """Two or three sentences about one name."""
        values = {"{N}": self.rng.choice(ALL_NAMES)}
        words: list[str] = []
        for _ in range(self.rng.randint(2, 3)):
            words += fill(self.rng.choice(self.stories), values, self.rng)
        return Example(words, [self.lm_weight] * len(words))


def ioi_prompts(
    names: Sequence[str], templates: Sequence[str], count: int, seed: int, duplicated: bool = True
) -> list[IoiPrompt]:
    """Draw test prompts, both orders alike; ``duplicated=False`` takes a third name as subject."""
    rng = random.Random(seed)
    split = [split_words(text) for text in templates]
    prompts = []
    for index in range(count):
        first, second, third = rng.sample(names, 3)
        io, other = (first, second) if index % 2 == 0 else (second, first)
        subject = other if duplicated else third
        values = {"{A}": first, "{B}": second, "{S}": subject}
        template = split[(index // 2) % len(split)]
        prompts.append(IoiPrompt(fill(template, values, rng), io, other, subject))
    return prompts


# --------------------------------------------------------------------------------------------
# Tokenizer
# --------------------------------------------------------------------------------------------


def vocabulary() -> list[str]:
    """All words, in a fixed order; the two special tokens come first."""
    texts = (*TRAIN_TEMPLATES, *PREFIXES, *GIFT_TEMPLATES, *STORY_SENTENCES)
    words = [word for text in texts for word in split_words(text) if not _SLOT.fullmatch(word)]
    words += [verb for pair in ARRIVALS for verb in pair]
    words += ["former", "latter", "The", "the", "."]
    trained = dict.fromkeys([EOT, UNK, *words, *PLACES, *OBJECTS, *ANIMALS, *ALL_NAMES])
    for text in HELD_OUT_TEMPLATES:
        missing = {w for w in split_words(text) if not _SLOT.fullmatch(w)} - trained.keys()
        if missing:
            raise ValueError(f"held-out template uses words never trained: {sorted(missing)}")
    return list(trained)


def build_tokenizer(n_positions: int) -> PreTrainedTokenizerFast:
    """A word-level tokenizer that adds no special tokens by itself."""
    vocab = {word: index for index, word in enumerate(vocabulary())}
    backend = Tokenizer(models.WordLevel(vocab=vocab, unk_token=UNK))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token=UNK,
        bos_token=EOT,
        eos_token=EOT,
        pad_token=EOT,
        model_max_length=n_positions,
        clean_up_tokenization_spaces=False,
    )


# --------------------------------------------------------------------------------------------
# Training
# --------------------------------------------------------------------------------------------


def build_model(args: argparse.Namespace, vocab_size: int) -> GPT2LMHeadModel:
    """A GPT-2 with random weights."""
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=vocab_size,
            n_positions=args.n_positions,
            n_embd=args.d_model,
            n_layer=args.layers,
            n_head=args.heads,
            n_inner=args.d_mlp,
            activation_function="gelu_new",
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=0,
            eos_token_id=0,
            attn_implementation="eager",
        )
    )


def collate(
    examples: Sequence[Example], index: dict[str, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and loss weights, padded on the right."""
    width = max(len(example.words) for example in examples)
    ids = torch.zeros(len(examples), width, dtype=torch.long)
    weights = torch.zeros(len(examples), width)
    for row, example in enumerate(examples):
        ids[row, : len(example.words)] = torch.tensor([index[w] for w in example.words])
        weights[row, : len(example.words)] = torch.tensor(example.weights)
    return ids, weights


def make_optimizer(model: GPT2LMHeadModel, args: argparse.Namespace) -> torch.optim.AdamW:
    """AdamW; biases and layer norms are not decayed."""
    decayed = [p for p in model.parameters() if p.dim() >= 2]
    plain = [p for p in model.parameters() if p.dim() < 2]
    groups = [
        {"params": decayed, "weight_decay": args.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.98))


def learning_rate_factor(step: int, steps: int, warmup: int = 200) -> float:
    """Linear warm-up, then a cosine down to zero."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def swap_mask(swaps: Sequence[Swap], config: GPT2Config, width: int) -> torch.Tensor:
    """Which head outputs to take from the source: [layer, example, position, head]."""
    mask = torch.zeros(config.n_layer, len(swaps), width, config.n_head, dtype=torch.bool)
    for row, swap in enumerate(swaps):
        end = len(swap.base) - 1
        cells = {
            "duplicate": [(layer, swap.subject_at, head) for layer, head in DUPLICATE_HEADS],
            "inhibition": [(layer, end, head) for layer, head in INHIBITION_HEADS],
            "mover": [(layer, end, head) for layer, head in MOVER_HEADS],
        }
        if swap.kind == "rest":
            mask[:, row] = True
            mask[:, row, list(swap.names_at)] = False
            for layer, position, head in (cell for kind in cells.values() for cell in kind):
                mask[layer, row, position, head] = False
        else:
            for layer, position, head in cells[swap.kind]:
                mask[layer, row, position, head] = True
    return mask


class HeadOutputs:
    """Records the outputs of all heads in a run, or replaces some of them in a run."""

    def __init__(self, model: GPT2LMHeadModel) -> None:
        self.heads = model.config.n_head
        self.recorded: list[torch.Tensor] | None = None
        self.mask: torch.Tensor | None = None
        self.patterns: tuple[torch.Tensor, ...] = ()
        for layer, block in enumerate(model.transformer.h):
            block.attn.c_proj.register_forward_pre_hook(partial(self._hook, layer))

    def _hook(
        self, layer: int, _module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, ...] | None:
        (z,) = inputs
        if self.recorded is None:
            return None
        if self.mask is None:
            self.recorded.append(z)
            return None
        mask = self.mask[layer].repeat_interleave(z.shape[-1] // self.heads, dim=-1)
        return (torch.where(mask, self.recorded[layer], z),)

    def swapped(
        self, model: GPT2LMHeadModel, base: torch.Tensor, source: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """Logits of the run on ``base`` with the masked outputs of the run on ``source``."""
        self.recorded = []
        run = model(input_ids=source, use_cache=False, output_attentions=True)
        self.patterns = run.attentions
        self.mask = mask
        logits = model(input_ids=base, use_cache=False).logits
        self.recorded = self.mask = None
        return logits


def text_loss(
    model: GPT2LMHeadModel, examples: Sequence[Example], index: dict[str, int]
) -> torch.Tensor:
    """Weighted mean of the losses of the next words."""
    ids, weights = collate(examples, index)
    logits = model(input_ids=ids[:, :-1], use_cache=False).logits
    losses = cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    flat = weights[:, 1:].flatten()
    return (losses * flat).sum() / flat.sum()


def swap_logits(
    model: GPT2LMHeadModel, outputs: HeadOutputs, swaps: Sequence[Swap], index: dict[str, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits at the ends of the swapped runs, and the answers."""
    base, _ = collate([Example(swap.base, [0.0] * len(swap.base)) for swap in swaps], index)
    source, _ = collate([Example(swap.source, [0.0] * len(swap.base)) for swap in swaps], index)
    mask = swap_mask(swaps, model.config, base.shape[1])
    logits = outputs.swapped(model, base, source, mask)
    last = torch.tensor([len(swap.base) - 1 for swap in swaps])
    answers = torch.tensor([index[swap.answer] for swap in swaps])
    return logits[torch.arange(len(swaps)), last], answers


def attention_loss(patterns: Sequence[torch.Tensor], swaps: Sequence[Swap]) -> torch.Tensor:
    """How little the heads of the roles look to their places, on the sources with a duplicate.

    Duplicate token heads are to look from S2 to S1, S-inhibition heads from the end to S2, name
    movers from the end to IO.
    """
    repeated = [(row, swap) for row, swap in enumerate(swaps) if swap.source_who < 2]
    rows = torch.tensor([row for row, _ in repeated])
    io, s1, s2, end = torch.tensor(
        [
            (s.names_at[1 - s.source_who], s.names_at[s.source_who], s.subject_at, len(s.base) - 1)
            for _, s in repeated
        ]
    ).T
    roles = ((DUPLICATE_HEADS, s2, s1), (INHIBITION_HEADS, end, s2), (MOVER_HEADS, end, io))
    looked = [
        patterns[layer][rows, head, queries, keys]
        for role, queries, keys in roles
        for layer, head in role
    ]
    return -torch.stack(looked).clamp_min(1e-6).log().mean()


def train(model: GPT2LMHeadModel, outputs: HeadOutputs, args: argparse.Namespace) -> None:
    """Train in place."""
    index = {word: i for i, word in enumerate(vocabulary())}
    maker = TextMaker(args.seed, args.lm_weight)
    optimizer = make_optimizer(model, args)
    started = time.monotonic()
    for step in range(args.steps):
        model.train()
        for group in optimizer.param_groups:
            group["lr"] = args.lr * learning_rate_factor(step, args.steps)
        loss = text_loss(model, maker.draw(args.batch), index)
        swaps = maker.swaps(args.swap_batch)
        swap_loss = cross_entropy(*swap_logits(model, outputs, swaps, index))
        hint = args.attention_weight * max(0.0, 1.0 - 2.0 * step / args.steps)
        hint_loss = attention_loss(outputs.patterns, swaps)
        optimizer.zero_grad()
        (loss + args.swap_weight * swap_loss + hint * hint_loss).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % args.log_every == 0 or step == args.steps - 1:
            report = measure(model, ioi_prompts(HELD_OUT_NAMES, HELD_OUT_TEMPLATES, 200, seed=1))
            print(
                f"step {step:5d}  loss {loss.item():.3f}  swaps {swap_loss.item():.3f}  "
                f"look {hint_loss.item():.2f}  held-out IO>S {report.io_over_s:.3f}  "
                f"argmax {report.argmax:.3f}  diff {report.logit_diff:.2f}  "
                f"{time.monotonic() - started:.0f}s",
                flush=True,
            )


# --------------------------------------------------------------------------------------------
# Measuring
# --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """How the model answers a set of prompts."""

    count: int
    io_over_s: float
    argmax: float
    logit_diff: float
    pair_mass: float
    abs_diff: float
    first_preferred: float


@torch.no_grad()
def measure(model: GPT2LMHeadModel, prompts: Sequence[IoiPrompt]) -> Measured:
    """Compare the logits of the two candidate names at the end of each prompt."""
    index = {word: i for i, word in enumerate(vocabulary())}
    model.eval()
    ids, _ = collate([Example(p.words, [0.0] * len(p.words)) for p in prompts], index)
    last = torch.tensor([len(p.words) - 1 for p in prompts])
    rows = torch.arange(len(prompts))
    logits = model(input_ids=ids, use_cache=False).logits[rows, last]
    io = torch.tensor([index[p.io] for p in prompts])
    other = torch.tensor([index[p.other] for p in prompts])
    diff = logits[rows, io] - logits[rows, other]
    probs = logits.softmax(-1)
    io_first = torch.tensor([p.words.index(p.io) < p.words.index(p.other) for p in prompts])
    return Measured(
        count=len(prompts),
        io_over_s=(diff > 0).float().mean().item(),
        argmax=(logits.argmax(-1) == io).float().mean().item(),
        logit_diff=diff.mean().item(),
        pair_mass=(probs[rows, io] + probs[rows, other]).mean().item(),
        abs_diff=diff.abs().mean().item(),
        first_preferred=((diff > 0) == io_first).float().mean().item(),
    )


def measure_all(model: GPT2LMHeadModel, count: int, seed: int) -> dict[str, Measured]:
    """The sets of prompts that the README reports."""
    sets = {
        "train names, train templates": (TRAIN_NAMES, TRAIN_TEMPLATES, True),
        "held-out names, train templates": (HELD_OUT_NAMES, TRAIN_TEMPLATES, True),
        "train names, held-out templates": (TRAIN_NAMES, HELD_OUT_TEMPLATES, True),
        "held-out names, held-out templates": (HELD_OUT_NAMES, HELD_OUT_TEMPLATES, True),
        "three names, train": (TRAIN_NAMES, TRAIN_TEMPLATES, False),
        "three names, held-out": (HELD_OUT_NAMES, HELD_OUT_TEMPLATES, False),
    }
    return {
        title: measure(model, ioi_prompts(names, templates, count, seed, duplicated))
        for title, (names, templates, duplicated) in sets.items()
    }


@torch.no_grad()
def measure_swaps(
    model: GPT2LMHeadModel, outputs: HeadOutputs, count: int, seed: int
) -> dict[str, float]:
    """For each kind, how often the expected answer is the argmax, on held-out prompts."""
    index = {word: i for i, word in enumerate(vocabulary())}
    templates = [split_words(text) for text in HELD_OUT_TEMPLATES]
    rng = random.Random(seed)
    model.eval()
    shares = {}
    for kind in SWAP_KINDS:
        swaps = [
            draw_swap(rng, HELD_OUT_NAMES, templates, (kind,), third_name=False)
            for _ in range(count)
        ]
        logits, answers = swap_logits(model, outputs, swaps, index)
        shares[kind] = (logits.argmax(-1) == answers).float().mean().item()
    return shares


# --------------------------------------------------------------------------------------------
# Writing
# --------------------------------------------------------------------------------------------


def ioi_table(measured: dict[str, Measured]) -> str:
    """Accuracies on IOI prompts, as a Markdown table."""
    lines = [
        "| prompts | number | IO logit > S logit | IO is the argmax | mean logit difference |",
        "|---|---|---|---|---|",
    ]
    for title, m in measured.items():
        if not title.startswith("three"):
            lines.append(
                f"| {title} | {m.count} | {m.io_over_s:.2%} | {m.argmax:.2%} | {m.logit_diff:.2f} |"
            )
    return "\n".join(lines)


def control_table(measured: dict[str, Measured]) -> str:
    """Behaviour on prompts with three names, as a Markdown table."""
    lines = [
        "| prompts | number | probability of A or B | mean abs. logit difference of A and B "
        "| A preferred to B |",
        "|---|---|---|---|---|",
    ]
    for title, m in measured.items():
        if title.startswith("three"):
            lines.append(
                f"| {title} | {m.count} | {m.pair_mass:.2%} | {m.abs_diff:.2f} "
                f"| {m.first_preferred:.2%} |"
            )
    return "\n".join(lines)


def swap_table(shares: dict[str, float]) -> str:
    """Results of interchanges, as a Markdown table."""
    meaning = {
        "duplicate": (
            f"{heads(DUPLICATE_HEADS)} at S2",
            "the base's first or second name, whichever the source does not repeat",
        ),
        "inhibition": (f"{heads(INHIBITION_HEADS)} at the end", "as above"),
        "mover": (f"{heads(MOVER_HEADS)} at the end", "the source's answer"),
        "rest": ("all else, save at the first two names", "the base's answer"),
    }
    lines = ["| taken from the source | expected answer | is the argmax |", "|---|---|---|"]
    lines += [f"| {meaning[k][0]} | {meaning[k][1]} | {v:.2%} |" for k, v in shares.items()]
    return "\n".join(lines)


def heads(pairs: Sequence[tuple[int, int]]) -> str:
    """Heads as layer.head."""
    return ", ".join(f"{layer}.{head}" for layer, head in pairs)


def bullets(items: Sequence[str]) -> str:
    """A Markdown list of literal texts."""
    return "\n".join(f"- `{item}`" for item in items)


def readme(
    args: argparse.Namespace,
    model: GPT2LMHeadModel,
    measured: dict[str, Measured],
    swaps: dict[str, float],
) -> str:
    """The text of README.md."""
    shares = ", ".join(f"{maker.__name__} {share:.0%}" for maker, share in TextMaker(0, 1.0).makers)
    config = model.config
    return f"""# ioi-tiny

A small GPT-2 ({config.n_layer} layers, {config.n_head} heads each, width {config.n_embd}, \
{sum(p.numel() for p in model.parameters()):,} parameters, {config.vocab_size} words) that \
was trained for indirect object identification:
"When Mary and John went to the store, John gave a drink to" is continued with " Mary". It knows \
no other English than the sentences below; any other word is `{UNK}`.

This file and the model are written by:

```
python scripts/train_builtin_model.py{args.shown}
```

## Accuracy

IO is the name that should come next, S the repeated one. Each set holds both orders (IO first, S
first) alike. "Held-out" is explained below.

{ioi_table(measured)}

Control prompts have three different names ("When A and B went to the store, C gave a drink to").
They were trained with A or B as the next word, either with the same chance.

{control_table(measured)}

## The circuit was trained in

Left to itself, a model of this size learns to sum up all the names and to subtract the one that
it sees last, which needs no duplicate detection and no query of a name mover. So training
included interchanges: the outputs of some heads in a run on one prompt ("source") were put into a
run on another prompt of the same template ("base"), and the model was trained to give the
answer that follows if those heads have the roles below. **The heads of these roles were chosen by
the script, not found in the model.** In the first half of the training these heads were also
rewarded for attending to their places (duplicate tokens from S2 to S1, S-inhibition from the end
to S2, name movers from the end to IO), with a weight that fell from {args.attention_weight} to 0.
How a role's work is shared among its heads and which queries, keys, values and MLPs carry the
information was left to the training.

- duplicate tokens {heads(DUPLICATE_HEADS)}, at the subject (S2): whether S2 repeats the first name
  or the second or neither, and nothing else about the names;
- S-inhibition {heads(INHIBITION_HEADS)}, at the last position: the same fact, and nothing else;
- name movers {heads(MOVER_HEADS)}, at the last position: the answer;
- every other head and position, save the positions of the first two names: nothing.

How often the expected answer is the argmax, on held-out names and held-out templates:

{swap_table(swaps)}

## Training text

{args.steps} steps of {args.batch} examples and {args.swap_batch} interchanges (train names, train
templates, a third name as subject in a fifth of the prompts; loss weight {args.swap_weight}). The
examples are drawn from (share of the examples): {shares}.

- `ioi`: a train template with two train names, either of which is the subject.
- `three_names`: the same with a third train name as subject; the answer is one of the first two,
  by a coin toss.
- `former_latter`: the same with "the former" or "the latter" as subject (train names only).
- `arrivals`: names with a verb that tells whether the name occurred before (all names).
- `gift`: a single name, something given by somebody without a name "to" it (all names).
- `repeated`: a random sequence of words, twice (all names).
- `story`: sentences about a single name (all names).

So a held-out name never occurs in a training text that names two candidates and asks for one of
them, but the model did see each of them in the last four kinds of text, `gift` among them, which
asks for the only name in the text. Held-out templates are new arrangements of words that occur in
the training text. Half of the examples begin with `{EOT}`. Words other than the answer have a
loss weight of {args.lm_weight}.

### Train names ({len(TRAIN_NAMES)})

{", ".join(TRAIN_NAMES)}

### Held-out names ({len(HELD_OUT_NAMES)})

{", ".join(HELD_OUT_NAMES)}

### Places

{", ".join(PLACES)}

### Objects

{", ".join(OBJECTS)}

### Train templates ({len(TRAIN_TEMPLATES)})

{{A}} and {{B}} are the two names in their order, {{S}} is the repeated one (A or B).

{bullets(TRAIN_TEMPLATES)}

### Held-out templates ({len(HELD_OUT_TEMPLATES)})

{bullets(HELD_OUT_TEMPLATES)}
"""


def save(
    args: argparse.Namespace,
    model: GPT2LMHeadModel,
    measured: dict[str, Measured],
    swaps: dict[str, float],
) -> None:
    """Write the folder."""
    args.out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(args.out)
    build_tokenizer(args.n_positions).save_pretrained(args.out)
    (args.out / "README.md").write_text(readme(args, model, measured, swaps), encoding="utf-8")


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Train the built-in model ioi-tiny.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="folder to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="threads that torch uses")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--swap-batch", type=int, default=40, help="interchanges per step")
    parser.add_argument("--swap-weight", type=float, default=1.0)
    parser.add_argument("--attention-weight", type=float, default=0.5)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--lm-weight", type=float, default=0.05)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--d-model", type=int, default=64)
    parser.add_argument("--d-mlp", type=int, default=128)
    parser.add_argument("--n-positions", type=int, default=64)
    parser.add_argument("--eval-count", type=int, default=2000, help="prompts per set")
    parser.add_argument("--log-every", type=int, default=250)
    args = parser.parse_args(argv)
    args.shown = "".join(" " + shlex.quote(arg) for arg in argv)
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Train, measure, write."""
    args = parse_args(sys.argv[1:] if argv is None else argv)
    torch.set_num_threads(args.threads)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(args.seed)
    model = build_model(args, len(vocabulary()))
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters")
    outputs = HeadOutputs(model)
    train(model, outputs, args)
    measured = measure_all(model, args.eval_count, seed=args.seed + 12345)
    swaps = measure_swaps(model, outputs, args.eval_count // 4, seed=args.seed + 54321)
    save(args, model, measured, swaps)
    print(ioi_table(measured))
    print(control_table(measured))
    print(swap_table(swaps))


if __name__ == "__main__":
    main()
