"""GPT-2 with the memory behaviour of transformers 4.11, the version that the study used.

Four things in that version's modeling_gpt2.py decide how much is allocated, and differ today:
1. The cached keys and values are views of the joint projection's output; today they are copies.
2. Each layer has a causal mask of n_positions x n_positions bytes and a scalar beside it.
3. Attention divides by the square root, masks with `where` and keeps its weights until it returns.
4. The weights are gone before the feed-forward layer runs; today they outlive it.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.cache_utils import DynamicCache, DynamicLayer
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

from reformer_seqlen.models.configurations import Config, build

IMPLEMENTATION = "gpt2_2021"
MASKED = -1e4
"""The score of a position that may not be seen (GPT2Attention's masked_bias)."""


class LayerOfViews(DynamicLayer):  # type: ignore[misc]  # transformers has no types
    """A layer of the cache that keeps what it is given instead of a copy of it."""

    def update(self, keys: Tensor, values: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Keep the first step's keys and values; this cache is for one forward pass."""
        self.keys, self.values, self.is_initialized = keys, values, True
        return keys, values


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _mask: Tensor | None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[Tensor, Tensor]:
    """GPT2Attention._attn of transformers 4.11."""
    weights = torch.matmul(query, key.transpose(-1, -2))
    weights = weights / (float(value.size(-1)) ** 0.5)
    bias, masked_bias = module.get_buffer("bias"), module.get_buffer("masked_bias")
    visible = bias[:, :, : query.size(-2), : key.size(-2)].bool()
    weights = torch.where(visible, weights, masked_bias.to(weights.dtype))
    weights = nn.functional.softmax(weights, dim=-1)
    weights = nn.functional.dropout(weights, p=dropout, training=module.training)
    return torch.matmul(weights, value).transpose(1, 2), weights


def build_as_in_2021(config: Config, dtype: torch.dtype | None = None) -> nn.Module:
    """Make a GPT-2 that allocates what transformers 4.11 allocated.

    Args:
        config: of model type `gpt2`.
        dtype: of the weights; the configuration's, or float32, unless given.
    """
    AttentionInterface.register(IMPLEMENTATION, attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(IMPLEMENTATION, lambda *_, **__: None)
    config = type(config).from_dict(config.to_dict(), attn_implementation=IMPLEMENTATION)
    model = build(config, dtype)
    transformer: Any = model.transformer
    size = config.n_positions
    for layer in transformer.h:
        causal = torch.tril(torch.ones((size, size), dtype=torch.uint8)).view(1, 1, size, size)
        layer.attn.register_buffer("bias", causal)
        layer.attn.register_buffer("masked_bias", torch.tensor(MASKED))
        layer.attn.register_forward_hook(lambda _, __, output: (output[0], None))
    transformer.register_forward_pre_hook(_give_cache_of_views, with_kwargs=True)
    return model


def _give_cache_of_views(
    transformer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    cache = DynamicCache()
    cache.layers = [LayerOfViews() for _ in transformer.h]
    return args, kwargs | {"past_key_values": cache}
