"""Stock transformers' Reformer, made to obey a seed."""

from functools import partial
from math import prod
from typing import Any

import torch
from torch import nn
from transformers import ReformerConfig
from transformers.models.reformer.modeling_reformer import ReformerModelWithLMHead

from reformer_seqlen.reformer.draws import mixed_seed
from reformer_seqlen.reformer.hashing import rotation_seed
from reformer_seqlen.runtime.messages import reformer as messages


class StockReformer(ReformerModelWithLMHead):  # type: ignore[misc]
    """Stock transformers' Reformer, whose training obeys a seed. Its arithmetic is untouched.

    Stock draws every layer's dropout seed from the operating system.
    """

    def __init__(self, config: ReformerConfig) -> None:
        super().__init__(config)
        self.loss_type = "ForCausalLM"  # transformers leaves it out, and a warning follows
        self._draw: tuple[int, int] | None = None
        self._forwards = 0
        for layer in self.reformer.encoder.layers:
            layer._init_attention_seed = partial(_draw_seed, layer, "attention_seed")
            layer._init_feed_forward_seed = partial(_draw_seed, layer, "feed_forward_seed")

    def set_hash_draw(self, seed: int, step: int = 0) -> None:
        """Choose rotations and dropout masks from here on: pure functions of both numbers."""
        self._draw, self._forwards = (seed, step), 0
        for index, layer in enumerate(self.reformer.encoder.layers):
            attention = layer.attention.self_attention
            if hasattr(attention, "hash_seed"):
                attention.hash_seed = rotation_seed(seed, step, index)

    def forward(self, input_ids: torch.Tensor | None = None, **kwargs: Any) -> Any:
        """Stock's forward pass, from a known state of the global generator in training.

        Raises:
            StudyError: axial positions are trained at another length than their whole table.
        """
        config = self.config
        if self.training and config.axial_pos_embds and input_ids is not None:
            whole = prod(config.axial_pos_shape)
            if input_ids.shape[1] != whole:
                raise messages.stock_length(input_ids.shape[1], whole)
        if self.training and self._draw is not None:
            self._forwards += 1
            torch.manual_seed(mixed_seed(*self._draw, self._forwards))
        return super().forward(input_ids, **kwargs)

    def save_pretrained(self, save_directory: Any, **kwargs: Any) -> None:
        """Save under the name of stock's class."""
        save_as_stock(self, super().save_pretrained, save_directory, **kwargs)


def _draw_seed(layer: nn.Module, name: str) -> None:
    """Stand in for the methods of stock's layers that call torch.seed()."""
    seed = int(torch.randint(2**62, ()).item())
    setattr(layer, name, seed)
    torch.manual_seed(seed)


def save_as_stock(model: Any, save: Any, folder: Any, **kwargs: Any) -> None:
    """Save a model such that stock transformers loads the folder: under its class's name."""
    save(folder, **kwargs)
    model.config.architectures = [ReformerModelWithLMHead.__name__]
    model.config.save_pretrained(folder)
