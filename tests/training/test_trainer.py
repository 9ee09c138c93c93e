"""Training: the same seed gives the same numbers, and a history says what happened."""

import itertools
import math
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import ReformerConfig, TrainingArguments

from reformer_seqlen.models import muon
from reformer_seqlen.models.muon import orthogonal
from reformer_seqlen.parameters.training import Training
from reformer_seqlen.reformer import precision
from reformer_seqlen.reformer.model import create_reformer
from reformer_seqlen.runtime.checkpoints import last_complete
from reformer_seqlen.runtime.console import Terminated
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.text.chunking import contiguous
from reformer_seqlen.text.splits import Split
from reformer_seqlen.text.tokens import Tokens
from reformer_seqlen.training.history import summarise
from reformer_seqlen.training.pacemaker import Pacemaker
from reformer_seqlen.training.trainer import Trained, train
from reformer_seqlen.training.window_trainer import WindowTrainer
from tests.interrupts import interrupted_after

SETTINGS = Training(epochs=2, batch_size=4, learning_rate=0.01, threads=1)


def split(tokens: int, *, every_token: bool) -> Split:
    """A text that can be learnt: three pieces in turn, now and then another one."""
    generator = np.random.default_rng(tokens)
    ids = np.arange(tokens) % 3
    ids[generator.integers(0, tokens, tokens // 20)] = 7
    windows = contiguous(tokens, 64, every_token=every_token)
    starts = np.array([0])
    return Split(
        Tokens(ids.astype(np.uint8), np.ones(tokens, np.uint8), starts, starts),
        windows,
        64,
        "contiguous",
    )


def trained(work: Path, settings: Training) -> Trained:
    torch.manual_seed(settings.seed)
    config = ReformerConfig(
        attn_layers=["local", "lsh"],
        hidden_size=16,
        attention_head_size=8,
        num_attention_heads=2,
        feed_forward_size=32,
        vocab_size=10,
        axial_pos_shape=[2, 32],
        axial_pos_embds_dim=[4, 12],
        max_position_embeddings=64,
        hidden_dropout_prob=0.1,
        is_decoder=True,
    )
    data = split(1500, every_token=False), split(300, every_token=True)
    return train(create_reformer(config), *data, settings, work)


def assert_same(one: Trained, other: Trained) -> None:
    """The same history and the same bytes of all weights."""
    assert one.history == other.history
    weights = dict(other.model.named_parameters())
    for name, parameter in one.model.named_parameters():
        assert torch.equal(parameter, weights[name]), name


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return trained(tmp_path_factory.mktemp("once"), SETTINGS)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_history_and_weights(once: Trained, tmp_path: Path) -> None:
    assert_same(trained(tmp_path, SETTINGS), once)


@pytest.mark.slow
def test_another_seed_gives_another_history(once: Trained, tmp_path: Path) -> None:
    other = trained(tmp_path, SETTINGS.model_copy(update={"seed": 43}))
    assert other.history["steps"] != once.history["steps"]


@pytest.mark.slow
@pytest.mark.parametrize(("epochs", "killed_at"), [(1, 1), (2, 1), (2, 2)])
def test_what_was_killed_in_an_evaluation_evaluates_when_it_goes_on(
    epochs: int, killed_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SETTINGS.model_copy(update={"epochs": epochs, "checkpoint_every_updates": 6})
    whole = trained(tmp_path / "whole", settings)
    evaluate, evaluations = WindowTrainer.evaluate, iter(range(1, epochs + 1))

    def killed(trainer: WindowTrainer) -> dict[str, float]:
        if next(evaluations) == killed_at:
            raise KeyboardInterrupt
        return evaluate(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(WindowTrainer, "evaluate", lambda trainer, *_, **__: killed(trainer))
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "killed", settings)
    assert_same(trained(tmp_path / "killed", settings), whole)


def test_updates_epochs_tokens_and_learning_rate_are_what_was_asked_for(once: Trained) -> None:
    windows, updates = 1499 // 64, 2 * math.ceil((1499 // 64) / 4)
    assert once.history["updates"] == updates == len(once.history["steps"])
    assert once.history["tokens_seen"] == 2 * windows * 64
    assert [round(e["epoch"], 6) for e in once.history["evaluations"]] == [1, 2]
    rates = [step["learning_rate"] for step in once.history["steps"]]
    assert rates == pytest.approx([0.01 * (1 - done / updates) for done in range(updates)])


@pytest.mark.slow
def test_training_may_last_a_number_of_updates_of_a_number_of_tokens(tmp_path: Path) -> None:
    settings = Training(
        updates=9,
        tokens_per_update=128,
        evaluations=3,
        learning_rate=0.01,
        warmup_share=0.34,
        decay_updates=2,
        threads=1,
    )
    history = trained(tmp_path, settings).history
    assert history["updates"] == 9
    assert history["tokens_seen"] == 9 * 128
    assert [each["step"] for each in history["evaluations"]] == [3, 6, 9]
    assert history["epochs"] == round(9 / math.ceil(23 / 2), 3)
    rates = [step["learning_rate"] for step in history["steps"]]
    assert rates == pytest.approx([0, 0.01 / 3, 0.02 / 3, *[0.01] * 5, 0.005])


MUON = Training(
    optimizer="muon",
    learning_rate=0.002,
    matrix_learning_rate=0.02,
    updates=12,
    batch_size=4,
    checkpoint_every_updates=5,
    threads=1,
)


@pytest.mark.parametrize(("pays", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_muon_multiplies_in_what_the_processor_is_faster_in(
    pays: bool, dtype: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = set()

    def noted(matrices: torch.Tensor, *numbers: Any) -> torch.Tensor:
        seen.add(matrices.dtype)
        return orthogonal(matrices, *numbers)

    monkeypatch.setattr(precision, "bfloat16_pays", lambda: pays)
    monkeypatch.setattr(muon, "orthogonal", noted)
    trained(tmp_path, MUON.model_copy(update={"updates": 1}))
    assert seen == {dtype}


@pytest.mark.slow
def test_muon_learns_and_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", MUON)
    assert whole.history["steps"][-1]["training_loss"] < whole.history["steps"][0]["training_loss"]
    with interrupted_after(7):
        trained(tmp_path / "stopped", MUON)
    assert_same(trained(tmp_path / "stopped", MUON), whole)


def test_several_gpus_are_refused_as_they_would_make_the_batch_larger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TrainingArguments, "n_gpu", 2)
    with pytest.raises(StudyError, match=r"has 2 GPUs.*CUDA_VISIBLE_DEVICES=0"):
        trained(tmp_path, SETTINGS)


@pytest.mark.slow
def test_a_terminal_shows_bars_and_no_log_of_every_update(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    trained(tmp_path, SETTINGS.model_copy(update={"epochs": 1}))
    shown = capsys.readouterr()
    assert "6/6" in shown.err
    assert "loss" not in shown.out + shown.err


def test_it_learns(once: Trained) -> None:
    first, last = once.history["evaluations"]
    assert last["validation_loss"] < first["validation_loss"] < math.log(10)


def log(validation: list[float]) -> list[dict[str, float]]:
    entries: list[dict[str, float]] = []
    for epoch, loss in enumerate(validation, start=1):
        step = {"step": epoch, "epoch": epoch, "learning_rate": 0.1, "grad_norm": 1.0}
        entries += [{**step, "loss": loss}, {"step": epoch, "epoch": epoch, "eval_loss": loss}]
    return entries


def test_a_loss_that_is_not_a_number_is_said_and_not_hidden() -> None:
    history = summarise(log([3.0, math.nan]))
    assert history["best_validation_loss"] == 3.0
    assert history["evaluations"][-1]["validation_loss"] is None
    assert history["final_training_loss"] is None


@pytest.mark.slow
def test_a_log_file_is_told_how_far_training_is(
    once: Trained,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("reformer_seqlen.runtime.progress.LINE_SECONDS", 0.0)
    assert_same(trained(tmp_path, SETTINGS), once)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("update ")]
    updates, loss = once.history["updates"], once.history["steps"][-1]["training_loss"]
    assert len(lines) == updates
    assert lines[-1].startswith(f"update {updates} of {updates}, loss {loss:.4g}, learning rate ")
    assert lines[-1].endswith(", about 0 s left")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)]
)
@pytest.mark.parametrize("moment", ["an update", "an evaluation", "the last evaluation"])
def test_a_signal_leaves_a_checkpoint_of_the_update_that_it_interrupts(
    once: Trained,
    moment: str,
    number: signal.Signals,
    raised: type[BaseException],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """No checkpoint is due before the end: all there is was written for the signal."""
    asked, place = {
        "an update": (4, (Pacemaker, "on_step_begin")),
        "an evaluation": (1, (WindowTrainer, "validation_loss")),
        "the last evaluation": (2, (WindowTrainer, "validation_loss")),
    }[moment]
    calls, work = itertools.count(1), getattr(*place)

    def told(*arguments: Any, **more: Any) -> Any:
        if next(calls) == asked:
            signal.raise_signal(number)
        return work(*arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(*place, told)
        with pytest.raises(raised):
            trained(tmp_path, SETTINGS)
    updates = {"an update": 4, "an evaluation": 6, "the last evaluation": 12}[moment]
    assert last_complete(tmp_path)[0] == tmp_path / f"checkpoint-{updates}"
    assert capfd.readouterr().err.startswith("interrupted: writing a checkpoint")
    assert_same(trained(tmp_path, SETTINGS), once)
    assert f"going on from update {updates}, " in capfd.readouterr().out


def test_another_signal_ends_it_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = Pacemaker.on_step_begin

    def told_twice(*arguments: Any, **more: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        begin(*arguments, **more)

    monkeypatch.setattr(Pacemaker, "on_step_begin", told_twice)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, SETTINGS)
    assert last_complete(tmp_path) == (None, 0.0)


@pytest.mark.slow
def test_what_was_killed_after_the_last_update_does_no_other(tmp_path: Path) -> None:
    """The last update is in the middle of an epoch of 12."""
    settings = Training(updates=9, tokens_per_update=128, learning_rate=0.01, threads=1)
    whole = trained(tmp_path, settings)
    assert_same(trained(tmp_path, settings), whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("at", "moment", "kept"),
    [(1, "on_step_begin", "initial"), (8, "on_step_begin", "checkpoint-7"),
     (8, "on_step_end", "checkpoint-6")],
)  # fmt: skip
def test_a_loss_that_is_no_number_stops_it_with_the_last_good_weights(
    at: int,
    moment: str,
    kept: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Weights that are spoilt after update 7 are in its checkpoint, which is not taken, either."""
    settings = SETTINGS.model_copy(update={"checkpoint_every_updates": 1})
    work = getattr(Pacemaker, moment)

    def spoilt(self: Pacemaker, args: Any, state: Any, control: Any, **more: Any) -> None:
        work(self, args, state, control, **more)
        if state.global_step == at - 1:
            with torch.no_grad():
                more["model"].lm_head.bias.fill_(math.nan)

    with monkeypatch.context() as patch:
        patch.setattr(Pacemaker, moment, spoilt)
        found = trained(tmp_path / "spoilt", settings)
    rate = 0.01 * (1 - (at - 1) / 12)
    wanted = {"update": str(at), "loss": "nan", "grad_norm": "nan", "model_of": kept}
    assert wanted.items() <= found.history["diverged_at"].items()
    said = capsys.readouterr().err
    assert f"diverged at update {at}: loss nan, learning rate {rate:.4g}" in said
    assert f"gradient norm nan; stopped, and kept the weights of {kept}. " in said
    assert found.history["updates"] == at
    assert found.history["steps"][-1]["training_loss"] is None
    assert found.history["evaluations"][-1]["validation_loss"] > 0
    for parameter in found.model.parameters():
        assert parameter.isfinite().all()
