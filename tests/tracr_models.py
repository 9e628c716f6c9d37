"""Programs compiled with Tracr (Lindner et al. 2023, arXiv:2301.05062), brought over to GPT-2.

Tracr turns a RASP program into the weights of a transformer whose residual stream has named basis
directions. It therefore knows which directions each head and each MLP reads and writes, and with
them every edge of the circuit: an edge is there exactly when the sender writes a direction that
the receiver's slot reads. Nothing here uses our engine.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import haiku
import jax
import numpy as np
from tracr.compiler import (
    basis_inference,
    craft_graph_to_model,
    craft_model_to_transformer,
    expr_to_craft_graph,
    nodes,
    rasp_to_graph,
)
from tracr.craft import bases, transformers
from tracr.rasp import rasp

jax.config.update("jax_enable_x64", True)  # Tracr's weights and our tests are in float64.

BOS, PAD, UNKNOWN = "BOS", "PAD", "<unk>"
LOGITS = "logits"
MLP_EXACTNESS = 100
"""Tracr's default: how steep its MLPs' steps are."""

_NORM = 2.0**30
"""Weight of every LayerNorm; its epsilon is the square. Beside it the variance vanishes, also in
float64, so a norm multiplies by exactly one and only takes the mean away, which is zero."""

_CONTEXT = 16
"""Positions of the brought-over model: loading tries it on twelve tokens, no prompt is as long."""

Edge = tuple[str, str]
"""Sender and receiver with its slot, as a `.circuit` file names them."""


@dataclass(frozen=True)
class Part:
    """What a component reads, by slot (the empty one for MLPs and logits), and what it writes."""

    reads: Mapping[str, frozenset[bases.BasisDirection]]
    writes: frozenset[bases.BasisDirection]


@dataclass(frozen=True)
class Compiled:
    """A program, the haiku model that Tracr made of it, and its parts by their name.

    ``parts`` holds the components that the compiler uses; where a layer needs fewer heads than the
    widest one, or no MLP, Tracr fills up with zeros, and those components are in ``shape`` alone.
    """

    sink: rasp.SOp
    model: Any
    space: tuple[bases.BasisDirection, ...]
    output: tuple[bases.BasisDirection, ...]
    parts: Mapping[str, Part]
    owners: Mapping[str, str]

    @property
    def shape(self) -> tuple[int, int]:
        """Layers and heads of each layer."""
        return self.model.model_config.num_layers, self.model.model_config.num_heads

    @property
    def words(self) -> dict[str, int]:
        """Token ids by word, those of Tracr's own encoder."""
        return dict(self.model.input_encoder.encoding_map)

    def outputs(self, tokens: np.ndarray) -> np.ndarray:
        """Tracr's own JAX model: its output directions, ``[prompt, pos, direction]``."""
        run = jax.jit(self.model.forward)(self.model.params, jax.numpy.asarray(tokens))
        columns = [self.space.index(direction) for direction in self.output]
        return np.asarray(run.transformer_output.output)[:, :, columns]

    def parameters(self, module: str) -> np.ndarray:
        """A weight matrix, ``[in, out]``, of `token_embed`, `layer_0/attn/query` and so on."""
        embeds = module.endswith("_embed")
        values = self.model.params[module if embeds else f"transformer/{module}"]
        if not embeds and np.any(values["b"]):
            raise ValueError(f"{module} has a bias, which Tracr's models have not")
        return np.asarray(values["embeddings" if embeds else "w"])


