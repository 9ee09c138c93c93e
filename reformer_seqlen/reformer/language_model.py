"""The Reformer language model: stock transformers' weights, our own arithmetic.

`Reformer` is transformers' `ReformerModelWithLMHead` with another forward pass: its modules only
hold the weights, so each loads the other's checkpoints. Read `Reformer.forward` first, then `plan`,
`embedding`, `streams` and `layers`, which it calls; then `hash_order` (which tokens attend to
which) and `hashing` (how buckets are computed).

Shapes: B batch, L length, L' length padded to whole chunks, M hidden size, V vocabulary.
"""

from collections.abc import Mapping
from typing import Any, get_args

import torch
from torch import Tensor, nn
from transformers import GenerationMixin, ReformerConfig
from transformers import initialization as init
from transformers.models.reformer import modeling_reformer as stock

from reformer_seqlen.reformer import called
from reformer_seqlen.reformer.activations import Reversible, recomputes
from reformer_seqlen.reformer.configuration import check_configuration, option
from reformer_seqlen.reformer.draws import Seed, seed_of
from reformer_seqlen.reformer.embedding import embed, embed_newest
from reformer_seqlen.reformer.generation import GenerationCache
from reformer_seqlen.reformer.hash_order import Causality
from reformer_seqlen.reformer.inputs import arranged, check_texts
from reformer_seqlen.reformer.layers import Pass, kinds_and_layers
from reformer_seqlen.reformer.plan import plan_pass
from reformer_seqlen.reformer.precision import product_dtype, without_autocast
from reformer_seqlen.reformer.side_by_side import compute_side_by_side, parts_of
from reformer_seqlen.reformer.step import next_streams
from reformer_seqlen.reformer.stock import PASSES_OF_A_STREAM, named_as_stock
from reformer_seqlen.reformer.streams import head_logits, through_layers
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

    def set_hash_draw(self, seed: int, step: int = 0, stream: int = 0) -> None:
        """Choose rotations and dropout masks from here on: pure functions of these numbers.

        Every training pass after this has dropout masks of its own, which depend on torch's number
        of threads, too. Without a call the rotations are those of (hash_seed or 0, 0), and dropout
        obeys torch's global generator.

        Args:
            seed: of both.
            step: such as an update.
            stream: of dropout masks alone, such as a process that computes a part of the update.
        """
        self._draw = torch.tensor([seed, step, stream * PASSES_OF_A_STREAM], device="cpu")

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
                pass_ = plan_pass(
                    self,
                    texts,
                    dtype,
                    causality=self.causality,
                    rotation_draw=self._rotation_draw(),
                    use_cache=use_cache,
                    hidden_states=hidden_states,
                )
                if self.training:
                    pass_ = pass_._replace(dropout_seed=self._dropout_seed())
                embedded = embed(self.reformer.embeddings, pass_, texts)
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
            streams = through_layers(self, part_run, part, recompute)
            first, second = (part_run.as_given(stream)[:, chosen] for stream in streams)
            return head_logits(self, part_run, first, second)

        whole = fills or pass_.calls  # so that hooks see whole batches, once
        parts = [slice(None)] if whole else parts_of(batch, tokens, embedded.device)
        used = [*self.reformer.encoder.parameters(), *self.lm_head.parameters()]
        return compute_side_by_side(part_logits, parts, [embedded], used)

    def _step(
        self, cache: GenerationCache, words: Tensor, dtype: torch.dtype,
        hidden_states: list[Tensor] | None,
    ) -> Tensor:  # fmt: skip
        """Logits (B, 1, V) of the newest token."""
        if words.shape[1] != 1 or self.training:
            raise messages.several_tokens(words.shape[1])
        cache.begin_token()
        embedded = embed_newest(self.reformer.embeddings, cache, words)
        calls = called.calls_modules(self)
        pass_ = Pass(dtype, calls, 1, cache.rules, hidden_states=hidden_states)
        streams = next_streams(kinds_and_layers(self), pass_, cache, embedded)
        return head_logits(self, pass_, *streams)


ReformerModelWithLMHead = Reformer
"""PEFT's AutoPeftModel looks here for an adapter's base class, by the class's name."""


def _refuse_beside_cache(*of_first_pass: Tensor | None) -> None:
    if any(tensor is not None for tensor in of_first_pass):
        raise messages.beside_cache()
