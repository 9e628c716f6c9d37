"""Path patching and ablation, written straight from their definitions: the tests' own truth.

Nothing here comes from the package under test, nor from TransformerLens. The weights of a Hugging
Face ``GPT2LMHeadModel`` or ``LlamaForCausalLM`` are read once (`read`), and one handwritten forward
pass (`run`) lets every reader's input and every writer's output be replaced. Slow on purpose.

Shapes: P prompts, S positions, D residual width, H query heads, G key/value heads, E head width,
V vocabulary. Token ids are [P, S] without padding; a mask is a boolean [P, S].

Worlds: every function takes ``base``, the prompts that run, and ``source``, the prompts whose
activations are put in. Noising: base = clean, source = corrupt. Denoising: the other way round.

Writers:  Node("embed"), Node("head", layer, head), Node("mlp", layer). A head's write is
          z @ W_O without the output bias; an MLP's write includes its bias.
          Node("neuron", layer, n) writes its activation times its row of the output matrix, for
          the neurons that a net is told to take out of their MLPs (`taken_apart`); Node("mlp") is
          then the rest of it, bias included.
Readers:  Node("q" | "k" | "v", layer, head), Node("mlp", layer), Node("neuron", layer, n),
          Node("logits"). With grouped-query
          attention "k" and "v" stand for the key/value group that the query head `head` reads.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Node(NamedTuple):
    """One writer or reader of the residual stream."""

    kind: str
    layer: int = -1
    head: int = -1


Edge = tuple[Node, Node, Tensor]  # writer, reader, mask [P, S]
OnRead = Callable[[Node, Tensor, Mapping[Node, Tensor]], Tensor]
OnWrite = Callable[[Node, Tensor], Tensor]


@dataclass
class Layer:
    """One block: norms, per-head weights and the MLP."""

    ln1: Callable[[Tensor], Tensor]
    ln2: Callable[[Tensor], Tensor]
    w: dict[str, Tensor]  # q [H, D, E], k and v [G, D, E], o [H, E, D]
    b: dict[str, Tensor]  # q [H, E], k and v [G, E], o [D]
    hidden: Callable[[Tensor], Tensor]  # normed [P, S, D] -> neurons' activations [P, S, M]
    w_out: Tensor  # [M, D]
    b_out: Tensor | float  # [D]


@dataclass
class Net:
    """The weights of one model, read as functions of the residual stream."""

    embed: Callable[[Tensor], Tensor]  # [P, S] -> [P, S, D]
    layers: list[Layer]
    rotate: Callable[[Tensor], Tensor]  # position encoding of q and k, [P, S, heads, E]
    ln_f: Callable[[Tensor], Tensor]
    w_u: Tensor  # [V, D]
    n_heads: int
    n_groups: int
    apart: tuple[Node, ...] = ()  # neurons that read and write by themselves
    alone: bool = False  # every query head reads its group's key and value by an input of its own

    def reader(self, node: Node) -> Node:
        """The reader proper: a key/value slot of a query head becomes that of its group."""
        if node.kind in ("k", "v") and not self.alone:
            return node._replace(head=node.head // (self.n_heads // self.n_groups))
        return node

    def writers(self) -> list[Node]:
        """Every writer, in the order of the forward pass."""
        nodes = [Node("embed")]
        for i in range(len(self.layers)):
            nodes += [Node("head", i, h) for h in range(self.n_heads)] + [Node("mlp", i)]
            nodes += [node for node in self.apart if node.layer == i]
        return nodes


def ungrouped(net: Net) -> Net:
    """A net in which "k" and "v" readers are those of one query head, whatever its group shares."""
    return dataclasses.replace(net, alone=True)


def taken_apart(net: Net, neurons: Iterable[tuple[int, int]]) -> Net:
    """A net whose neurons (layer, index) are writers and readers of their own."""
    return dataclasses.replace(net, apart=tuple(Node("neuron", *neuron) for neuron in neurons))


@dataclass
class Run:
    """What one forward pass wrote, and its output."""

    writes: dict[Node, Tensor]  # [P, S, D] each
    logits: Tensor  # [P, S, V], or [P, V] when end indices were given


# ---------------------------------------------------------------- reading the two architectures


def _norm(m: Any, eps: float, centred: bool) -> Callable[[Tensor], Tensor]:
    """LayerNorm (centred) or RMSNorm with the weights of module ``m``."""
    def norm(x: Tensor) -> Tensor:
        x = x - x.mean(-1, keepdim=True) if centred else x
        x = x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * m.weight
        return x + m.bias if centred else x
    return norm


def _bias(m: Any) -> Tensor:
    return m.weight.new_zeros(m.weight.shape[0]) if m.bias is None else m.bias


def _qkv(parts: Sequence[Any]) -> list[tuple[str, Any]]:
    return list(zip("qkv", parts, strict=True))


def _act(name: str) -> Callable[[Tensor], Tensor]:
    if name in ("gelu_new", "gelu_pytorch_tanh"):
        return lambda x: F.gelu(x, approximate="tanh")
    return {"gelu": F.gelu, "relu": F.relu, "silu": F.silu}[name]


def read(model: Any) -> Net:
    """Read the weights of a GPT-2 or Llama language model (unpadded, default rotary)."""
    model.eval()
    kind = model.config.model_type
    if kind not in ("gpt2", "llama"):
        raise ValueError(f"unknown architecture {kind!r}")
    return _read_gpt2(model) if kind == "gpt2" else _read_llama(model)


def _read_gpt2(model: Any) -> Net:
    cfg, body = model.config, model.transformer
    if cfg.scale_attn_by_inverse_layer_idx or not cfg.scale_attn_weights:
        raise ValueError("only the usual 1/sqrt(E) attention scale")
    n, d, act = cfg.n_head, cfg.n_embd, _act(cfg.activation_function)

    def norm(m: Any) -> Callable[[Tensor], Tensor]:
        return _norm(m, cfg.layer_norm_epsilon, centred=True)

    def layer(blk: Any) -> Layer:
        qkv, out = blk.attn.c_attn, blk.attn.c_proj
        w = {s: m.view(d, n, d // n).transpose(0, 1) for s, m in _qkv(qkv.weight.split(d, 1))}
        b = {s: m.view(n, d // n) for s, m in _qkv(qkv.bias.split(d))}
        w["o"], b["o"] = out.weight.view(n, d // n, d), out.bias
        up, down = blk.mlp.c_fc, blk.mlp.c_proj

        def hidden(x: Tensor) -> Tensor:
            return act(x @ up.weight + up.bias)
        return Layer(norm(blk.ln_1), norm(blk.ln_2), w, b, hidden, down.weight, down.bias)

    def embed(tokens: Tensor) -> Tensor:
        return body.wte.weight[tokens] + body.wpe.weight[: tokens.shape[1]]

    layers = [layer(blk) for blk in body.h]
    return Net(embed, layers, lambda x: x, norm(body.ln_f), model.lm_head.weight, n, n)


def _read_llama(model: Any) -> Net:
    cfg, body = model.config, model.model
    rope = getattr(cfg, "rope_parameters", None) or {"rope_theta": cfg.rope_theta}
    if rope.get("rope_type", "default") != "default":
        raise ValueError(f"unknown rotary embedding {rope['rope_type']!r}")
    n, g, d = cfg.num_attention_heads, cfg.num_key_value_heads, cfg.hidden_size
    e, act = getattr(cfg, "head_dim", None) or d // n, _act(cfg.hidden_act)

    def norm(m: Any) -> Callable[[Tensor], Tensor]:
        return _norm(m, cfg.rms_norm_eps, centred=False)

    def rotate(x: Tensor) -> Tensor:
        wavelength = rope["rope_theta"] ** (torch.arange(0, e, 2) / e)
        angle = torch.arange(x.shape[1])[:, None] / wavelength
        cos, sin = angle.cos()[:, None].to(x), angle.sin()[:, None].to(x)
        one, two = x[..., : e // 2], x[..., e // 2:]
        return torch.cat([one * cos - two * sin, two * cos + one * sin], -1)

    def layer(blk: Any) -> Layer:
        att = blk.self_attn
        qkv, out = _qkv((att.q_proj, att.k_proj, att.v_proj)), att.o_proj
        w = {s: m.weight.view(-1, e, d).transpose(1, 2) for s, m in qkv}
        b = {s: _bias(m).view(-1, e) for s, m in qkv}
        w["o"], b["o"] = out.weight.view(d, n, e).permute(1, 2, 0), _bias(out)
        gate, up, down = blk.mlp.gate_proj, blk.mlp.up_proj, blk.mlp.down_proj

        def hidden(x: Tensor) -> Tensor:
            return act(F.linear(x, gate.weight, gate.bias)) * F.linear(x, up.weight, up.bias)
        norms = norm(blk.input_layernorm), norm(blk.post_attention_layernorm)
        return Layer(*norms, w, b, hidden, down.weight.T, _bias(down))

    layers = [layer(blk) for blk in body.layers]
    return Net(lambda t: body.embed_tokens.weight[t], layers, rotate, norm(body.norm),
               model.lm_head.weight, n, g)


# ---------------------------------------------------------------- the forward pass


def _same_input(_node: Node, x: Tensor, _writes: Mapping[Node, Tensor]) -> Tensor:
    return x


def _same_output(_node: Node, out: Tensor) -> Tensor:
    return out


@torch.no_grad()
def run(net: Net, tokens: Tensor, on_read: OnRead = _same_input, on_write: OnWrite = _same_output,
        ends: Tensor | None = None) -> Run:
    """One forward pass over ``tokens`` [P, S].

    ``on_read(reader, input, writes so far)`` returns the pre-norm input [P, S, D] the reader gets
    (the same object where nothing changes); ``on_write(writer, output)`` returns what is added to
    the residual stream. Key/value readers are named by group here, and by query head in a net
    that is `ungrouped`. ``ends`` [P]: only the logits at these positions.
    """
    writes = {Node("embed"): on_write(Node("embed"), net.embed(tokens))}
    x = writes[Node("embed")]
    per_group, size = net.n_heads // net.n_groups, tokens.shape[1]
    future = torch.ones(size, size, dtype=torch.bool).triu(1)
    for i, layer in enumerate(net.layers):
        slot = {}
        for name in "qkv":
            w, b = layer.w[name], layer.b[name]
            out = torch.einsum("psd,hde->pshe", layer.ln1(x), w) + b
            shared = 1
            if net.alone and name != "q":
                out, shared = out.repeat_interleave(per_group, 2), per_group
            for h in range(out.shape[2]):
                own = on_read(Node(name, i, h), x, writes)
                if own is not x:
                    out[:, :, h] = layer.ln1(own) @ w[h // shared] + b[h // shared]
            slot[name] = out if name == "v" else net.rotate(out)
        k, v = slot["k"], slot["v"]
        if not net.alone:
            k, v = (each.repeat_interleave(per_group, 2) for each in (k, v))
        scores = torch.einsum("pqhe,pkhe->phqk", slot["q"], k) / k.shape[-1] ** 0.5
        pattern = scores.masked_fill(future, -torch.inf).softmax(-1)
        z = torch.einsum("phqk,pkhe->pqhe", pattern, v)
        x = x + layer.b["o"]
        for h in range(net.n_heads):
            node = Node("head", i, h)
            writes[node] = on_write(node, z[:, :, h] @ layer.w["o"][h])
            x = x + writes[node]
        node, parts = Node("mlp", i), [part for part in net.apart if part.layer == i]
        neurons = layer.hidden(layer.ln2(on_read(node, x, writes)))
        rest = [n for n in range(neurons.shape[-1]) if Node("neuron", i, n) not in parts]
        new = {node: on_write(node, neurons[..., rest] @ layer.w_out[rest] + layer.b_out)}
        for part in parts:
            own = layer.hidden(layer.ln2(on_read(part, x, writes)))[..., part.head]
            new[part] = on_write(part, own[..., None] * layer.w_out[part.head])
        writes |= new
        x = x + sum(new.values())
    x = on_read(Node("logits"), x, writes)
    if ends is not None:
        x = x[torch.arange(len(x)), ends]
    return Run(writes, net.ln_f(x) @ net.w_u.T)


def _put(mask: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """``new`` where ``mask`` [P, S] holds, else ``old``; both [P, S, D]."""
    return torch.where(mask[..., None], new, old)


def _precedes(sender: Node, receiver: Node) -> bool:
    """Whether ``sender`` writes before ``receiver`` reads."""
    if receiver.kind == "logits" or sender.layer < receiver.layer:
        return True
    in_layer = sender.kind == "head" and receiver.kind in ("mlp", "neuron")
    return sender.layer == receiver.layer and in_layer


def _check(net: Net, sender: Node, receiver: Node) -> None:
    """Raise unless ``sender`` writes before ``receiver`` reads."""
    if receiver.kind not in ("q", "k", "v", "mlp", "neuron", "logits"):
        raise ValueError(f"not a reader: {receiver}")
    if sender not in net.writers():
        raise ValueError(f"not a writer: {sender}")
    if not _precedes(sender, receiver):
        raise ValueError(f"{sender} does not come before {receiver}")


# ---------------------------------------------------------------- path patching


def direct(net: Net, base: Tensor, source: Tensor, edges: Iterable[Edge],
           ends: Tensor | None = None) -> Tensor:
    """Logits of ``base`` with direct edges (``->``) carrying the source world.

    Each reader's pre-norm input gets, at the edge's masked positions, the source world's write of
    the sender minus *this run's* write of it. The norm and everything after the reader recompute.
    """
    into: dict[Node, dict[Node, Tensor]] = {}
    for sender, receiver, mask in edges:
        _check(net, sender, receiver)
        have = into.setdefault(net.reader(receiver), {})
        have[sender] = have[sender] | mask if sender in have else mask
    new = run(net, source, ends=ends).writes

    def on_read(node: Node, x: Tensor, writes: Mapping[Node, Tensor]) -> Tensor:
        for sender, mask in into.get(node, {}).items():
            x = x + mask[..., None] * (new[sender] - writes[sender])
        return x

    return run(net, base, on_read, ends=ends).logits


def through_mlps(net: Net, base: Tensor, source: Tensor, senders: Iterable[Node],
                 receivers: Iterable[Node], mask: Tensor, ends: Tensor | None = None,
                 freeze_mlps: bool = False) -> Tensor:
    """Logits of ``base`` with the paths ``~>`` from senders to receivers carrying the source world.

    The four passes of Wang et al. 2022, section 3.1. A: run the source. B: run the base. C: the
    base with the senders' writes at ``mask`` taken from A, every other head frozen to B, MLPs
    recomputed (or frozen too); the receivers' inputs are kept. D: the base with only the
    receivers' inputs replaced by C's, at ``mask``.
    """
    senders, receivers = set(senders), set(receivers)
    if len(receivers) > 1 and Node("logits") in receivers:
        raise ValueError("'logits' must be the only receiver: its input decides the output alone")
    for sender in senders:
        for receiver in receivers:
            _check(net, sender, receiver)
    targets = {net.reader(receiver) for receiver in receivers}
    a, b = run(net, source, ends=ends).writes, run(net, base, ends=ends).writes
    kept: dict[Node, Tensor] = {}

    def on_write(node: Node, out: Tensor) -> Tensor:
        if node.kind == "head" or freeze_mlps:
            out = b[node]
        return _put(mask, a[node], out) if node in senders else out

    def keep(node: Node, x: Tensor, _writes: Mapping[Node, Tensor]) -> Tensor:
        if node in targets:
            kept[node] = x
        return x

    def on_read(node: Node, x: Tensor, _writes: Mapping[Node, Tensor]) -> Tensor:
        return _put(mask, kept[node], x) if node in targets else x

    run(net, base, keep, on_write, ends)
    return run(net, base, on_read, ends=ends).logits


def nested(net: Net, base: Tensor, source: Tensor, start: Node,
           hops: Sequence[tuple[Node, Tensor]], ends: Tensor | None = None) -> Tensor:
    """Logits of ``base`` with the path ``start -> hop -> ... -> hop`` carrying the source world.

    ``hops`` are (reader, mask) pairs, e.g. ``a -> b.v -> c.q -> logits``. Each hop is a direct
    edge that carries only the change that came in over the hop before: the change in the output
    of the head (or MLP) whose reader was changed and nothing else.
    """
    clean = run(net, base).writes
    sender, change = start, run(net, source).writes[start] - clean[start]
    for receiver, mask in hops:
        _check(net, sender, receiver)
        target, delta = net.reader(receiver), mask[..., None] * change

        def on_read(node: Node, x: Tensor, _writes: Mapping[Node, Tensor],
                    target: Node = target, delta: Tensor = delta) -> Tensor:
            return x + delta if node == target else x

        after = run(net, base, on_read, ends=ends)
        if receiver.kind == "logits":
            break
        own = receiver.kind in ("mlp", "neuron")
        sender = receiver if own else receiver._replace(kind="head")
        change = after.writes[sender] - clean[sender]
    return after.logits


def nested_groups(net: Net, base: Tensor, source: Tensor, starts: Sequence[Node],
                  hops: Sequence[tuple[Sequence[Node], Tensor, bool]]) -> Tensor:
    """Logits of ``base`` [P, S, V] with a path of several starts, and several readers a hop.

    ``hops`` are (readers, mask, through MLPs). In a hop before the last every reader of the model
    gets the input of the undisturbed run and the hop's own readers the change on top, so that no
    reader sees another one's change. In the last hop its readers' inputs are put into ``base`` at
    the mask, and everything else recomputes.

    On a direct hop the change is that of the senders' outputs. Through MLPs a pass of its own says
    what the hop's readers read: the base with the senders' changed outputs at the mask, every other
    head frozen, MLPs recomputed.
    """
    inputs: dict[Node, Tensor] = {}

    def keep(node: Node, x: Tensor, _writes: Mapping[Node, Tensor]) -> Tensor:
        inputs[node] = x
        return x

    clean, new = run(net, base, keep).writes, run(net, source).writes
    changes = {start: new[start] - clean[start] for start in starts}
    for number, (readers, mask, through) in enumerate(hops, 1):
        targets, last = {net.reader(reader): reader for reader in readers}, number == len(hops)
        seen: dict[Node, Tensor] = {}
        if through:
            seen = _seen_through_mlps(net, base, clean, changes, mask)

        def on_read(node: Node, x: Tensor, _writes: Mapping[Node, Tensor],
                    targets: Mapping[Node, Node] = targets, mask: Tensor = mask,
                    changes: Mapping[Node, Tensor] = changes, last: bool = last,
                    seen: Mapping[Node, Tensor] = seen) -> Tensor:
            if node not in targets:
                return x if last else inputs[node]
            new = seen.get(node, inputs[node])
            for sender, change in changes.items():
                if not seen and _precedes(sender, node):
                    new = new + change
            return _put(mask, new, x if last else inputs[node])

        after = run(net, base, on_read)
        carriers = {r._replace(kind="head") if r.kind in ("q", "k", "v") else r for r in readers}
        if not last:
            changes = {node: after.writes[node] - clean[node] for node in carriers}
    return after.logits


def _seen_through_mlps(net: Net, base: Tensor, clean: Mapping[Node, Tensor],
                       changes: Mapping[Node, Tensor], mask: Tensor) -> dict[Node, Tensor]:
    """Every reader's input where some writers write more, other heads are frozen, MLPs are not."""
    seen: dict[Node, Tensor] = {}

    def keep(node: Node, x: Tensor, _writes: Mapping[Node, Tensor]) -> Tensor:
        seen[node] = x
        return x

    def on_write(node: Node, out: Tensor) -> Tensor:
        out = clean[node] if node.kind == "head" else out
        return _put(mask, clean[node] + changes[node], out) if node in changes else out

    run(net, base, keep, on_write)
    return seen


