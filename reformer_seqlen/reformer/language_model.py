"""The Reformer language model: stock transformers' weights, our own arithmetic.

`Reformer` is transformers' `ReformerModelWithLMHead` with another forward pass: its modules only
hold the weights, so each loads the other's checkpoints. Read `Reformer.forward` first, then
`layers`, `hash_order` (which tokens attend to which) and `hashing` (how buckets are computed).

Shapes: B batch, L length, L' length padded to whole chunks, M hidden size, V vocabulary.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from transformers import GenerationMixin, ReformerConfig
from transformers import initialization as init
from transformers.models.reformer import modeling_reformer as stock

from reformer_seqlen.reformer import called
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
from reformer_seqlen.reformer.generation import GenerationCache
from reformer_seqlen.reformer.hash_order import Causality
from reformer_seqlen.reformer.hash_rules import chunk_lengths, hash_rules, whole_chunks
from reformer_seqlen.reformer.inputs import Texts, arranged, check_texts
from reformer_seqlen.reformer.layers import (
    HEAD,
    POSITIONS,
    WORDS,
    Pass,
    add_feed_forward,
    add_local_attention,
    add_lsh_attention,
    geometry_of,
    token_parts,
)
from reformer_seqlen.reformer.precision import autocast_to, product_dtype, without_autocast
from reformer_seqlen.reformer.reversible import AddBranch, ReversibleLayer, run_layers
from reformer_seqlen.reformer.side_by_side import compute_side_by_side, parts_of
from reformer_seqlen.reformer.step import next_streams
from reformer_seqlen.reformer.stock import named_as_stock
from reformer_seqlen.runtime.messages import reformer as messages

LOSS_OPTIONS = {"num_items_in_batch", "ignore_index", "shift_labels"}
OLD_NAMES = {r"^lm_head\.decoder\.bias$": "lm_head.bias"}


@named_as_stock
class Reformer(stock.ReformerModelWithLMHead):  # type: ignore[misc]
    """transformers' Reformer: reproducible, at any length, strictly causal and much faster.

    Its configuration may have, beside stock's settings:

    - lsh_causality: strict (the default) or published, see `hash_order`;
    - lsh_num_buckets: a number or its factors; without it stock's num_buckets under `published`,
      and those that each text's length recommends under `strict`, so that a prefix alone may hash
      otherwise than in a longer text (`load_reformer` always sets it);
    - reversible: on recomputes activations in the backward pass, off keeps them, auto (the
      default) keeps them if they fit into half of the total memory.

    Adapters (PEFT), hooks, pruning, parametrizations, quantization and offloading of its linear
    layers, norms and embeddings are heeded, at the cost of speed: see `called`. Of the modules that
    hold those, they are refused.

    torch.compile makes one graph of a pass. torch.export takes evaluation, with any number of texts
    if that is marked as dynamic, and with any length of whole chunks if the model has neither axial
    positions nor strict lsh layers, which choose a table's columns and their chunks by the length.
    It can't take:

    - training: seeds become constants, and every call would drop the same numbers;
    - use_cache: a `GenerationCache` is no type that torch.export gives back;
    - attention_mask and position_ids together, unless lsh_num_buckets is set: the number of buckets
      then depends on what the mask holds.
    """

    def __init__(self, config: ReformerConfig) -> None:
        self.causality: Causality = option(config, "lsh_causality", get_args(Causality), "strict")
        self.reversible: Reversible = option(config, "reversible", get_args(Reversible), "auto")
        check_configuration(config, self.causality)
        super(stock.ReformerModelWithLMHead, self).__init__(config)
        self.reformer = stock.ReformerModel(config)
        self.lm_head = called.OutputLayer(config)
        self.post_init()
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
            position_ids: (B, L), or (1, L) for all texts, if they are not 0, 1, 2, ...
            attention_mask: likewise, 0 where a token is padding. With position_ids, too, a text
                gets the logits that it has alone, wherever its padding is (if strictly causal).
            inputs_embeds: (B, L, M) instead of input_ids.
            past_buckets_states: the cache of an earlier pass.
            use_cache: fill a cache; only in evaluation and if strictly causal, since otherwise
                what a token attends to changes with what comes later.
            output_hidden_states: give the second stream before and after each layer, too.
            output_attentions: refused, since hashed attention is never laid out by position.
            return_dict: False for a tuple.
            labels: (B, L) as input_ids, shifted here; -100 where nothing is scored.
            logits_to_keep: how many of the last positions are wanted, or which; 0 for all.
            loss_options: num_items_in_batch, ignore_index or shift_labels, for the loss.

        Raises:
            StudyError: an argument is unknown, or stock's but not supported here.
        """
        self._refuse(output_attentions, loss_options)
        check_texts(input_ids, inputs_embeds)
        hidden_states: list[Tensor] | None = (
            [] if self._wants_hidden(output_hidden_states) else None
        )
        words = self._embed_words(input_ids, inputs_embeds)
        dtype, cache = product_dtype(words), past_buckets_states
        with without_autocast(words.device):
            if cache is None:
                texts = arranged(words, attention_mask, position_ids)
                pass_ = self._plan(texts, dtype, use_cache, hidden_states)
                embedded = self._embed(pass_, texts)
                logits = self._logits(pass_, embedded, logits_to_keep)
                cache = pass_.cache
            else:
                _refuse_beside_cache(position_ids, attention_mask)
                logits = self._step(cache, words, dtype, hidden_states)
        loss = None
        if labels is not None:
            loss = self.loss_function(
                logits=logits, labels=labels, vocab_size=self.config.vocab_size, **loss_options
            )
        output = stock.ReformerModelWithLMHeadOutput(
            loss=loss,
            logits=logits,
            past_buckets_states=cache,
            hidden_states=None if hidden_states is None else tuple(hidden_states),
        )
        as_dict = self.config.return_dict if return_dict is None else return_dict
        return output if as_dict else output.to_tuple()

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
        if isinstance(module, called.OutputLayer):  # stock neither adds nor initialises it
            init.zeros_(module.bias)

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        past_key_values: GenerationCache | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """What `generate` passes to `forward`: with a cache only the newest token."""
        internal = ("next_sequence_length", "is_first_iteration")
        inputs = {name: value for name, value in options.items() if name not in internal}
        if past_key_values is not None:
            newest = input_ids[:, -1:]
            return {**inputs, "input_ids": newest, "past_buckets_states": past_key_values}
        return {
            **inputs,
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "position_ids": position_ids,
        }

    # Stock's gives no positions, and padding on the left then shifts those of a text.
    _prepare_position_ids_for_generation = GenerationMixin._prepare_position_ids_for_generation

    def _refuse(self, output_attentions: bool | None, options: Mapping[str, Any]) -> None:
        if self.config.output_attentions if output_attentions is None else output_attentions:
            raise messages.no_attentions()
        unknown = sorted(options.keys() - LOSS_OPTIONS)
        if unknown:
            raise messages.unknown_arguments(unknown)

    def _wants_hidden(self, output_hidden_states: bool | None) -> bool:
        chosen = output_hidden_states
        return bool(self.config.output_hidden_states if chosen is None else chosen)

    def _embed_words(self, input_ids: Tensor | None, inputs_embeds: Tensor | None) -> Tensor:
        """Word embeddings (B, L, M)."""
        if inputs_embeds is not None:
            return inputs_embeds.clone()  # dropout works in place
        words: Tensor = self.reformer.embeddings.word_embeddings(input_ids)
        return words

    def _plan(
        self, texts: Texts, dtype: torch.dtype, use_cache: bool | None,
        hidden_states: list[Tensor] | None,
    ) -> Pass:  # fmt: skip
        """The masks, rotations and seeds of a pass, before its layers."""
        config, words, real = self.config, texts.words, texts.real
        batch, length, _ = words.shape
        padded = whole_chunks(length, config)
        if self.training and torch.compiler.is_exporting():
            raise messages.exported_training()
        if padded != length and self.training:
            raise messages.no_whole_chunks(length, whole_chunks(1, config))
        if self.causality == "published":
            refuse_wrapping(config, padded)
        if padded != length:
            if real is None:
                real = torch.ones(batch, length, dtype=torch.bool, device=words.device)
            real = F.pad(real, (0, padded - length), value=False)
        like = torch.empty(0, dtype=dtype, device=words.device)
        rules = hash_rules(config, self.causality, self._rotation_draw(), texts, real, like)
        caches = use_cache and not self.training and self.causality == "strict"
        return Pass(
            dtype=dtype,
            calls=called.calls_modules(self),
            length=length,
            real=real,
            back=texts.back,
            local_bias=self._local_bias(batch, padded, real, like),
            rules=rules,
            unhashed=self._is_unhashed(length, padded),
            dropout_seed=self._dropout_seed() if self.training else None,
            cache=GenerationCache(texts, rules) if caches else None,
            hidden_states=hidden_states,
        )

    def _is_unhashed(self, length: int, padded: int) -> bool:
        """Whether stock would hash no text, because it is of one chunk."""
        config = self.config
        if self.causality == "strict" or "lsh" not in config.attn_layers:
            return False
        # stock pads, too, but not a text of less than the smallest chunk
        stock_length = length if length <= min(chunk_lengths(config)) else padded
        return bool(stock_length <= config.lsh_attn_chunk_length)

    def _rotation_draw(self) -> Tensor:
        """Seed and step of the rotations."""
        if self._draw is None:
            return torch.tensor([self.config.hash_seed or 0, 0], device="cpu")
        return self._draw[:2]

    def _dropout_seed(self) -> Seed:
        """The seed of the next training pass's masks."""
        if self._draw is None:
            return seed_of(torch.randint(2**62, (1,), device="cpu"))
        self._draw[2] += 1
        return seed_of(self._draw)

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

    def _embed(self, pass_: Pass, texts: Texts) -> Tensor:
        """Words and positions with dropout, padded to (B, L', M)."""
        embeddings = self.reformer.embeddings
        tables = embeddings.position_embeddings
        words, position_ids = texts.words, texts.positions
        batch, length, _ = words.shape
        if pass_.calls:
            words = words.clone()  # a hook may have kept them, and dropout works in place
        if position_ids is None:
            check_length(tables, length)
            positions = (
                embeddings_at(tables, torch.arange(length, device=words.device))
                if pass_.calls
                else prefix_embeddings(tables, length)
            )
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

    def _logits(self, pass_: Pass, embedded: Tensor, logits_to_keep: int | Tensor) -> Tensor:
        """Logits (B, L, V) of embedded (B, L', M), with a thread for each part of the batch."""
        batch, tokens, _ = embedded.shape
        # both are of the whole batch, and computing layers again would fill them twice
        fills = pass_.cache is not None or pass_.hidden_states is not None
        recompute = (
            torch.is_grad_enabled()
            and not fills
            and recomputes(self.reversible, self.config, batch * tokens, embedded.device)
        )

        keep = logits_to_keep
        chosen = slice(-keep, None) if isinstance(keep, int) else keep

        def part_logits(number: int, texts: slice, part: Tensor) -> Tensor:
            part_run = pass_.part(number, texts)
            streams = self._run_layers(part_run, part, recompute)
            first, second = (part_run.as_given(stream)[:, chosen] for stream in streams)
            return self._head(part_run, first, second)

        whole = fills or pass_.calls  # so that hooks see whole batches, once
        parts = [slice(None)] if whole else parts_of(batch, tokens, embedded.device)
        used = [*self.reformer.encoder.parameters(), *self.lm_head.parameters()]
        return compute_side_by_side(part_logits, parts, [embedded], used)

    def _run_layers(self, pass_: Pass, embedded: Tensor, recompute: bool) -> tuple[Tensor, Tensor]:
        """Both streams (B, L', M) after all layers."""
        layers = [
            _with_branches(index, kind, layer, pass_)
            for index, (kind, layer) in enumerate(self._layers())
        ]
        if recompute and not pass_.calls:
            streams: tuple[Tensor, Tensor] = run_layers(layers, embedded)
            return streams

        def add(add_branch: AddBranch, stream: Tensor, inputs: Tensor) -> Tensor:
            if recompute:
                added: Tensor = checkpoint(add_branch, stream, inputs, use_reentrant=False)
                return added
            return add_branch(stream, inputs)

        first = second = embedded
        pass_.keep(second)
        for layer in layers:
            first = add(layer.add_attention, first, second)
            second = add(layer.add_feed_forward, second, first)
            pass_.keep(second)
        return first, second

    def _step(
        self, cache: GenerationCache, words: Tensor, dtype: torch.dtype,
        hidden_states: list[Tensor] | None,
    ) -> Tensor:  # fmt: skip
        """Logits (B, 1, V) of the newest token."""
        if words.shape[1] != 1 or self.training:
            raise messages.several_tokens(words.shape[1])
        cache.begin_token()
        tables = self.reformer.embeddings.position_embeddings
        if cache.position is None:
            check_length(tables, cache.length)
            position = torch.tensor([cache.length - 1], device=words.device)
        else:
            check_positions(tables, cache.position)
            position = cache.position
        embedded = words[:, 0] + embeddings_at(tables, position)  # B M
        calls = called.calls_modules(self)
        pass_ = Pass(dtype, calls, 1, cache.rules, hidden_states=hidden_states)
        streams = next_streams(self._layers(), pass_, cache, embedded)
        return self._head(pass_, *streams)

    def _head(self, pass_: Pass, first: Tensor, second: Tensor) -> Tensor:
        """Logits (B, L, V) of both streams (B, L, M)."""
        encoder, head, dtype = self.reformer.encoder, self.lm_head, pass_.dtype
        if pass_.calls:
            with autocast_to(dtype, first):
                normed = encoder.layer_norm(torch.cat([first, second], dim=-1))
                normed = called.dropped(normed, pass_.dropout(encoder.dropout, HEAD, 0))
                logits: Tensor = head(normed)
                return logits.float()
        parts = []
        for number, both in enumerate(token_parts(first.flatten(0, 1), second.flatten(0, 1))):
            normed = encoder.layer_norm(torch.cat(both, dim=-1))
            normed = dropped_(normed, pass_.dropout(encoder.dropout, HEAD, number))
            logits = F.linear(normed.to(dtype), head.decoder.weight.to(dtype))
            parts.append(logits.float() + head.bias)
        flat_logits = torch.cat(parts) if len(parts) > 1 else parts[0]
        by_text: Tensor = flat_logits.unflatten(0, first.shape[:2])
        return by_text


ReformerModelWithLMHead = Reformer
"""PEFT's AutoPeftModel looks here for an adapter's base class, by the class's name."""


def _with_branches(index: int, kind: str, layer: Any, pass_: Pass) -> ReversibleLayer:
    kept: list[Tensor] = []  # buckets
    attention = (
        partial(add_lsh_attention, layer.attention, index, pass_, kept)
        if kind == "lsh"
        else partial(add_local_attention, layer.attention, index, pass_)
    )
    return ReversibleLayer(
        attention,
        partial(add_feed_forward, layer.feed_forward, index, pass_),
        tuple(layer.attention.parameters()),
        tuple(layer.feed_forward.parameters()),
    )


def _refuse_beside_cache(*of_first_pass: Tensor | None) -> None:
    if any(tensor is not None for tensor in of_first_pass):
        raise messages.beside_cache()
