"""The quoted texts that `steer` adds the difference of, in tokens. No torch here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from circuitlang.circuit import Circuit, SteerClaim
from circuitlang.engine.tokenizer import Tokenizer
from circuitlang.source import Diagnostic, counted


@dataclass(frozen=True, slots=True)
class TextTokens:
    """Two texts in tokens, the shorter one filled up at its end to the length of the other.

    Turner et al. 2023 (section 3) fill up with the token of a space. ``lengths`` are the texts'
    own; ``by_spaces`` is false where the tokenizer has no such token, and the last one is repeated:
    what stands behind a text changes nothing in it.
    """

    first: tuple[int, ...]
    second: tuple[int, ...]
    lengths: tuple[int, int]
    by_spaces: bool

    @property
    def length(self) -> int:
        """Tokens of either text, as filled up."""
        return len(self.first)


def text_tokens(texts: tuple[str, str], tokenizer: Tokenizer) -> TextTokens:
    """Two texts as the model will read them; nothing is put before them.

    Raises:
        ValueError: a text has no token at all.
    """
    ids = [tokenizer.encode(text)[0] for text in texts]
    if not all(ids):
        raise ValueError("a text that is steered by has no token")
    space = tokenizer.encode(" ")[0]
    known = len(space) == 1 and space[0] != tokenizer.unknown_id
    length = max(map(len, ids))
    filled = [(*own, *[space[0] if known else own[-1]] * (length - len(own))) for own in ids]
    return TextTokens(filled[0], filled[1], (len(ids[0]), len(ids[1])), known)


def text_problems(
    circuit: Circuit, tokenizer: Tokenizer, prompts: Sequence[int]
) -> Iterator[Diagnostic]:
    """Why texts cannot be steered by, claim by claim; ``prompts`` are the prompts' lengths."""
    for claim in circuit.claims:
        if isinstance(claim, SteerClaim) and claim.texts is not None:
            yield from _problems(claim, claim.texts, tokenizer, min(prompts, default=0))


def _problems(
    claim: SteerClaim, texts: tuple[str, str], tokenizer: Tokenizer, shortest: int
) -> Iterator[Diagnostic]:
    for text in texts:
        ids = tokenizer.encode(text)[0]
        if not ids:
            message, hint = f'"{text}" has no token', "write a text that the model reads"
            yield Diagnostic("CL249", claim.span, message, hint)
            return
        if tokenizer.unknown_id in ids:
            message = f'"{text}" has words that this tokenizer does not know'
            yield Diagnostic("CL315", claim.span, message, "use words that the model knows")
            return
    found = text_tokens(texts, tokenizer)
    alike = len(set(found.lengths)) == 1
    if found.first == found.second and (alike or (found.by_spaces and not claim.positions)):
        message = "both texts are the same tokens, so nothing is added"
        yield Diagnostic("CL249", claim.span, message, "write texts that differ")
    if claim.positions:
        return
    one, other = (
        f'"{text}" has {counted(size, "token")}'
        for text, size in zip(texts, found.lengths, strict=True)
    )
    if not alike and not found.by_spaces:
        message = f"{one}, {other}, and this tokenizer has no space to fill up with"
        hint = "write texts of equally many tokens, or say `at` which position"
        yield Diagnostic("CL249", claim.span, message, hint)
    if shortest and found.length > shortest:
        longest = one if found.lengths[0] == found.length else other
        message = f"{longest}, and a prompt has {shortest}"
        hint = "shorten it, or say `at` which position"
        yield Diagnostic("CL249", claim.span, message, hint)
