"""What a pass needs before its layers: masks and rotations.

Shapes: B batch, L length, L' length padded to whole chunks, M hidden size, C chunk, W window.
"""

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel, ReformerConfig

from reformer_seqlen.reformer import called
from reformer_seqlen.reformer.chunked_attention import local_bias
from reformer_seqlen.reformer.configuration import refuse_wrapping
from reformer_seqlen.reformer.generation import GenerationCache
from reformer_seqlen.reformer.hash_order import Causality
from reformer_seqlen.reformer.hash_rules import chunk_lengths, hash_rules, whole_chunks
from reformer_seqlen.reformer.inputs import Texts
from reformer_seqlen.reformer.layers import Pass, geometry_of, kinds_and_layers
from reformer_seqlen.runtime.messages import reformer as messages


def plan_pass(
    model: PreTrainedModel,
    texts: Texts,
    dtype: torch.dtype,
    *,
    causality: Causality,
    rotation_draw: Tensor,
    use_cache: bool | None,
    hidden_states: list[Tensor] | None,
) -> Pass:
    """The masks and rotations of a pass over whole texts, as yet without dropout.

    Args:
        model: a Reformer.
        texts: words (B, L, M), and which tokens are real.
        dtype: of matrix products.
        causality: the rule of lsh attention.
        rotation_draw: seed and step of the rotations.
        use_cache: whether to fill a cache, where that is possible.
        hidden_states: to be filled, if they are wanted.

    Raises:
        StudyError: the texts cannot be trained on, or their windows would wrap.
    """
    config, words = model.config, texts.words
    batch, length, _ = words.shape
    padded = _padded(config, causality, length, training=model.training)
    real = texts.real
    if padded != length:
        if real is None:
            real = torch.ones(batch, length, dtype=torch.bool, device=words.device)
        real = F.pad(real, (0, padded - length), value=False)
    like = torch.empty(0, dtype=dtype, device=words.device)
    rules = hash_rules(config, causality, rotation_draw, texts, real, like)
    caches = use_cache and not model.training and causality == "strict"
    return Pass(
        dtype=dtype,
        calls=called.calls_modules(model),
        length=length,
        real=real,
        back=texts.back,
        local_bias=_local_bias(model, batch, padded, real, like),
        rules=rules,
        unhashed=_is_unhashed(config, causality, length, padded),
        cache=GenerationCache(texts, rules) if caches else None,
        hidden_states=hidden_states,
    )


def _padded(config: ReformerConfig, causality: Causality, length: int, *, training: bool) -> int:
    """The length in whole chunks, which a text to train on must have."""
    padded = whole_chunks(length, config)
    if training and torch.compiler.is_exporting():
        raise messages.exported_training()
    if padded != length and training:
        raise messages.no_whole_chunks(length, whole_chunks(1, config))
    if causality == "published":
        refuse_wrapping(config, padded)
    return padded


def _is_unhashed(config: ReformerConfig, causality: Causality, length: int, padded: int) -> bool:
    """Whether stock would hash no text, because it is of one chunk."""
    if causality == "strict" or "lsh" not in config.attn_layers:
        return False
    # stock pads, too, but not a text of less than the smallest chunk
    stock_length = length if length <= min(chunk_lengths(config)) else padded
    return bool(stock_length <= config.lsh_attn_chunk_length)


def _local_bias(
    model: PreTrainedModel, batch: int, length: int, real: Tensor | None, like: Tensor
) -> Tensor | None:
    """The mask (1 or B, L' / C, C, W) of local attention; None without such layers."""
    for kind, layer in kinds_and_layers(model):
        if kind == "local":
            geometry = geometry_of(layer.attention.self_attention, batch, length)
            return local_bias(geometry, real, like)
    return None
