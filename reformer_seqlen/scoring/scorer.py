"""A run's model on a split: every draw, the published rule, shorter contexts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedModel

from reformer_seqlen.models.causal import draws_hashes
from reformer_seqlen.parameters.evaluation import Evaluation
from reformer_seqlen.scoring.loss import Scored, score
from reformer_seqlen.scoring.measures import (
    blocks_of,
    describe,
    describe_peeking,
    nats_by_position,
    short,
)
from reformer_seqlen.text.splits import Split
from reformer_seqlen.text.windows import sliding


@dataclass(frozen=True)
class Scorer:
    """A run's model, and how it is scored.

    Attributes:
        peeking: the same weights under the published lsh rule; None if that is the run's own.
    """

    model: PreTrainedModel
    peeking: PreTrainedModel | None
    settings: Evaluation

    def draws(self, model: PreTrainedModel, split: Split, description: str) -> list[Scored]:
        """The scores of every draw of the hashes; one where none is drawn."""
        settings = self.settings
        return [
            score(
                model,
                split,
                batch_size=settings.batch_size,
                precision=settings.precision,
                hash_seed=settings.seed + draw,
                description=description,
            )
            for draw in range(settings.hash_draws if draws_hashes(model) else 1)
        ]

    def score_split(
        self, split: Split, name: str, folder: Path, unknown_id: int | None
    ) -> dict[str, Any]:
        """Score a split, write its arrays to `folder`, and return what is said of it.

        Args:
            split: in the run's windows.
            name: `validation` or `test`.
            folder: gets NAME.nats.npy and NAME.blocks.npy.
            unknown_id: the tokenizer's unknown piece, if it has one.
        """
        split = windowed(split, self.settings.stride)
        draws = self.draws(self.model, split, name)
        nats = mean_over(draws)
        blocks = blocks_of(split, nats)
        np.save(folder / f"{name}.nats.npy", nats.astype(np.float32))
        np.save(folder / f"{name}.blocks.npy", blocks)
        peeking = {}
        if self.peeking is not None:
            published = self.draws(self.peeking, split, f"{name}, peeking")
            rules = ([draw.mean_nats for draw in each] for each in (draws, published))
            peeking = describe_peeking(*rules)
        return {
            **describe(split, [draw.mean_nats for draw in draws], blocks, unknown_id),
            "accuracy": fmean(float(draw.first.mean()) for draw in draws),
            **peeking,
            "by_position": nats_by_position(split, nats),
            "contexts": self._contexts(split, name),
        }

    def _contexts(self, split: Split, name: str) -> dict[int, dict[str, float | None]]:
        """The score in windows of each shorter length."""
        found = {}
        for length in self.settings.contexts:
            if length < split.length:
                cut = shortened(split, length)
                draws = self.draws(self.model, cut, f"{name}, {length} tokens of context")
                found[length] = short(blocks_of(cut, mean_over(draws)))
        return found


def windowed(split: Split, stride: int | None) -> Split:
    """The split with overlapping windows, if there is a stride."""
    if stride is None or split.policy == "published":
        return split
    return replace(split, windows=sliding(len(split.tokens), split.length, stride))


def shortened(split: Split, context: int) -> Split:
    """The split in windows of another length."""
    windows = sliding(len(split.tokens), context, context)
    return replace(split, windows=windows, length=context, policy="contiguous")


def mean_over(draws: Sequence[Scored]) -> NDArray[np.float64]:
    """Mean nats of each target, (targets,)."""
    nats: NDArray[np.float64] = np.mean([draw.nats for draw in draws], axis=0, dtype=np.float64)
    return nats