def compiled(program: rasp.SOp, words: set[str], length: int) -> Compiled:
    """Tracr's five passes, those of its `compile_rasp_to_model`, with causal attention.

    The passes are called one by one because the last result no longer knows the spaces.
    ``length`` counts the words of a prompt without BOS.
    """
    extracted = rasp_to_graph.extract_rasp_graph(program)
    graph, sink = extracted.graph, extracted.sink
    basis_inference.infer_bases(graph, sink, words, length)
    bos = bases.BasisDirection(rasp.tokens.label, BOS)
    expr_to_craft_graph.add_craft_components_to_rasp_graph(
        graph, bos_dir=bos, mlp_exactness=MLP_EXACTNESS
    )
    craft = craft_graph_to_model.craft_graph_to_model(graph, extracted.sources)
    with _no_random_weights():
        model = craft_model_to_transformer.craft_model_to_transformer(
            craft_model=craft, graph=graph, sink=sink, max_seq_len=length, causal=True,
            compiler_bos=BOS, compiler_pad=PAD,
        )  # fmt: skip
    output = tuple(bases.VectorSpaceWithBasis(sink[nodes.OUTPUT_BASIS]).basis)
    parts = dict(_parts(craft)) | {LOGITS: Part({"": frozenset(output)}, frozenset())}
    used = bases.join_vector_spaces(
        craft.residual_space,
        bases.VectorSpaceWithBasis.from_values(rasp.tokens.label, {*words, BOS, PAD}),
        bases.VectorSpaceWithBasis.from_values(rasp.indices.label, range(length)),
        bases.VectorSpaceWithBasis(list(output)),
    )
    if [str(direction) for direction in used.basis] != model.residual_labels:
        raise ValueError("the residual stream is not the one that Tracr made")
    return Compiled(
        sink[nodes.EXPR], model, tuple(used.basis), output, parts, _owners(graph, parts)
    )


@contextmanager
def _no_random_weights() -> Iterator[None]:
    """Nine tenths of Tracr's time go into random weights, drawn by operations that jax compiles one
    by one, and then overwritten. Zeros, in one go, leave the very same model."""
    transform = haiku.transform

    def jitted(function: Any) -> Any:
        init, apply = transform(function)
        return haiku.Transformed(jax.jit(init), apply)

    def zeros(*_: Any) -> Any:
        return haiku.initializers.Constant(0.0)

    plain = mock.patch.object(haiku.initializers, "VarianceScaling", zeros)
    with plain, mock.patch.object(haiku, "transform", jitted):
        yield


def _parts(craft: transformers.SeriesWithResiduals) -> Iterator[tuple[str, Part]]:
    """Components by name. Blocks take the next place of their kind, attention before MLP."""
    place = 0
    for block in craft.blocks:
        place += place % 2 != isinstance(block, transformers.MLP)
        layer = place // 2
        place += 1
        if isinstance(block, transformers.MLP):
            reads = {"": frozenset(block.fst.input_space.basis)}
            yield f"L{layer}.MLP", Part(reads, frozenset(block.snd.output_space.basis))
            continue
        for number, head in enumerate(block.as_multi().heads()):
            reads = {
                "Q": frozenset(head.w_qk.left_space.basis),
                "K": frozenset(head.w_qk.right_space.basis),
                "V": frozenset(head.w_ov.input_space.basis),
            }
            yield f"L{layer}.H{number}", Part(reads, frozenset(head.w_ov.output_space.basis))


def _owners(graph: Any, parts: Mapping[str, Part]) -> dict[str, str]:
    """Which component writes the values of an expression, by the expression's label.

    A selector width has a head, too, which writes a direction of its own; it is listed as
    `LABEL head`.
    """
    wanted = {}
    for label, node in graph.nodes.items():
        block = node.get(nodes.MODEL_BLOCK)
        if block is not None:
            wanted[label] = frozenset(node[nodes.OUTPUT_BASIS])
        if isinstance(block, transformers.SeriesWithResiduals):
            wanted[f"{label} head"] = frozenset(block.blocks[0].w_ov.output_space.basis)
    found = {}
    for label, directions in wanted.items():
        # An MLP that cleans the BOS position up also writes what its head wrote: heads come first.
        heads_first = sorted(parts, key=lambda name: "MLP" in name)
        found[label] = next(name for name in heads_first if directions <= parts[name].writes)
    return found


def all_edges(model: Compiled) -> dict[Edge, bool]:
    """Every edge that the brought-over model's shape allows, and whether the compiler knows it."""
    layers, heads = model.shape
    order = [
        name
        for layer in range(layers)
        for name in (*(f"L{layer}.H{head}" for head in range(heads)), f"L{layer}.MLP")
    ]
    found = {}
    for sender in order:
        for receiver in (*order, LOGITS):
            if receiver != LOGITS and not _before(sender, receiver):
                continue
            for slot in "QKV" if ".H" in receiver else ("",):
                name = f"{receiver}.{slot}" if slot else receiver
                found[sender, name] = bool(_carried(model, sender, receiver, slot))
    return found


def _before(sender: str, receiver: str) -> bool:
    """A layer's heads read the layers before, its MLP also the layer's own heads."""
    (first, one), (second, other) = sender[1:].split("."), receiver[1:].split(".")
    if first == second:
        return one != "MLP" and other == "MLP"
    return int(first) < int(second)


