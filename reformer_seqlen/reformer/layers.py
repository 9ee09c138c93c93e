"""The branches that Reformer's layers add to their streams: attention and feed-forward.

Shapes: B batch, L length, N = B x L tokens, M hidden size, H heads, D head size, R hash rounds.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reformer_seqlen.reformer import called
from reformer_seqlen.reformer.chunked_attention import Geometry, LocalAttention
from reformer_seqlen.reformer.dense import DenseAdd, NormedDense, relu_dropped_
from reformer_seqlen.reformer.draws import Seed, derived_seed
from reformer_seqlen.reformer.dropout import Dropout
from reformer_seqlen.reformer.generation import GenerationCache
from reformer_seqlen.reformer.hash_order import HashRule, find_buckets, strict_geometry
from reformer_seqlen.reformer.hashed_attention import HashedAttention
from reformer_seqlen.reformer.inputs import reordered
from reformer_seqlen.reformer.precision import autocast_to
from reformer_seqlen.reformer.side_by_side import compute_side_by_side, parts_of

TOKENS_AT_A_TIME = 8192
"""In feed-forward layers and the head, on the CPU. Temporaries of more tokens would exceed 32 MiB,
and the C library maps blocks of that size anew each time, which costs more than the arithmetic."""

PROBABILITIES, ATTENTION, HIDDEN, FEED_FORWARD, WORDS, POSITIONS, HEAD = range(7)
"""Where dropout happens. A site is one of these, then the layer, then a place within the layer."""


class Pass(NamedTuple):
    """What all layers of one forward pass share."""

    dtype: torch.dtype  # of matrix products and attention
    calls: bool  # whether modules are called: see `called`
    length: int  # of the texts, without padding to whole chunks
    rules: dict[int, HashRule]  # of the lsh layers
    unhashed: bool = False  # stock hashes no text of one chunk, and attends to its whole past
    real: Tensor | None = None  # (B, L), False where a token is padding
    back: Tensor | None = None  # (B, L), where the tokens of the texts are: see `inputs`
    local_bias: Tensor | None = None  # (1 or B, L / C, C, W), the mask of local attention
    dropout_seed: Seed | None = None  # of all masks, None in evaluation
    cache: GenerationCache | None = None  # to be filled for generation
    hidden_states: list[Tensor] | None = None  # (B, L, M) each, to be filled

    def dropout(self, probability: float, *site: int) -> Dropout:
        """The dropout at a site, with a seed of its own."""
        if self.dropout_seed is None:
            return Dropout(0.0, 0)
        return Dropout(probability, derived_seed(self.dropout_seed, *site))

    def part(self, number: int, texts: slice) -> "Pass":
        """The same for some texts of the batch, with dropout masks of their own."""
        bias, seed = self.local_bias, self.dropout_seed
        return self._replace(
            real=None if self.real is None else self.real[texts],
            back=None if self.back is None else self.back[texts],
            rules={index: rule.part(texts) for index, rule in self.rules.items()},
            local_bias=bias if bias is None or self.real is None else bias[texts],
            dropout_seed=None if seed is None else derived_seed(seed, number),
        )

    def as_given(self, stream: Tensor) -> Tensor:
        """The texts' tokens (B, L, M) of a stream (B, padded length, M), as they were given."""
        own = stream[:, : self.length]
        return own if self.back is None else reordered(own, self.back)

    def keep(self, stream: Tensor) -> None:
        """Keep a layer's stream (B, padded length, M), if hidden states are wanted."""
        if self.hidden_states is not None:
            self.hidden_states.append(self.as_given(stream))


def kinds_and_layers(model: Any) -> Iterator[tuple[str, Any]]:
    """The kind (`lsh` or `local`) and the stock module of each layer of a Reformer."""
    return zip(model.config.attn_layers, model.reformer.encoder.layers, strict=True)


def geometry_of(attention: Any, batch: int, length: int) -> Geometry:
    """The layout of a stock attention module."""
    return Geometry(
        batch,
        length,
        attention.num_attention_heads,
        attention.attention_head_size,
        attention.chunk_length,
        attention.num_chunks_before,
    )


def local_weight(attention: Any) -> Tensor:
    """Weights (3*H*D, M) of queries, keys and values; the scores' 1 / sqrt(D) goes to queries."""
    queries = attention.query.weight * attention.attention_head_size**-0.5
    return torch.cat([queries, attention.key.weight, attention.value.weight])


def lsh_weight(attention: Any) -> Tensor:
    """Weights (H*2*D, M): of every head the shared query/keys, then the values."""
    by_head = (attention.num_attention_heads, attention.attention_head_size)
    shared = attention.query_key.weight.unflatten(0, by_head)
    values = attention.value.weight.unflatten(0, by_head)
    return torch.cat([shared, values], dim=1).flatten(0, 1)


def add_local_attention(
    module: Any, index: int, pass_: Pass, stream: Tensor, inputs: Tensor
) -> Tensor:
    """The stream plus local attention to its normalised inputs. Both (B, L, M)."""
    attention = module.self_attention
    geometry = geometry_of(attention, *inputs.shape[:2])
    lead = geometry.before * geometry.chunk
    if pass_.calls:
        projected = F.pad(_projected("local", module, pass_, inputs), (0, 0, lead, 0))
    else:
        weight = local_weight(attention).to(pass_.dtype)
        projected = _normed_dense(module.layer_norm, weight, inputs.flatten(0, 1), lead=lead)
    dropouts = [
        pass_.dropout(attention.dropout, PROBABILITIES, index, head)
        for head in range(geometry.heads)
    ]
    if pass_.cache is not None:
        pass_.cache.fill_local(projected[lead:], geometry)
    outputs = LocalAttention.apply(projected, pass_.local_bias, geometry, dropouts)
    return _add_attention(module, index, pass_, stream, outputs)