# ---------------------------------------------------------------- ablation


def replace(net: Net, base: Tensor, values: Mapping[Node, tuple[Tensor, Tensor]],
            ends: Tensor | None = None) -> Tensor:
    """Logits of ``base`` with writes replaced: ``values[writer] = (mask [P, S], new [P, S, D])``.

    Zero: zeros. Resample: the paired prompts' writes. Mean: `mean_writes`.
    """
    def on_write(node: Node, out: Tensor) -> Tensor:
        return _put(*values[node], out) if node in values else out

    return run(net, base, on_write=on_write, ends=ends).logits


def mean_writes(net: Net, tokens: Tensor, groups: Tensor | None = None) -> dict[Node, Tensor]:
    """Each writer's mean [P, S, D] over the prompts of the same group (``groups`` [P], per
    position), spread out over the prompts again. Without groups: over all prompts."""
    groups = torch.zeros(len(tokens)) if groups is None else groups
    writes = run(net, tokens).writes
    out = {node: torch.empty_like(value) for node, value in writes.items()}
    for group in groups.unique():
        rows = groups == group
        for node, value in writes.items():
            out[node][rows] = value[rows].mean(0)
    return out


def ablate(net: Net, base: Tensor, sites: Mapping[Node, Tensor], how: str,
           other: Tensor | None = None, groups: Tensor | None = None,
           ends: Tensor | None = None) -> Tensor:
    """Logits of ``base`` with the writers in ``sites`` (writer -> mask [P, S]) ablated.

    ``how``: "zero", "resample" (from the paired prompts ``other``) or "mean" (over ``other``, per
    position and per group).
    """
    if how == "zero":
        new = run(net, base).writes
        new = {node: torch.zeros_like(new[node]) for node in sites}
    elif other is None:
        raise ValueError(f"{how!r} needs the other prompts")
    elif how == "resample":
        new = run(net, other).writes
    elif how == "mean":
        new = mean_writes(net, other, groups)
    else:
        raise ValueError(f"unknown ablation {how!r}")
    return replace(net, base, {node: (mask, new[node]) for node, mask in sites.items()}, ends)


def circuit_alone(net: Net, base: Tensor, circuit: Mapping[Node, Tensor], how: str,
                  other: Tensor | None = None, groups: Tensor | None = None,
                  ends: Tensor | None = None) -> Tensor:
    """Logits of ``base`` with every head outside ``circuit`` (writer -> mask of the positions
    kept), and every circuit head away from its positions, ablated. MLPs are kept, unless the
    circuit names MLPs or neurons: then they are treated like heads. An empty circuit keeps
    no head."""
    kinds = {"head"} | {node.kind for node in circuit}
    kinds |= {"mlp", "neuron"} if kinds & {"mlp", "neuron"} else set()
    nothing = torch.zeros(base.shape, dtype=torch.bool)
    sites = {node: ~circuit.get(node, nothing) for node in net.writers() if node.kind in kinds}
    return ablate(net, base, sites, how, other, groups, ends)
