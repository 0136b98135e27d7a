"""Attention for decoding in bfloat16 on a CPU: scaled dot-product attention, quick with one query per row.

The fused CPU kernel is made for many queries. With one query per head, two matrix products and a softmax take less than
a third of its time in bfloat16 (64 rows, 5 heads, 80 positions: 0.8 ms against 2.7 ms), given keys that are stored with
positions innermost, as `GrowingLayer` does. In float32 the fused kernel is the better one.

Rows that share their context (`kv_cache.SharingLayer`) bring keys and values of their own tokens only; the
contexts (`shared_contexts.Handed`) hang on the key tensor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from speechrl.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel

NAME = "speechrl_decode"
CONTEXTS = "speechrl_contexts"
"""Attribute of a key tensor: the shared contexts that come before these keys."""


def decode_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    position_bias: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention as transformers asks for it: query (N, heads, queries, D), key and value (N, kv heads, T, D).

    Returns:
        Output of shape (N, queries, heads, D), and None in place of the weights.

    Raises:
        ModelError: A shared context, and several queries a row or a bias by position.
    """
    rows, heads, queries, width = query.shape
    handed = getattr(key, CONTEXTS, None)
    if queries != 1 or position_bias is not None:
        if handed is not None:
            raise ModelError(
                f"{type(module).__name__} cannot decode from a shared context; use precision fp32"
            )
        output, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, position_bias=position_bias, **kwargs
        )
        return output, None
    # Query heads that share a key head become several queries of that head.
    query = query.reshape(rows, key.shape[1], -1, width) * (width**-0.5 if scaling is None else scaling)
    scores = query @ key.transpose(-1, -2)
    shared = None if handed is None else handed.read()
    if shared is not None:
        scores = torch.cat([shared.scores(query), scores], dim=-1)
    if attention_mask is not None:
        scores = scores.masked_fill(~attention_mask, -torch.inf)
    weights = scores.softmax(-1, dtype=torch.float32).to(value.dtype)
    if shared is None:
        mixed = weights @ value
    else:
        mixed = shared.mix(weights[..., : shared.positions]) + weights[..., shared.positions :] @ value
    return mixed.reshape(rows, 1, heads, value.shape[-1]), None


def pays_off(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether `decode_attention` is quicker than the fused kernel there."""
    return device.type == "cpu" and dtype is torch.bfloat16


def use_decode_attention(causal_lm: PreTrainedModel) -> None:
    """Switch a model of scaled dot-product attention where it pays off, and back elsewhere; leave any other alone."""
    wanted = NAME if pays_off(causal_lm.device, causal_lm.dtype) else "sdpa"
    if causal_lm.config._attn_implementation == {NAME: "sdpa", "sdpa": NAME}[wanted]:
        causal_lm.set_attn_implementation(wanted)


AttentionInterface.register(NAME, decode_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
