"""The whole of circuits/ioi.circuit on a random model of GPT-2 small's size."""

import json
import re
import tempfile
from pathlib import Path

from benchmarks.cases.product import time_file
from benchmarks.machine import Environment
from benchmarks.outcome import Options, Outcome
from benchmarks.workload import CIRCUITS, SMALL, SMOKE, Size, random_gpt2, read_circuit
from circuitlang.circuit import Circuit
from circuitlang.circuit.words import BUILTIN_WORDS

_UNKNOWN, _END = "<|unk|>", "<|endoftext|>"


def run(options: Options, here: Environment) -> Outcome:
    """As the file stands, and with every edge set against random ones where the language can."""
    size = SMOKE if options.quick else SMALL
    text = (CIRCUITS / "ioi.circuit").read_text(encoding="utf-8")
    if options.quick:
        text = re.sub(r"sample  \d+", "sample  24", text)
    outcome = Outcome("ioi_file")
    with tempfile.TemporaryDirectory(prefix="circuitlang-benchmark-") as scratch:
        folder = Path(scratch) / "model"
        write_model(folder, size, text)
        text = text.replace('model "gpt2"', f'model "{folder}"')
        section = time_file(_circuit(text), options)
        section.title += f": the file as it stands, {size.layers} layers of width {size.width}"
        outcome.sections.append(section)
        setting = f"random edges {2 if options.quick else 100}"
        with_random = read_circuit(text.replace("test {", f"test {{\n  {setting}", 1))
        if with_random is None:
            section.text += f"\n`{setting}`: the language does not have it yet"
        else:
            second = time_file(with_random, options)
            second.title += f": with `{setting}`"
            outcome.sections.append(second)
    return outcome


def write_model(folder: Path, size: Size, text: str) -> None:
    """A Hugging Face folder: random weights, and a tokenizer with one token a word of the file."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder.mkdir(parents=True)
    vocabulary = {word: number for number, word in enumerate(_words(text))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=_UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast", "unk_token": _UNKNOWN, "eos_token": _END,
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    # Most of the model's vocabulary has no word, which costs time and memory all the same.
    model = random_gpt2(size, vocabulary_end=vocabulary[_END])
    model.save_pretrained(folder)


def _words(text: str) -> list[str]:
    """Special tokens, punctuation, the words of the templates, then the word lists."""
    templates = " ".join(re.findall(r'clean +"(.*)"', text))
    words = [_UNKNOWN, _END, ",", ".", *re.findall(r"\w+", re.sub(r"\{\w+\}", " ", templates))]
    for group in BUILTIN_WORDS.values():
        words += group
    return list(dict.fromkeys(words))


def _circuit(text: str) -> Circuit:
    circuit = read_circuit(text)
    if circuit is None:
        raise ValueError("circuits/ioi.circuit does not resolve")
    return circuit
