"""The Reformer language model: stock transformers' weights, our own arithmetic.

`Reformer` is transformers' `ReformerModelWithLMHead` with another forward pass: its modules only
hold the weights, so each loads the other's checkpoints. Read `Reformer.forward` first, then
`layers`, `hash_order` (which tokens attend to which) and `hashing` (how buckets are computed).

Shapes: B batch, L length, L' length padded to whole chunks, M hidden size, V vocabulary.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from math import lcm
from typing import Any, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import ReformerConfig
from transformers import initialization as init
from transformers.models.reformer.modeling_reformer import (
    ReformerModelWithLMHead,
    ReformerModelWithLMHeadOutput,
    ReformerOnlyLMHead,
)

from reformer_seqlen.reformer.activations import Reversible, recomputes
from reformer_seqlen.reformer.axial_positions import (
    check_length,
    check_positions,
    drop_positions,
    drop_positions_at,
    embeddings_at,
    prefix_embeddings,
)
from reformer_seqlen.reformer.chunked_attention import local_bias
from reformer_seqlen.reformer.configuration import check_configuration, option, refuse_wrapping
from reformer_seqlen.reformer.draws import Seed, seed_of
from reformer_seqlen.reformer.dropout import dropped_
from reformer_seqlen.reformer.generation import GenerationCache, local_step, lsh_step
from reformer_seqlen.reformer.hash_order import Causality
from reformer_seqlen.reformer.hashing import (
    bucket_factors,
    draw_rotations,
    recommended_buckets,
)
from reformer_seqlen.reformer.layers import (
    HEAD,
    POSITIONS,
    WORDS,
    Pass,
    add_feed_forward,
    add_local_attention,
    add_lsh_attention,
    geometry_of,
    local_weight,
    lsh_weight,
    token_parts,
)
from reformer_seqlen.reformer.precision import product_dtype, without_autocast
from reformer_seqlen.reformer.reversible import ReversibleLayer, run_layers
from reformer_seqlen.reformer.side_by_side import compute_side_by_side, parts_of
from reformer_seqlen.reformer.stock import save_as_stock
from reformer_seqlen.runtime.messages import reformer as messages

LOSS_OPTIONS = {"num_items_in_batch", "ignore_index", "shift_labels"}
OLD_NAMES = {r"^lm_head\.decoder\.bias$": "lm_head.bias"}


class Reformer(ReformerModelWithLMHead):  # type: ignore[misc]
    """transformers' Reformer: reproducible, at any length, strictly causal and much faster.

    Its configuration may have, beside stock's settings:

    - lsh_causality: strict (the default) or published, see `hash_order`;
    - lsh_num_buckets: a number or its factors; without it stock's num_buckets under `published`,
      and those that each text's length recommends under `strict`, so that a prefix alone may hash
      otherwise than in a longer text (`load_reformer` always sets it);
    - reversible: on recomputes activations in the backward pass, off keeps them, auto (the
      default) keeps them if they fit into half of the total memory.
    """

    def __init__(self, config: ReformerConfig) -> None:
        self.causality: Causality = option(config, "lsh_causality", get_args(Causality), "strict")
        self.reversible: Reversible = option(config, "reversible", get_args(Reversible), "auto")
        check_configuration(config, self.causality)
        super().__init__(config)
        self.loss_type = "ForCausalLM"  # transformers leaves it out, and a warning follows
        self._draw: Tensor | None = None  # seed, step and training passes since

    def set_hash_draw(self, seed: int, step: int = 0) -> None:
        """Choose rotations and dropout masks from here on: pure functions of both numbers.

        Every training pass after this has dropout masks of its own, which depend on torch's number
        of threads, too. Without a call the rotations are those of (hash_seed or 0, 0), and dropout
        obeys torch's global generator.
        """
        self._draw = torch.tensor([seed, step, 0], device="cpu")

    def forward(
        self,
        input_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        past_buckets_states: GenerationCache | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
        labels: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
        **loss_options: Any,
    ) -> Any:
        """Logits (B, L, V) in float32 of input_ids (B, L), as stock's output type.

        Args:
            input_ids: with a cache (B, 1), the newest token.
            position_ids: (B, L), if they are not 0, 1, 2, ...
            attention_mask: (B, L), 0 where a token is padding.
            inputs_embeds: (B, L, M) instead of input_ids.
            past_buckets_states: the cache of an earlier pass.
            use_cache: fill a cache; only in evaluation and if strictly causal, since otherwise
                what a token attends to changes with what comes later.
            output_hidden_states: refused, as nothing here needs them.
            output_attentions: likewise.
            return_dict: False for a tuple.
            labels: (B, L) as input_ids, shifted here; -100 where nothing is scored.
            logits_to_keep: how many of the last positions are wanted, or which; 0 for all.
            loss_options: num_items_in_batch, ignore_index or shift_labels, for the loss.

        Raises:
            StudyError: an argument is unknown, or stock's but not supported here.
        """
        _refuse_outputs(bool(output_hidden_states or output_attentions), loss_options)
        words = self._embed_words(input_ids, inputs_embeds)
        dtype, cache = product_dtype(words), past_buckets_states
        with without_autocast(words.device):
            if cache is None:
                pass_ = self._plan(words, attention_mask, dtype, use_cache)
                embedded = self._embed(pass_, words, position_ids)
                logits = self._logits(pass_, embedded, words.shape[1], logits_to_keep)
                cache = pass_.cache
            else:
                _refuse_beside_cache(position_ids, attention_mask)
                streams = self._step(cache, words, dtype)
                logits = self._head(None, dtype, streams, words.shape[1], logits_to_keep)
        loss = None
        if labels is not None:
            loss = self.loss_function(
                logits=logits, labels=labels, vocab_size=self.config.vocab_size, **loss_options
            )
        output = ReformerModelWithLMHeadOutput(loss=loss, logits=logits, past_buckets_states=cache)
        return output.to_tuple() if return_dict is False else output

    @classmethod
    def from_pretrained(cls, *folder: Any, **options: Any) -> Any:
        """Load what stock or this class saved, also under the output bias's old name."""
        return super().from_pretrained(*folder, **{"key_mapping": OLD_NAMES, **options})

    def set_output_embeddings(self, new_embeddings: nn.Linear) -> None:
        """Take another vocabulary's output layer; the biases of the pieces that stay are kept."""
        bias = self.lm_head.bias
        super().set_output_embeddings(new_embeddings)
        kept = bias.new_zeros(len(new_embeddings.weight))
        kept[: len(bias)] = bias.detach()[: len(kept)]
        self.lm_head.bias = nn.Parameter(kept)

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, ReformerOnlyLMHead):  # stock neither adds nor initialises it
            init.zeros_(module.bias)

    def save_pretrained(self, save_directory: Any, **kwargs: Any) -> None:
        """Save such that stock transformers loads the folder, too."""
        save_as_stock(self, super().save_pretrained, save_directory, **kwargs)

    def prepare_inputs_for_generation(
        self, input_ids: Tensor, past_key_values: GenerationCache | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """What `generate` passes to `forward`: with a cache only the newest token."""
        passed = ("use_cache", "logits_to_keep")
        inputs: dict[str, Any] = {name: kwargs[name] for name in passed if name in kwargs}
        if past_key_values is not None:
            return {
                **inputs,
                "input_ids": input_ids[:, -1:],
                "past_buckets_states": past_key_values,
            }
        return {**inputs, "input_ids": input_ids, "attention_mask": kwargs.get("attention_mask")}

    def _embed_words(self, input_ids: Tensor | None, inputs_embeds: Tensor | None) -> Tensor:
        """Word embeddings (B, L, M)."""
        if (input_ids is None) == (inputs_embeds is None):
            raise messages.no_input()
        if inputs_embeds is not None:
            return inputs_embeds.clone()  # dropout works in place
        words: Tensor = self.reformer.embeddings.word_embeddings(input_ids)
        return words

    def _plan(
        self, words: Tensor, attention_mask: Tensor | None, dtype: torch.dtype,
        use_cache: bool | None,
    ) -> Pass:  # fmt: skip
        """The masks, rotations and seeds of a pass over words (B, L, M), before its layers."""
        config = self.config
        batch, length, _ = words.shape
        chunks = _chunk_lengths(config)
        padded = length + -length % lcm(*chunks)
        if padded != length and self.training:
            raise messages.no_whole_chunks(length, lcm(*chunks))
        if self.causality == "published":
            refuse_wrapping(config, padded)
        real = given = None if attention_mask is None else attention_mask.to(torch.bool)
        if padded != length:
            if real is None:
                real = torch.ones(batch, length, dtype=torch.bool, device=words.device)
            real = F.pad(real, (0, padded - length), value=False)
        like = torch.empty(0, dtype=dtype, device=words.device)
        factors = self._bucket_factors(padded)
        rotations = self._draw_rotations(factors, like)
        caches = (config.use_cache if use_cache is None else use_cache) and not self.training
        strict = self.causality == "strict"
        cache = GenerationCache(length, given, rotations, factors) if caches and strict else None
        # stock pads, too, but not a text of less than the smallest chunk
        stock_length = length if length <= min(chunks) else padded
        return Pass(
            dtype=dtype,
            real=real,
            local_bias=self._local_bias(batch, padded, real, like),
            rotations=rotations,
            factors=factors,
            causality=self.causality,
            unhashed=self.causality == "published" and stock_length <= config.lsh_attn_chunk_length,
            dropout_seed=self._dropout_seed() if self.training else None,
            cache=cache,
        )

    def _dropout_seed(self) -> Seed:
        """The seed of the next training pass's masks."""
        if self._draw is None:
            return seed_of(torch.randint(2**62, (1,), device="cpu"))
        self._draw[2] += 1
        return seed_of(self._draw)

    def _bucket_factors(self, length: int) -> tuple[int, ...]:
        config = self.config
        chosen = getattr(config, "lsh_num_buckets", None)
        if chosen is None and self.causality == "published":
            chosen = config.num_buckets
        if chosen is None:
            return recommended_buckets(length, config.lsh_attn_chunk_length)
        return bucket_factors(chosen)

    def _draw_rotations(self, factors: tuple[int, ...], like: Tensor) -> dict[int, Tensor]:
        config = self.config
        draw = self._draw
        if draw is None:
            draw = torch.tensor([config.hash_seed or 0, 0], device="cpu")
        shape = (
            config.num_attention_heads,
            config.attention_head_size,
            config.num_hashes,
            sum(factors) // 2,
        )
        return {
            index: draw_rotations(seed_of(draw[:2], index), shape, like)
            for index, kind in enumerate(config.attn_layers)
            if kind == "lsh"
        }

    def _local_bias(
        self, batch: int, length: int, real: Tensor | None, like: Tensor
    ) -> Tensor | None:
        for kind, layer in self._layers():
            if kind == "local":
                geometry = geometry_of(layer.attention.self_attention, batch, length)
                return local_bias(geometry, real, like)
        return None

    def _layers(self) -> Iterator[tuple[str, Any]]:
        return zip(self.config.attn_layers, self.reformer.encoder.layers, strict=True)

    def _embed(self, pass_: Pass, words: Tensor, position_ids: Tensor | None) -> Tensor:
        """Words (B, L, M) and positions with dropout, padded to (B, L', M)."""
        embeddings = self.reformer.embeddings
        tables = embeddings.position_embeddings
        batch, length, _ = words.shape
        if position_ids is None:
            check_length(tables, length)
            positions = prefix_embeddings(tables, length)
            dropout = pass_.dropout(tables.dropout, POSITIONS)
            positions = drop_positions(tables, positions, batch, dropout)
        else:
            check_positions(tables, position_ids)
            positions = embeddings_at(tables, position_ids)
            dropout = pass_.dropout(tables.dropout, POSITIONS)
            positions = drop_positions_at(tables, positions, position_ids, dropout)
        dropout = pass_.dropout(embeddings.dropout, WORDS)
        embedded = dropped_(words, dropout) + positions
        missing = 0 if pass_.real is None else pass_.real.shape[1] - length
        return F.pad(embedded, (0, 0, 0, missing)) if missing else embedded

    def _logits(
        self, pass_: Pass, embedded: Tensor, length: int, logits_to_keep: int | Tensor
    ) -> Tensor:
        """Logits (B, L, V) of embedded (B, L', M), with a thread for each part of the batch."""
        batch, tokens, _ = embedded.shape
        recompute = (
            torch.is_grad_enabled()
            and pass_.cache is None  # recomputing would fill it twice
            and recomputes(self.reversible, self.config, batch * tokens, embedded.device)
        )

        def part_logits(number: int, texts: slice, part: Tensor) -> Tensor:
            part_run = pass_.part(number, texts)
            streams = self._run_layers(part_run, part, recompute)
            return self._head(part_run, pass_.dtype, streams, length, logits_to_keep)

        parts = [slice(None)]  # a cache holds the whole batch
        if pass_.cache is None:
            parts = parts_of(batch, tokens, embedded.device)
        used = [*self.reformer.encoder.parameters(), *self.lm_head.parameters()]
        return compute_side_by_side(part_logits, parts, [embedded], used)

    def _run_layers(self, pass_: Pass, embedded: Tensor, recompute: bool) -> tuple[Tensor, Tensor]:
        """Both streams (B, L', M) after all layers."""
        layers = []
        for index, (kind, layer) in enumerate(self._layers()):
            kept: list[Tensor] = []  # buckets
            attention = (
                partial(add_lsh_attention, layer.attention, index, pass_, kept)
                if kind == "lsh"
                else partial(add_local_attention, layer.attention, index, pass_)
            )
            layers.append(
                ReversibleLayer(
                    attention,
                    partial(add_feed_forward, layer.feed_forward, index, pass_),
                    tuple(layer.attention.parameters()),
                    tuple(layer.feed_forward.parameters()),
                )
            )
        if recompute:
            streams: tuple[Tensor, Tensor] = run_layers(layers, embedded)
            return streams
        first = second = embedded
        for reversible in layers:
            first = reversible.add_attention(first, second)
            second = reversible.add_feed_forward(second, first)
        return first, second

    def _step(
        self, cache: GenerationCache, words: Tensor, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """Both streams (B, 1, M) of the newest token."""
        if words.shape[1] != 1 or self.training:
            raise messages.several_tokens(words.shape[1])
        tables = self.reformer.embeddings.position_embeddings
        check_length(tables, cache.length + 1)
        position = torch.tensor([cache.length], device=words.device)
        first = second = words[:, 0] + embeddings_at(tables, position)  # B M
        for index, (kind, layer) in enumerate(self._layers()):
            module = layer.attention
            attention = module.self_attention
            weight, step = (
                (lsh_weight(attention), lsh_step)
                if kind == "lsh"
                else (local_weight(attention), local_step)
            )
            projected = F.linear(module.layer_norm(second).to(dtype), weight.to(dtype))
            outputs = step(cache, index, projected, attention)
            first = first + F.linear(outputs, module.output.dense.weight.to(dtype))
            second = second + self._feed_forward_step(layer.feed_forward, first, dtype)
        cache.advance()
        return first.unsqueeze(1), second.unsqueeze(1)

    def _feed_forward_step(self, module: Any, tokens: Tensor, dtype: torch.dtype) -> Tensor:
        inner, outer = module.dense.dense, module.output.dense
        hidden = F.linear(
            module.layer_norm(tokens).to(dtype), inner.weight.to(dtype), inner.bias.to(dtype)
        )
        return F.linear(hidden.relu_(), outer.weight.to(dtype), outer.bias.to(dtype))

    def _head(
        self, pass_: Pass | None, dtype: torch.dtype, streams: tuple[Tensor, Tensor], length: int,
        logits_to_keep: int | Tensor,
    ) -> Tensor:  # fmt: skip
        """Logits (B, L, V) of streams (B, L', M)."""
        encoder, head = self.reformer.encoder, self.lm_head
        keep = logits_to_keep
        chosen = slice(-keep, None) if isinstance(keep, int) else keep
        parts = []
        hidden = [stream[:, :length][:, chosen] for stream in streams]
        kept = hidden[0].shape[1]
        for number, both in enumerate(token_parts(*(part.flatten(0, 1) for part in hidden))):
            normed = encoder.layer_norm(torch.cat(both, dim=-1))
            if pass_ is not None:
                normed = dropped_(normed, pass_.dropout(encoder.dropout, HEAD, number))
            logits = F.linear(normed.to(dtype), head.decoder.weight.to(dtype))
            parts.append(logits.float() + head.bias)
        flat_logits = torch.cat(parts) if len(parts) > 1 else parts[0]
        result: Tensor = flat_logits.unflatten(0, (-1, kept))
        return result


def _refuse_outputs(inner: bool, loss_options: Mapping[str, Any]) -> None:
    if inner:
        raise messages.nothing_kept()
    unknown = sorted(loss_options.keys() - LOSS_OPTIONS)
    if unknown:
        raise messages.unknown_arguments(unknown)


def _refuse_beside_cache(*of_first_pass: Tensor | None) -> None:
    if any(tensor is not None for tensor in of_first_pass):
        raise messages.beside_cache()


def _chunk_lengths(config: ReformerConfig) -> list[int]:
    kinds = sorted(set(config.attn_layers))
    return [getattr(config, f"{kind}_attn_chunk_length") for kind in kinds]
