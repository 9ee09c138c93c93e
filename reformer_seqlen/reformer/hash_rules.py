"""The rules of a model's lsh layers for the texts of one pass.

Shapes: B batch, L length.
"""

from math import lcm

import torch
from torch import Tensor
from transformers import ReformerConfig

from reformer_seqlen.reformer.draws import seed_of
from reformer_seqlen.reformer.hash_order import Causality, HashFunction, HashRule
from reformer_seqlen.reformer.hashing import bucket_factors, draw_rotations, recommended_buckets
from reformer_seqlen.reformer.inputs import Texts


def chunk_lengths(config: ReformerConfig) -> list[int]:
    """The chunk length of each kind of layer that a model has."""
    kinds = sorted(set(config.attn_layers))
    return [getattr(config, f"{kind}_attn_chunk_length") for kind in kinds]


def whole_chunks(length: int, config: ReformerConfig) -> int:
    """A length, padded to whole chunks."""
    return length + -length % lcm(*chunk_lengths(config))


def hash_rules(
    config: ReformerConfig, causality: Causality, draw: Tensor, texts: Texts,
    real: Tensor | None, like: Tensor,
) -> dict[int, HashRule]:  # fmt: skip
    """The rule of every lsh layer.

    Args:
        config: of the model.
        causality: the model's.
        draw: (2,), seed and step of the rotations.
        texts: of the pass.
        real: (B, L'), False where a token is padding, that to whole chunks included.
        like: a tensor of the rotations' type and device.
    """
    if "lsh" not in config.attn_layers:
        return {}
    chosen = _chosen_buckets(config, causality)
    factors = _recommended(config, texts.words.shape[1]) if chosen is None else chosen
    shorter: dict[tuple[int, ...], Tensor] = {}
    if chosen is None and texts.real is not None and texts.back is not None:
        shorter = _other_factors(config, texts.real, factors)

    def rotations(layer: int, factors: tuple[int, ...]) -> Tensor:
        heads, size = config.num_attention_heads, config.attention_head_size
        shape = (heads, size, config.num_hashes, sum(factors) // 2)
        return draw_rotations(seed_of(draw, layer), shape, like)

    return {
        layer: HashRule(
            rotations(layer, factors),
            factors,
            causality,
            real,
            tuple(HashFunction(which, rotations(layer, f), f) for f, which in shorter.items()),
        )
        for layer, kind in enumerate(config.attn_layers)
        if kind == "lsh"
    }


def _chosen_buckets(config: ReformerConfig, causality: Causality) -> tuple[int, ...] | None:
    """The factors in the configuration; None where a text's length chooses them."""
    chosen = getattr(config, "lsh_num_buckets", None)
    if chosen is None and causality == "published":
        chosen = config.num_buckets
    return None if chosen is None else bucket_factors(chosen)


def _recommended(config: ReformerConfig, length: int) -> tuple[int, ...]:
    return recommended_buckets(whole_chunks(length, config), config.lsh_attn_chunk_length)


@torch.compiler.disable(reason="numbers of buckets depend on the mask")  # type: ignore[untyped-decorator]
def _other_factors(
    config: ReformerConfig, real: Tensor, factors: tuple[int, ...]
) -> dict[tuple[int, ...], Tensor]:
    """Factors that texts would have alone, except `factors`, and which texts (B,) they are."""
    alone = [_recommended(config, length) for length in real.sum(1).tolist()]
    return {
        other: torch.tensor([own == other for own in alone], device=real.device)
        for other in sorted(set(alone) - {factors})
    }
