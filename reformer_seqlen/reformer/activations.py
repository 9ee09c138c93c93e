"""Whether activations are kept for the backward pass or recomputed in it."""

from typing import Literal

import torch
from transformers import ReformerConfig

from reformer_seqlen.runtime import memory_limits

Reversible = Literal["auto", "on", "off"]


def recomputes(
    reversible: Reversible, config: ReformerConfig, tokens: int, device: torch.device
) -> bool:
    """Whether to recompute activations; `auto` does if they need over half of the total memory."""
    if reversible != "auto":
        return reversible == "on"
    limit: int = memory_bytes(device)
    return tokens * activation_bytes(config) > limit / 2


def activation_bytes(config: ReformerConfig) -> int:
    """Roughly the bytes of activations that a training pass keeps of each token."""
    heads: int = config.num_attention_heads * config.attention_head_size
    layer = 0
    for kind in config.attn_layers:
        rounds = config.num_hashes if kind == "lsh" else 1
        before = getattr(config, f"{kind}_num_chunks_before")
        window = (1 + before) * getattr(config, f"{kind}_attn_chunk_length")
        # streams and their norms; projections, sorted copies, outputs; twice the probabilities
        layer += 4 * config.hidden_size + config.feed_forward_size
        layer += heads * (4 + 3 * rounds) + 2 * rounds * config.num_attention_heads * window
    return int(4 * (layer + 8 * config.hidden_size + 3 * config.vocab_size))


# torch.compile can't trace this; as a constant, it does not break the graph.
@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def memory_bytes(device: torch.device) -> int:
    """What the device has in all; with free memory, results would depend on other processes."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return memory_limits.memory_bytes()
