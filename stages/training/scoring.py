"""How well a model predicts a split: nats of the scored pieces, and what they mean.

Sums are taken over tokens, never as a mean of batch means, so batches of unequal size weigh what
they hold.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F
from tqdm import tqdm

from stages.text.splits import Split
from stages.text.windows import NO_TARGET

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stages.reformer.model import Reformer, StockReformer
    from stages.study.params import Precision

MAX_LOSS_NATS = 700.0
"""exp of more is no finite number."""


@dataclass(frozen=True)
class Target:
    """What is known of the scored targets of a split before any model sees it."""

    tokens: int
    bytes: int
    unknown: int
    unigram_nats: float
    """Entropy of the targets' own piece counts, nats per piece: no unigram model scores better."""


def autocast(device: torch.device, precision: "Precision") -> torch.autocast:
    """Matrix products in bfloat16 if `precision` says so; reductions stay in float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def nats(logits: torch.Tensor, targets: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
    """Cross-entropy in nats of the targets that are scored.

    Args:
        logits: (batch, length, vocabulary), position i predicts target i.
        targets: (batch, length), -100 where nothing is scored.
        reduction: as of torch's cross_entropy.
    """
    flat = logits.float().flatten(0, 1)  # (batch * length, vocabulary)
    return F.cross_entropy(flat, targets.flatten(), ignore_index=NO_TARGET, reduction=reduction)


@torch.no_grad()
def mean_nats(
    model: "Reformer | StockReformer",
    split: Split,
    *,
    batch_size: int,
    precision: "Precision",
    hash_seed: int,
    description: str = "scoring",
) -> float:
    """Nats per scored target of a split, under one draw of the hashes.

    The model is put into evaluation mode and back; the global random state is left as it was.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    total = 0.0
    with torch.random.fork_rng(), autocast(device, precision):
        model.set_hash_draw(hash_seed)
        starts = range(0, len(split.windows), batch_size)
        for begin in tqdm(starts, desc=description, unit="batch", leave=False, disable=None):
            inputs, targets = split.batch(slice(begin, begin + batch_size))
            logits = model(inputs.to(device), use_cache=False).logits
            total += nats(logits, targets.to(device), reduction="sum").item()
    model.train(was_training)
    return total / len(split.scored_positions())


def describe_targets(split: Split, unknown_id: int) -> Target:
    """Count the scored targets of a split: tokens, bytes, unknown pieces and unigram entropy."""
    scored = split.scored_positions()
    ids = split.tokens.ids[scored]
    return Target(
        tokens=len(scored),
        bytes=int(split.tokens.piece_bytes[scored].sum(dtype=np.int64)),
        unknown=int((ids == unknown_id).sum()),
        unigram_nats=unigram_nats(np.bincount(ids)),
    )


def unigram_nats(counts: "NDArray[np.int64]") -> float:
    """Entropy in nats of a distribution given by counts.

    Example: counts (1, 1) give ln 2.
    """
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def bits_per_byte(total: float, bytes_scored: int) -> float:
    """Bits per byte of text: nats / (ln 2 x bytes of the scored pieces)."""
    return total / (math.log(2) * bytes_scored)


def perplexity(loss_nats: float) -> float | None:
    """Perplexity of a loss in nats; None where it is no finite number."""
    if not math.isfinite(loss_nats) or loss_nats > MAX_LOSS_NATS:
        return None
    return math.exp(loss_nats)