def _carried(
    model: Compiled, sender: str, receiver: str, slot: str
) -> frozenset[bases.BasisDirection]:
    """The directions that one writes and the other reads."""
    if sender not in model.parts or receiver not in model.parts:
        return frozenset()
    return model.parts[sender].writes & model.parts[receiver].reads[slot]


def carry_over(model: Compiled, readout: Mapping[str, Mapping[Any, float]], folder: Path) -> Path:
    """The model as a Hugging Face folder of GPT-2's architecture, in float64.

    ``readout`` gives, for each word, the weights of the output directions' values that make its
    logit (the value of a numerical output's only direction is None).

    GPT-2 has norms and Tracr has not: one dimension more, into which everything writes minus the
    sum of what it writes elsewhere and which nothing reads, keeps every mean at zero, and
    :data:`_NORM` does the rest. Both divide scores by the square root of a head's width, which
    GPT-2 ties to the width of the stream; W_Q makes up for it.
    """
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    layers, heads = model.shape
    key_size, size = model.model.model_config.key_size, len(model.space)
    width = max(key_size, -(-(size + 1) // heads))
    d_model, hidden = width * heads, model.model.model_config.mlp_hidden_size
    words = {**model.words, UNKNOWN: len(model.words)}

    def writing(matrix: np.ndarray) -> np.ndarray:
        """Rows ``[n, size]`` with the balancing dimension, and zeros up to ``d_model``."""
        wide = np.zeros((len(matrix), d_model))
        wide[:, :size] = matrix
        wide[:, size] = -matrix.sum(axis=1)
        return wide

    def by_head(matrix: np.ndarray) -> np.ndarray:
        """``[size, heads * key_size]`` to ``[d_model, heads * width]``."""
        wide = np.zeros((d_model, heads, width))
        wide[:size, :, :key_size] = matrix.reshape(size, heads, key_size)
        return wide.reshape(d_model, d_model)

    config = GPT2Config(
        vocab_size=len(words), n_positions=_CONTEXT, n_embd=d_model, n_layer=layers, n_head=heads,
        n_inner=hidden, activation_function="relu", layer_norm_epsilon=_NORM**2,
        tie_word_embeddings=False, bos_token_id=words[BOS], eos_token_id=words[BOS],
    )  # fmt: skip
    gpt2 = GPT2LMHeadModel(config).double()
    with torch.no_grad():
        for parameter in gpt2.parameters():
            parameter.zero_()

        def put(parameter: Any, values: np.ndarray) -> None:
            rows, columns = values.shape
            parameter[:rows, :columns] = torch.tensor(values)

        put(gpt2.transformer.wte.weight, writing(model.parameters("token_embed")))
        put(gpt2.transformer.wpe.weight, writing(model.parameters("pos_embed")))
        for layer, block in enumerate(gpt2.transformer.h):
            block.ln_1.weight.fill_(_NORM)
            block.ln_2.weight.fill_(_NORM)
            attention, mlp = f"layer_{layer}/attn", f"layer_{layer}/mlp"
            query = model.parameters(f"{attention}/query") * np.sqrt(width / key_size)
            key, value = (model.parameters(f"{attention}/{name}") for name in ("key", "value"))
            put(block.attn.c_attn.weight, np.hstack([by_head(m) for m in (query, key, value)]))
            out = np.zeros((heads, width, size))
            out[:, :key_size] = model.parameters(f"{attention}/linear").reshape(heads, -1, size)
            put(block.attn.c_proj.weight, writing(out.reshape(d_model, size)))
            put(block.mlp.c_fc.weight, model.parameters(f"{mlp}/linear_1"))
            put(block.mlp.c_proj.weight, writing(model.parameters(f"{mlp}/linear_2")))
        gpt2.transformer.ln_f.weight.fill_(_NORM)
        unembedding = np.zeros((len(words), size))
        columns = {model.space[i].value: i for i in map(model.space.index, model.output)}
        for word, weights in readout.items():
            for value_read, weight in weights.items():
                unembedding[words[word], columns[value_read]] = weight
        put(gpt2.lm_head.weight, unembedding)
    gpt2.save_pretrained(folder)
    _write_tokenizer(words, folder)
    return folder


def _write_tokenizer(words: Mapping[str, int], folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel(dict(words), unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": UNKNOWN}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
