"""A run's model on a split: every draw, and what changes in other windows or by other hashing."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedModel

from reformer_seqlen.models.causal import draws_hashes
from reformer_seqlen.parameters.common.quantities import Policy
from reformer_seqlen.parameters.evaluation import Evaluation
from reformer_seqlen.scoring.loss import Scored, score
from reformer_seqlen.scoring.measures import (
    beside,
    blocks_of,
    describe,
    describe_peeking,
    nats_by_position,
    perplexity,
    short,
)
from reformer_seqlen.scoring.uncertainty import Sums
from reformer_seqlen.text.chunking import cut
from reformer_seqlen.text.splits import Split
from reformer_seqlen.text.windows import sliding


@dataclass(frozen=True)
class Scorer:
    """A run's model, and how it is scored.

    Attributes:
        peeking: the same weights under the published lsh rule; None if that is the run's own.
        with_rounds: loads the same weights with a number of hash rounds; None if none is asked for.
        work: where scores that take long are stored as they are made; None for nowhere.
        calls: numbers them, in the order in which each attempt makes them.
    """

    model: PreTrainedModel
    peeking: PreTrainedModel | None
    settings: Evaluation
    with_rounds: Callable[[int], PreTrainedModel] | None = None
    work: Path | None = None
    calls: Iterator[int] = field(default_factory=count)

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
                shards=None if self.work is None else self.work / f"scores-{next(self.calls)}",
            )
            for draw in range(settings.hash_draws if draws_hashes(model) else 1)
        ]

    def score_split(
        self,
        split: Split,
        name: str,
        folder: Path,
        unknown_id: int | None,
        words: int | None = None,
    ) -> dict[str, Any]:
        """Score a split, write its arrays to `folder`, and return what is said of it.

        Args:
            split: in the run's windows.
            name: `validation` or `test`.
            folder: gets NAME.nats.npy and NAME.blocks.npy, and NAME.POLICY.blocks.npy of each
                further protocol.
            unknown_id: the tokenizer's unknown piece, if it has one.
            words: of the split's text, if it is one of words.

        Returns:
            The measures, with `hash_rounds` and `protocols` where the settings ask for them.
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
            **describe(split, [draw.mean_nats for draw in draws], blocks, unknown_id, words),
            "accuracy": fmean(float(draw.first.mean()) for draw in draws),
            **peeking,
            "by_position": nats_by_position(split, nats),
            "contexts": self._contexts(split, name, blocks),
            **self._others(split, name, folder, blocks),
        }

    def _contexts(self, split: Split, name: str, own: Sums) -> dict[int, dict[str, Any]]:
        """The score in windows of each shorter length, beside the run's own."""
        found = {}
        for length in self.settings.contexts:
            if length < split.length:
                shorter = shortened(split, length)
                draws = self.draws(self.model, shorter, f"{name}, {length} tokens of context")
                found[length] = beside(blocks_of(shorter, mean_over(draws)), own)
        return found

    def _others(self, split: Split, name: str, folder: Path, own: Sums) -> dict[str, Any]:
        """By other numbers of hash rounds and under other policies, where they are asked for."""
        found: dict[str, Any] = {}
        if self.with_rounds is not None:
            found["hash_rounds"] = {}
            for rounds in self.settings.hash_rounds:
                draws = self.draws(self.with_rounds(rounds), split, f"{name}, {rounds} hash rounds")
                found["hash_rounds"][rounds] = beside(blocks_of(split, mean_over(draws)), own)
        if self.settings.protocols:
            others = (policy for policy in self.settings.protocols if policy != split.policy)
            found["protocols"] = {
                policy: self._under(policy, split, name, folder) for policy in others
            }
        return found

    def _under(
        self, policy: Policy, split: Split, name: str, folder: Path
    ) -> dict[str, float | None]:
        """The score in the windows that another policy cuts; no number where it cuts none."""
        split = recut(split, policy)
        if not len(split.windows):
            return {**dict.fromkeys(("bits_per_byte", "low", "high", "perplexity")), "tokens": 0}
        draws = self.draws(self.model, split, f"{name}, {policy} windows")
        blocks = blocks_of(split, mean_over(draws))
        np.save(folder / f"{name}.{policy}.blocks.npy", blocks)
        return {
            **short(blocks),
            "perplexity": perplexity(fmean(draw.mean_nats for draw in draws)),
            "tokens": len(draws[0].nats),
        }


def windowed(split: Split, stride: int | None) -> Split:
    """The split with overlapping windows, if there is a stride."""
    if stride is None or split.policy == "published":
        return split
    return replace(split, windows=sliding(len(split.tokens), split.length, stride))


def shortened(split: Split, context: int) -> Split:
    """The split in windows of another length."""
    windows = sliding(len(split.tokens), context, context)
    return replace(split, windows=windows, length=context, policy="contiguous")


def recut(split: Split, policy: Policy) -> Split:
    """The split in the windows that another policy cuts, side by side."""
    tokens = split.tokens
    windows = cut(policy, tokens.rows, len(tokens), split.length, every_token=True)
    return replace(split, windows=windows, policy=policy)


def mean_over(draws: Sequence[Scored]) -> NDArray[np.float64]:
    """Mean nats of each target, (targets,)."""
    nats: NDArray[np.float64] = np.mean([draw.nats for draw in draws], axis=0, dtype=np.float64)
    return nats
