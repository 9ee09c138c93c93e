"""Generation token by token: a cache of the past, and the attention of one new token to it.

Only for strictly causal attention, where what a token attends to never changes later. A new token
then attends to exactly what it would in a parallel pass over the whole text.

Shapes: B batch, H heads, D head size, R hash rounds, T tokens so far, T' those still in reach.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from reformer_seqlen.reformer.chunked_attention import MASKED, ONLY_ITSELF, Geometry
from reformer_seqlen.reformer.hash_order import HashRule, find_buckets
from reformer_seqlen.reformer.hashed_attention import round_weights, unit_keys
from reformer_seqlen.reformer.inputs import Texts, reordered


class LocalPast(NamedTuple):
    """A local layer's cache, of the tokens that later ones may still attend to."""

    keys: Tensor  # B H T' D
    values: Tensor  # B H T' D


class LshPast(NamedTuple):
    """An lsh layer's cache, of all tokens."""

    keys: Tensor  # B H T D
    values: Tensor  # B H T D
    buckets: Tensor  # B H R T


class GenerationCache:
    """Every layer's cache, and what the next token has to know of its text.

    Attributes:
        length: tokens so far, T.
        rules: of each lsh layer.
        layers: the caches.
        real: (B, T), False where a token is padding; None without padding.
        place: (B, T), of a token in its text alone; None where padding counts, or without.
        position: (B,) of the newest token; None where that is its place.
    """

    def __init__(self, texts: Texts, rules: dict[int, HashRule]) -> None:
        """Make an empty cache for texts, whose lsh layers have these rules."""
        self.length = texts.words.shape[1]
        self.rules = {index: rule._replace(real=None) for index, rule in rules.items()}
        self.layers: list[LocalPast | LshPast] = []
        self._back = texts.back
        self.real, self.place, self.position = texts.real, None, None
        if texts.real is not None and texts.back is not None:
            self.real = reordered(texts.real, texts.back)
            self.place = self.real.cumsum(1) - 1
        if texts.positions is not None:
            self.position = self._placed(texts.positions)[:, -1]

    def fill_local(self, projected: Tensor, geometry: Geometry) -> None:
        """Cache a local layer's projections (B * padded length, 3*H*D) of a parallel pass."""
        parts = projected.view(geometry.batch, -1, 3, geometry.heads, geometry.size)
        _, keys, values = self._placed(parts).permute(2, 0, 3, 1, 4)
        self.layers.append(LocalPast(keys, values))

    def fill_lsh(self, projected: Tensor, buckets: Tensor, geometry: Geometry) -> None:
        """Cache an lsh layer's projections (B * padded length, H*2*D) of a parallel pass."""
        parts = projected.view(geometry.batch, -1, geometry.heads, 2, geometry.size)
        shared, values = self._placed(parts).permute(3, 0, 2, 1, 4)
        by_token = self._placed(buckets.movedim(-1, 1))
        self.layers.append(LshPast(unit_keys(shared)[0], values, by_token.movedim(1, -1)))

    def _placed(self, rows: Tensor) -> Tensor:
        """Rows (B, padded length, ...) of a pass, in the order that the texts were given in."""
        rows = rows[:, : self.length]
        return rows if self._back is None else reordered(rows, self._back)

    def begin_token(self) -> None:
        """Count one more token, which is no padding."""
        self.length += 1
        if self.real is not None:
            self.real = F.pad(self.real, (0, 1), value=True)
        if self.place is not None:
            self.place = torch.cat([self.place, self.place[:, -1:] + 1], 1)
        if self.position is not None:
            self.position = self.position + 1

    def in_reach(self, chunk: int, before: int) -> tuple[int, Tensor | None]:
        """How many of the last tokens the newest one reaches in a local layer.

        Args:
            chunk: the layer's chunk length.
            before: chunks that a window reaches back.

        Returns:
            How many, and which of these (B, T') it sees; None for all.
        """
        if self.place is None or self.real is None:
            newest = self.length - 1
            reach = newest + 1 - max(0, (newest // chunk - before) * chunk)
            return reach, None if self.real is None else self.real[:, -reach:]
        first = (self.place[:, -1:] // chunk - before) * chunk
        seen = self.real & (self.place >= first)
        reach = self.length - int(seen.any(0).int().argmax())
        return reach, seen[:, -reach:]

    def reorder_cache(self, beams: Tensor) -> None:
        """Keep the texts of these beams; transformers' beam search calls it by this name."""

        def kept(tensor: Tensor | None) -> Any:
            return None if tensor is None else tensor.index_select(0, beams)

        self.layers = [type(past)(*map(kept, past)) for past in self.layers]
        self.real, self.place, self.position = map(kept, (self.real, self.place, self.position))
        self.rules = {index: rule.part(beams) for index, rule in self.rules.items()}

    def get_seq_length(self, _: int | None = 0) -> int:
        """Tokens so far."""
        return self.length


def local_step(cache: GenerationCache, index: int, projected: Tensor, attention: Any) -> Tensor:
    """Outputs (B, H*D) of the newest token, from its projections (B, 3*H*D)."""
    heads, size = attention.num_attention_heads, attention.attention_head_size
    query, key, value = projected.view(-1, 3, heads, 1, size).unbind(1)  # B H 1 D
    past = cache.layers[index]
    keys, values = torch.cat([past.keys, key], 2), torch.cat([past.values, value], 2)
    reach, seen = cache.in_reach(attention.chunk_length, attention.num_chunks_before)
    keys, values = keys[:, :, -reach:], values[:, :, -reach:]
    cache.layers[index] = LocalPast(keys, values)
    scores = query @ keys.transpose(-1, -2)  # B H 1 T'
    if seen is not None:
        scores = scores.masked_fill(~seen[:, None, None], MASKED)
    return (torch.softmax(scores, -1) @ values).flatten(1)


def lsh_step(cache: GenerationCache, index: int, projected: Tensor, attention: Any) -> Tensor:
    """Outputs (B, H*D) of the newest token, from its projections (B, H*2*D)."""
    heads, size = attention.num_attention_heads, attention.attention_head_size
    query, value = projected.view(-1, heads, 2, size).unbind(2)  # B H D
    geometry = Geometry(len(projected), 1, heads, size, chunk=1, before=0)
    bucket = find_buckets(projected, cache.rules[index], geometry)  # B H R 1
    past = cache.layers[index]
    assert isinstance(past, LshPast)
    key = unit_keys(query)[0]
    same = past.buckets == bucket  # B H R T
    newer = same.flip(-1).cumsum(-1).flip(-1)  # in the bucket, itself included
    seen = same & (newer <= attention.num_chunks_before * attention.chunk_length)
    scores = torch.einsum("bhd,bhtd->bht", query, past.keys).unsqueeze(2)  # B H 1 T
    scores = scores.expand(seen.shape).masked_fill(~seen, MASKED)
    itself = (query * key).sum(-1) + ONLY_ITSELF
    itself = itself[:, :, None, None].expand(*seen.shape[:-1], 1)
    scores = torch.cat([scores, itself], -1)  # B H R T+1
    past = LshPast(
        torch.cat([past.keys, key.unsqueeze(2)], 2),
        torch.cat([past.values, value.unsqueeze(2)], 2),
        torch.cat([past.buckets, bucket], -1),
    )
    cache.layers[index] = past
    outputs = torch.softmax(scores, -1) @ past.values  # B H R D
    weights = round_weights(scores.float().logsumexp(-1)).to(outputs.dtype)  # B H R
    return (outputs * weights.unsqueeze(-1)).sum(2).flatten(1)
