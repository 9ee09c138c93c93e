"""The section `train` of params.yaml in the words of transformers' Trainer."""

import sys
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, TrainingArguments

from reformer_seqlen.parameters.training import Training
from reformer_seqlen.reformer.model import Reformer, StockReformer
from reformer_seqlen.runtime import ranks
from reformer_seqlen.runtime.messages import training as messages

CHECKPOINTS_KEPT = 2
"""The newest, and one before it, in case the newest is damaged or not written completely."""


def arguments(
    model: PreTrainedModel, settings: Training, updates: int, length: int, work: Path
) -> TrainingArguments:
    """What the Trainer is told.

    Args:
        model: that is trained.
        settings: as params.yaml has them.
        updates: in all.
        length: of a window, in tokens.
        work: the folder of checkpoints.

    Raises:
        StudyError: there are several GPUs, which the Trainer would use in its own way, or the decay
            begins before the warm-up ends.
    """
    decay = settings.decay(updates)
    schedule: str = settings.schedule
    details: dict[str, Any] = {}
    if decay is not None:
        details = {"num_decay_steps": decay, "decay_type": schedule}
        schedule = "warmup_stable_decay"
    told = TrainingArguments(
        output_dir=str(work),
        per_device_train_batch_size=settings.sequences(length),
        max_steps=updates,
        optim="adafactor" if settings.optimizer == "adafactor" else "adamw_torch",
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        lr_scheduler_type=schedule,
        lr_scheduler_kwargs=details,
        warmup_steps=settings.warmup(updates),
        max_grad_norm=settings.max_gradient_norm,
        bf16=settings.precision == "bfloat16",
        seed=settings.seed,
        use_cpu=not torch.cuda.is_available(),
        logging_steps=1,
        logging_nan_inf_filter=False,
        eval_strategy="no",  # the pacemaker says when
        save_strategy="steps",
        save_steps=settings.checkpoint_every_updates,
        save_total_limit=CHECKPOINTS_KEPT,
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        report_to=[],
        log_level_replica="error",
        # Others may leave parameters out of an update, such as those of experts.
        ddp_find_unused_parameters=not isinstance(model, Reformer | StockReformer),
        disable_tqdm=not (ranks.is_first() and sys.stderr.isatty()),
    )
    if told.n_gpu > 1:
        raise messages.several_gpus(told.n_gpu)
    return told
