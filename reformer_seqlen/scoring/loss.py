"""The loss of a model on text, in nats."""

import torch
from torch.nn import functional as F
from transformers import PreTrainedModel

from reformer_seqlen.models.causal import set_draw
from reformer_seqlen.parameters.common.quantities import Precision
from reformer_seqlen.runtime import progress
from reformer_seqlen.text.splits import Split
from reformer_seqlen.text.windows import NO_TARGET


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


@torch.no_grad()
def mean_nats(
    model: PreTrainedModel,
    split: Split,
    *,
    batch_size: int,
    precision: Precision,
    hash_seed: int,
    description: str = "scoring",
) -> float:
    """Mean loss of a split in nats per scored target, under one draw of the hashes.

    Losses are summed over targets and divided once; a mean of the batches' means would give the
    targets of a smaller last batch more weight. The model is put into evaluation mode and back; the
    global random state is left as it was.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    total = 0.0
    with torch.random.fork_rng(), autocast(device, precision):
        set_draw(model, hash_seed)
        starts = range(0, len(split.windows), batch_size)
        for begin in progress.over(starts, description, "batch"):
            inputs, targets = split.batch(slice(begin, begin + batch_size))
            logits = model(inputs.to(device), use_cache=False).logits
            total += nats(logits, targets.to(device), reduction="sum").item()
    model.train(was_training)
    return total / len(split.scored_positions())
