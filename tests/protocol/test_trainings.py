"""Blocks are those of datasets, and trainings those of transformers' Trainer."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    ReformerConfig,
    Trainer,
    TrainingArguments,
)

from reformer_seqlen.parameters.evaluation import Evaluation
from reformer_seqlen.parameters.training import Training
from reformer_seqlen.reformer.model import Reformer, create_reformer
from reformer_seqlen.scoring.measures import blocks_of, describe
from reformer_seqlen.scoring.scorer import Scorer
from reformer_seqlen.training.trainer import Trained, train
from tests.protocol.rows_example import PROFILE, Both

pytestmark = pytest.mark.slow

EPOCHS = 2


def small_model() -> Reformer:
    """Without dropout and hashing, which ours draws elsewhere: what is left must be the same."""
    torch.manual_seed(0)
    config = ReformerConfig(
        attn_layers=["local", "local"],
        hidden_size=16,
        attention_head_size=8,
        num_attention_heads=2,
        feed_forward_size=32,
        vocab_size=320,
        axial_pos_embds=False,
        max_position_embeddings=512,
        hidden_dropout_prob=0.0,
        local_attention_probs_dropout_prob=0.0,
        is_decoder=True,
        loss_type="ForCausalLM",
    )
    return create_reformer(config)


def train_by_transformers(both: Both, work: Path) -> list[dict[str, Any]]:
    """The study's call of the Trainer: what it did not set is left at transformers' default."""
    trainer = Trainer(
        model=small_model(),
        args=TrainingArguments(
            output_dir=str(work),
            eval_strategy="epoch",
            learning_rate=2e-4,
            weight_decay=0.01,
            optim="adafactor",
            num_train_epochs=EPOCHS,
            per_device_train_batch_size=16,
            per_device_eval_batch_size=16,
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            use_cpu=True,
            dataloader_pin_memory=False,
            disable_tqdm=True,
        ),
        train_dataset=both.blocks["train"],
        eval_dataset=both.blocks["validation"],
    )
    # Today's Trainer divides by all tokens of a batch; in 2021 the model's own mean was the loss.
    trainer.model_accepts_loss_kwargs = False
    trainer.train()
    history: list[dict[str, Any]] = trainer.state.log_history
    return history


def test_blocks_are_those_of_datasets(both: Both) -> None:
    for name, split in both.splits.items():
        inputs, targets = split.batch(slice(None))
        expected = [block["input_ids"] for block in both.blocks[name]]
        assert len(expected) > 16
        assert len(split.tokens) > inputs.numel()  # something was dropped
        assert inputs.tolist() == expected
        assert targets[:, :-1].tolist() == [block[1:] for block in expected]


@dataclass(frozen=True)
class Trainings:
    """One training by transformers' Trainer, and one by ours with the paper profile's values."""

    data: Both
    theirs: list[dict[str, Any]]
    ours: Trained


@pytest.fixture(scope="module")
def trainings(both: Both, tmp_path_factory: pytest.TempPathFactory) -> Trainings:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    settings = Training(**{**PROFILE["train"], "epochs": EPOCHS})
    data = both.first(train=71, validation=21)  # the last batch of each is smaller
    train_split, validation = data.splits["train"], data.splits["validation"]
    work = tmp_path_factory.mktemp("work")
    trained = train(small_model(), train_split, validation, settings, work / "ours")
    theirs = train_by_transformers(data, work / "theirs")
    torch.set_num_threads(threads)
    return Trainings(data, theirs, trained)


def test_updates_and_learning_rates_are_those_of_the_trainer(trainings: Trainings) -> None:
    steps = [entry for entry in trainings.theirs if "loss" in entry]
    batches = math.ceil(len(trainings.data.blocks["train"]) / 16)
    history = trainings.ours.history
    assert history["updates"] == len(steps) == EPOCHS * batches
    for ours, theirs in zip(history["steps"], steps, strict=True):
        assert ours["learning_rate"] == pytest.approx(theirs["learning_rate"], rel=1e-12)
    assert steps[0]["learning_rate"] == pytest.approx(2e-4)


def test_losses_are_those_of_the_trainer(trainings: Trainings) -> None:
    """The same batches in the same order, through the same optimizer: seed 42 on both sides."""
    steps = [entry for entry in trainings.theirs if "loss" in entry]
    for ours, theirs in zip(trainings.ours.history["steps"], steps, strict=True):
        assert ours["training_loss"] == pytest.approx(theirs["loss"], rel=1e-4)
        assert ours["gradient_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-3)


def test_perplexity_is_exp_of_the_trainers_eval_loss(trainings: Trainings) -> None:
    evaluations = [entry for entry in trainings.theirs if "eval_loss" in entry]
    assert len(evaluations) == EPOCHS
    for ours, theirs in zip(trainings.ours.history["evaluations"], evaluations, strict=True):
        assert ours["validation_loss"] == pytest.approx(theirs["eval_loss"], rel=1e-5)
    settings = Evaluation(**PROFILE["evaluate"])
    split = trainings.data.splits["validation"]
    draws = Scorer(trainings.ours.model, None, settings).draws(
        trainings.ours.model, split, "validation"
    )
    losses = [draw.mean_nats for draw in draws]
    said = describe(split, losses, blocks_of(split, draws[0].nats), unknown_id=0)
    assert said["perplexity"] == pytest.approx(math.exp(evaluations[-1]["eval_loss"]), rel=1e-4)
    assert said["tokens"] == len(split.windows) * (split.length - 1)