def add_lsh_attention(
    module: Any, index: int, pass_: Pass, kept: list[Tensor], stream: Tensor, inputs: Tensor
) -> Tensor:
    """The stream plus lsh attention to its normalised inputs. Both (B, L, M).

    `kept` takes the buckets, so that recomputing the layer in the backward pass uses the same ones:
    it could round otherwise, and then hash differently.
    """
    attention = module.self_attention
    geometry = geometry_of(attention, *inputs.shape[:2])
    if pass_.calls:
        projected = _projected("lsh", module, pass_, inputs)
    else:
        weight = lsh_weight(attention).to(pass_.dtype)
        projected = _normed_dense(module.layer_norm, weight, inputs.flatten(0, 1))
    rule = pass_.rules[index]
    if pass_.unhashed:
        shape = (geometry.batch, geometry.heads, 1, geometry.length)
        kept[:] = [torch.zeros(shape, dtype=torch.long, device=inputs.device)]
        geometry = geometry._replace(chunk=geometry.length, before=0)
    if not kept:
        kept.append(find_buckets(projected.detach(), rule, geometry))
    dropout = pass_.dropout(attention.dropout, PROBABILITIES, index)
    if rule.causality == "strict":
        geometry = strict_geometry(geometry, rule)
    outputs = HashedAttention.apply(projected, kept[0], rule, geometry, dropout)
    if pass_.cache is not None:
        pass_.cache.fill_lsh(projected, kept[0], geometry)
    return _add_attention(module, index, pass_, stream, outputs)


def add_feed_forward(
    module: Any, index: int, pass_: Pass, stream: Tensor, inputs: Tensor
) -> Tensor:
    """The stream plus two dense layers over its normalised inputs. Both (B, L, M)."""
    inner, outer = module.dense, module.output
    if pass_.calls:
        dropouts = (
            pass_.dropout(inner.dropout, HIDDEN, index, 0, 0),
            pass_.dropout(outer.dropout, FEED_FORWARD, index, 0, 0),
        )
        with autocast_to(pass_.dtype, stream):
            return called.add_feed_forward(module, stream, inputs, dropouts)

    def add(number: int, _: slice, stream: Tensor, inputs: Tensor) -> Tensor:
        dtype = pass_.dtype
        weight, bias = inner.dense.weight.to(dtype), inner.dense.bias.to(dtype)
        outer_weight, outer_bias = outer.dense.weight.to(dtype), outer.dense.bias.to(dtype)
        results = []
        for block, (stream_part, part) in enumerate(token_parts(stream, inputs)):
            dropout = pass_.dropout(inner.dropout, HIDDEN, index, number, block)
            hidden = _normed_dense(module.layer_norm, weight, part, bias)
            hidden = relu_dropped_(hidden, dropout)
            outer_dropout = pass_.dropout(outer.dropout, FEED_FORWARD, index, number, block)
            results.append(
                DenseAdd.apply(
                    stream_part, hidden, outer_weight, outer_bias, outer_dropout, dropout.scale
                )
            )
        return torch.cat(results) if len(results) > 1 else results[0]

    rows = [stream.flatten(0, 1), inputs.flatten(0, 1)]
    parts = parts_of(rows[0].shape[0], 1, stream.device)
    return compute_side_by_side(add, parts, rows, list(module.parameters())).view(stream.shape)


def token_parts(*rows: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Parts (TOKENS_AT_A_TIME or fewer, M) of rows (N, M); all rows where the device is no CPU.

    A GPU waits for the host, which starts each kernel. `meta` stands for a GPU.
    """
    # splitting would copy every gradient, and an exported model serves any number of tokens
    whole = rows[0].device.type != "cpu" or torch.compiler.is_exporting()
    if whole or rows[0].shape[0] <= TOKENS_AT_A_TIME:
        return iter([tuple(rows)])
    return zip(*(tensor.split(TOKENS_AT_A_TIME) for tensor in rows), strict=True)


def _projected(kind: str, module: Any, pass_: Pass, inputs: Tensor) -> Tensor:
    """The projections (N, ...) of an attention module's inputs (B, L, M), by its own modules."""
    with autocast_to(pass_.dtype, inputs):
        return called.projected(kind, module, inputs).to(pass_.dtype).flatten(0, 1)


def _normed_dense(
    norm: nn.LayerNorm, weight: Tensor, tokens: Tensor, bias: Tensor | None = None, lead: int = 0
) -> Tensor:
    result: Tensor = NormedDense.apply(tokens, norm.weight, norm.bias, weight, bias, norm.eps, lead)
    return result


def _add_attention(module: Any, index: int, pass_: Pass, stream: Tensor, outputs: Tensor) -> Tensor:
    """The stream plus the projected outputs (N, H*D) of attention."""
    dropout = pass_.dropout(module.output.dropout, ATTENTION, index)
    if pass_.calls:
        with autocast_to(pass_.dtype, stream):
            by_text = outputs.view(*stream.shape[:2], -1)
            return called.add_outputs(module, stream, by_text, dropout)
    weight = module.output.dense.weight.to(pass_.dtype)
    result: Tensor = DenseAdd.apply(stream.flatten(0, 1), outputs, weight, None, dropout, 1.0)
    return result.view(stream.shape)
