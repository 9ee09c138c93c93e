"""The loss of a model on text, in nats."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F
from transformers import PreTrainedModel

from reformer_seqlen.models.causal import set_draw
from reformer_seqlen.parameters.common.quantities import Precision
from reformer_seqlen.runtime import progress
from reformer_seqlen.runtime.shards import going_on
from reformer_seqlen.text.splits import Split
from reformer_seqlen.text.windows import NO_TARGET


@dataclass(frozen=True)
class Scored:
    """What a model makes of each scored target, in the order of the windows.

    Attributes:
        nats: (targets,) float32, minus the log of the probability that the target was given.
        first: (targets,) bool, whether no other piece was given a higher one.
    """

    nats: NDArray[np.float32]
    first: NDArray[np.bool_]

    @property
    def mean_nats(self) -> float:
        """Nats per target; every target counts alike, however many are in a batch."""
        return float(self.nats.mean(dtype=np.float64))


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Matrix products in bfloat16 if `precision` says so; reductions stay in float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def nats(logits: torch.Tensor, targets: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
    """Cross-entropy in nats of the targets that are scored.

    Args:
        logits: (batch, length, vocabulary); position i predicts target i.
        targets: (batch, length), -100 where nothing is scored.
        reduction: as of torch's cross_entropy.
    """
    flat = logits.float().flatten(0, 1)  # (batch * length, vocabulary)
    return F.cross_entropy(flat, targets.flatten(), ignore_index=NO_TARGET, reduction=reduction)


@contextmanager
def scoring(model: PreTrainedModel, precision: Precision, hash_seed: int) -> Iterator[None]:
    """Have a model score within the block, under one draw of the hashes.

    It is put into evaluation mode and back; the global random state is left as it was.
    """
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    with torch.no_grad(), torch.random.fork_rng(), autocast(device, precision):
        set_draw(model, hash_seed)
        yield
    model.train(was_training)


def score_batch(
    model: PreTrainedModel, split: Split, chosen: slice
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Nats of each scored target of some windows, and whether it was the likeliest piece."""
    device = next(model.parameters()).device
    inputs, targets = split.batch(chosen)
    targets = targets.to(device)
    logits = model(inputs.to(device), use_cache=False).logits
    scored = (targets != NO_TARGET).flatten()
    losses = nats(logits, targets, reduction="none")[scored]
    hits = (logits.argmax(-1) == targets).flatten()[scored]
    return losses.cpu().numpy(), hits.cpu().numpy()


def score(
    model: PreTrainedModel,
    split: Split,
    *,
    batch_size: int,
    precision: Precision,
    hash_seed: int,
    description: str = "scoring",
    shards: Path | None = None,
) -> Scored:
    """Score every target of a split's windows, under one draw of the hashes.

    What takes long goes on from the batches that are finished in the folder `shards`, if there is
    one.
    """

    def batches(begins: Iterator[int]) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
        return (score_batch(model, split, slice(begin, begin + batch_size)) for begin in begins)

    with scoring(model, precision, hash_seed):
        begins = progress.over(range(0, len(split.windows), batch_size), description, "batch")
        losses, hits = zip(*going_on(shards, begins, batches), strict=True)
    return Scored(np.concatenate(losses), np.concatenate(hits))
