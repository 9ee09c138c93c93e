"""The texts of a pass: their shapes are checked, and padding is moved out of the way.

Shapes: B batch, L length, M hidden size.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from reformer_seqlen.runtime.messages import reformer as messages


class Texts(NamedTuple):
    """What a pass is about."""

    words: Tensor  # (B, L, M)
    real: Tensor | None  # (B, L), False where a token is padding
    positions: Tensor | None  # (B, L); None for 0, 1, 2, ...
    back: Tensor | None  # (B, L), where each token is now; None where none was moved


def check_texts(input_ids: Tensor | None, inputs_embeds: Tensor | None) -> int:
    """The length of texts; refuse all but ids (B, L) or vectors (B, L, M), with tokens in them."""
    if (input_ids is None) == (inputs_embeds is None):
        raise messages.no_input()
    for name, given, axes in (("input_ids", input_ids, 2), ("inputs_embeds", inputs_embeds, 3)):
        if given is not None and (given.ndim != axes or not all(given.shape)):
            raise messages.no_texts(name, tuple(given.shape))
    texts = input_ids if inputs_embeds is None else inputs_embeds
    assert texts is not None
    return texts.shape[1]


def arranged(words: Tensor, attention_mask: Tensor | None, position_ids: Tensor | None) -> Texts:
    """The texts with mask and positions; with both, padding is moved behind the tokens.

    Windows are cut from the first column on. With padding before it, a text would be cut, and
    would attend, otherwise than alone.
    """
    real = of_each_text("attention_mask", attention_mask, words)
    positions = of_each_text("position_ids", position_ids, words)
    real = None if real is None else real.to(torch.bool)
    if real is None or positions is None:
        return Texts(words, real, positions, None)
    order = torch.sort((~real).to(torch.uint8), dim=1, stable=True).indices
    return Texts(
        reordered(words, order), real.gather(1, order), positions.gather(1, order), order.argsort(1)
    )


def of_each_text(name: str, given: Tensor | None, words: Tensor) -> Tensor | None:
    """A mask or positions (B, L), which may be given once for all texts of words (B, L, M)."""
    batch, length = words.shape[:2]
    if given is None:
        return None
    if given.shape not in ((batch, length), (1, length)):
        raise messages.another_shape(name, tuple(given.shape), (batch, length))
    return given.expand(batch, -1)


def reordered(rows: Tensor, order: Tensor) -> Tensor:
    """Rows (B, L, ...) of each text in an order (B, L)."""
    return torch.take_along_dim(rows, order.view(*order.shape, *[1] * (rows.ndim - 2)), dim=1)
