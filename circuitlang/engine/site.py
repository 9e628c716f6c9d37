"""Places in a forward pass that are read or written."""

from dataclasses import dataclass
from enum import StrEnum

from torch import Tensor


class Kind(StrEnum):
    """Named after TransformerLens's hook points; shapes in ``[prompt, pos, ...]``.

    Q, K, V and Z have ``[head, d_head]`` (K and V: key/value heads), the others ``[d_model]``;
    PATTERN alone is ``[prompt, head, query, key]``.
    """

    RESID_PRE = "hook_resid_pre"
    RESID_MID = "hook_resid_mid"
    RESID_POST = "hook_resid_post"
    Q = "attn.hook_q"
    K = "attn.hook_k"
    V = "attn.hook_v"
    Z = "attn.hook_z"
    PATTERN = "attn.hook_pattern"
    ATTN_OUT = "hook_attn_out"
    MLP_OUT = "hook_mlp_out"

    @property
    def head_axis(self) -> int:
        """Axis that counts heads, of the activations that have one."""
        return 1 if self is Kind.PATTERN else 2

    @property
    def position_axis(self) -> int:
        """Axis that counts positions; of a pattern, its queries."""
        return 2 if self is Kind.PATTERN else 1


@dataclass(frozen=True, slots=True)
class Site:
    """One activation of one layer."""

    kind: Kind
    layer: int

    @property
    def hook_name(self) -> str:
        """The name under which the bridge hooks it."""
        return f"blocks.{self.layer}.{self.kind}"


@dataclass(frozen=True, slots=True, eq=False)
class Write:
    """Replace an activation where ``mask`` is true.

    Args:
        site: which activation.
        value: the new one, shaped like the site; with ``head``, like the site without its head
            axis: ``[prompt, pos, d_head]``, of a pattern ``[prompt, query, key]``.
        mask: boolean ``[prompt, pos]``, of a pattern ``[prompt, query]``; None means everywhere.
        head: index on the head axis; None replaces the whole activation.
    """

    site: Site
    value: Tensor
    mask: Tensor | None = None
    head: int | None = None
