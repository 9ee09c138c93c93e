"""Stock transformers' Reformer, made to obey a seed."""

from functools import partial
from math import prod
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from transformers import ReformerConfig
from transformers.models.reformer import modeling_reformer

from reformer_seqlen.reformer.configuration import check_settings
from reformer_seqlen.reformer.draws import mixed_seed
from reformer_seqlen.reformer.hashing import rotation_seed
from reformer_seqlen.reformer.inputs import check_texts
from reformer_seqlen.runtime.messages import reformer as messages

Class = TypeVar("Class", bound=type)
PASSES_OF_A_STREAM = 2**32
"""Training passes of a draw are counted from here on in the second stream, and so on."""


def named_as_stock(kind: Class) -> Class:
    """Give a class the name of stock's.

    Trainer, pipelines and others find causal language models by the class's name, and only for
    those does Trainer's label smoothing shift the labels. Checkpoints keep the name, too.
    """
    kind.__name__ = modeling_reformer.ReformerModelWithLMHead.__name__
    return kind


@named_as_stock
class StockReformer(modeling_reformer.ReformerModelWithLMHead):  # type: ignore[misc]
    """Stock transformers' Reformer, whose training obeys a seed. Its arithmetic is untouched.

    Stock draws every layer's dropout seed from the operating system.
    """

    def __init__(self, config: ReformerConfig) -> None:
        check_settings(config)
        super().__init__(config)
        self.loss_type = "ForCausalLM"  # transformers leaves it out, and a warning follows
        self._draw: tuple[int, int] | None = None
        self._forwards = 0
        for layer in self.reformer.encoder.layers:
            layer._init_attention_seed = partial(_draw_seed, layer, "attention_seed")
            layer._init_feed_forward_seed = partial(_draw_seed, layer, "feed_forward_seed")

    def set_hash_draw(self, seed: int, step: int = 0, stream: int = 0) -> None:
        """Choose rotations and dropout masks from here on, as `Reformer.set_hash_draw` does."""
        self._draw, self._forwards = (seed, step), stream * PASSES_OF_A_STREAM
        for index, layer in enumerate(self.reformer.encoder.layers):
            attention = layer.attention.self_attention
            if hasattr(attention, "hash_seed"):
                attention.hash_seed = rotation_seed(seed, step, index)

    def forward(
        self,
        input_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        *,
        labels: Tensor | None = None,
        **options: Any,
    ) -> Any:
        """Stock's forward pass, from a known state of the global generator in training.

        Args:
            input_ids: (B, L).
            position_ids: (B, L).
            attention_mask: (B, L), 0 where a token is padding.
            inputs_embeds: (B, L, M) instead of input_ids.
            labels: (B, L) as input_ids; -100 where nothing is scored.
            options: stock's other arguments.

        Raises:
            StudyError: there are no tokens, or axial positions are trained at another length than
                their whole table.
        """
        length = check_texts(input_ids, inputs_embeds)
        if self.training and self.config.axial_pos_embds:
            whole = prod(self.config.axial_pos_shape)
            if length != whole:
                raise messages.stock_length(length, whole)
        if self.training and self._draw is not None:
            self._forwards += 1
            torch.manual_seed(mixed_seed(*self._draw, self._forwards))
        return super().forward(
            input_ids,
            position_ids=position_ids,
            attention_mask=attention_mask,
            inputs_embeds=inputs_embeds,
            labels=labels,
            **options,
        )


def _draw_seed(layer: nn.Module, name: str) -> None:
    """Stand in for the methods of stock's layers that call torch.seed()."""
    seed = int(torch.randint(2**62, ()).item())
    setattr(layer, name, seed)
    torch.manual_seed(seed)
