"""Training on windows with transformers' Trainer, made repeatable and resumable."""

import math
import sys
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors.torch import load_file, load_model, save_model
from torch import nn
from torch.utils.data import DataLoader
from transformers import (
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from reformer_seqlen.models.causal import set_draw
from reformer_seqlen.models.muon import Both, muon
from reformer_seqlen.parameters.training import Training
from reformer_seqlen.reformer.model import Reformer, StockReformer
from reformer_seqlen.runtime import progress, ranks
from reformer_seqlen.runtime.checkpoints import (
    checkpoints,
    is_complete,
    last_complete,
    mark_complete,
)
from reformer_seqlen.runtime.files import finite, naming, whole_folder
from reformer_seqlen.runtime.interrupts import Interrupts
from reformer_seqlen.runtime.messages import parameters as parameter_messages
from reformer_seqlen.runtime.messages import training as messages
from reformer_seqlen.runtime.updates import UpdateLines
from reformer_seqlen.scoring.loss import nats, score, score_batch, scoring
from reformer_seqlen.text.splits import Split
from reformer_seqlen.training import sharding
from reformer_seqlen.training.together import agree_to_end, of_all, of_first, own_part, targets_of

CHECKPOINTS_KEPT = 2
"""The newest, and one before it, in case the newest is damaged or not written completely."""
INITIAL = "initial"
"""The folder of the weights before the first update."""
WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Trained:
    """The results of a training."""

    model: PreTrainedModel
    history: dict[str, Any]
    timings: dict[str, float]


class WindowData(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    """A split's windows, one an item: input_ids and targets, both (length,)."""

    def __init__(self, split: Split) -> None:
        self.split = split

    def __len__(self) -> int:
        return len(self.split.windows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        inputs, targets = self.split.batch(slice(index, index + 1))
        return {"input_ids": inputs[0], "targets": targets[0]}


class WindowTrainer(Trainer):  # type: ignore[misc]
    """Trainer over windows: targets are already shifted, evaluation weights all tokens equally."""

    def __init__(
        self, *, validation: Split, settings: Training, interrupts: Interrupts, **options: Any
    ) -> None:
        super().__init__(**options)
        self.validation, self.settings, self.interrupts = validation, settings, interrupts
        self.spread = _is_spread(settings)
        if self.spread:  # so that the Trainer does not share its gradients once more
            self.is_distributed_loading_by_transformers = True

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Mean nats of a batch's targets.

        Of several processes, each gives its part of the sum times their number: gradients and
        losses are then averaged over all of them.
        """
        output = model(inputs["input_ids"], use_cache=False)
        if num_items_in_batch is None:
            loss = nats(output.logits, inputs["targets"])
        else:
            total = nats(output.logits, inputs["targets"], reduction="sum")
            loss = total * ranks.size() / num_items_in_batch
        return (loss, output) if return_outputs else loss

    def get_train_dataloader(self) -> DataLoader[dict[str, torch.Tensor]]:
        """Whole batches in every process, in the order of one process."""
        loader: Any = super().get_train_dataloader()
        if ranks.size() > 1:  # accelerate gives each process batches of its own
            sampler = loader.batch_sampler
            sampler.num_processes, sampler.process_index, sampler.even_batches = 1, 0, False
        return cast("DataLoader[dict[str, torch.Tensor]]", loader)

    def get_batch_samples(self, *given: Any) -> tuple[list[Any], torch.Tensor | int | None]:
        """The next batch; of several processes, a process's part and the targets of the whole."""
        batches, count = super().get_batch_samples(*given)
        if ranks.size() == 1:
            return batches, count
        return [own_part(batch) for batch in batches], sum(map(targets_of, batches))

    def create_optimizer(self, *_: Any, **__: Any) -> torch.optim.Optimizer:
        """The Trainer's own, or Muon, which it has not."""
        settings = self.settings
        if settings.optimizer == "muon":
            assert settings.matrix_learning_rate is not None
            rates = settings.matrix_learning_rate, settings.learning_rate
            self.optimizer = muon(self.model, *rates, settings.weight_decay)
        else:
            super().create_optimizer()
        optimizer: torch.optim.Optimizer = self.optimizer
        return optimizer

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Nats per token over the whole validation split, under a fixed draw of the hashes.

        Interrupted, it has the Trainer save the update that it is of, and stop.
        """
        try:
            # Several processes have to agree on the end of it.
            with self.interrupts.at_once() if ranks.size() == 1 else nullcontext():
                loss = self.validation_loss()
        except KeyboardInterrupt:
            if self.interrupts.asked is None:
                raise
            self.control.should_evaluate = False
            self.control.should_save = self.control.should_training_stop = True
            return {}
        metrics = {"eval_loss": loss}
        self.log(metrics)
        self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def validation_loss(self) -> float:
        """Mean nats per token of the validation split."""
        if ranks.size() > 1:
            return self._validation_loss_together()
        return score(
            self.model,
            self.validation,
            batch_size=self.args.per_device_train_batch_size,
            precision=self.settings.precision,
            hash_seed=self.settings.seed,
            description="validation",
        ).mean_nats

    def _validation_loss_together(self) -> float:
        """The same in several processes, each of which scores every so many-th batch.

        All score equally many, as a signal ends all of them after the same one: where batches are
        missing, the first one again, which is not counted.
        """
        rank, size = ranks.rank(), ranks.size()
        at_a_time = -(-self.args.per_device_train_batch_size // size)
        begins = range(0, len(self.validation.windows), at_a_time)
        rounds: Iterable[int] = range(0, len(begins), size)
        if ranks.is_first():
            rounds = progress.over(rounds, "validation", "batch")
        own = []
        with scoring(self.model, self.settings.precision, self.settings.seed):
            for first in rounds:
                number = first + rank
                begin = begins[number] if number < len(begins) else 0
                batch = slice(begin, begin + at_a_time)
                own.append(score_batch(self.model, self.validation, batch)[0])
                agree_to_end(self.interrupts)
                self.interrupts.raise_if_asked()
        by_round = zip(*of_all(own), strict=True)
        losses = [loss for each in by_round for loss in each][: len(begins)]
        return float(np.concatenate(losses).mean(dtype=np.float64))

    def _save_rng_state(self, output_dir: str) -> None:
        """Where several processes train, no file for each: nothing is drawn from these states."""
        if ranks.size() == 1:
            super()._save_rng_state(output_dir)

    def return_to(self, checkpoint: Path) -> None:
        """Take a checkpoint's weights."""
        if self.spread:
            sharding.fill(self.model, load_file(checkpoint / WEIGHTS))
        else:
            load_model(self.model, checkpoint / WEIGHTS)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """The Trainer's own takes no weights of a model that is spread."""
        if self.spread:
            self.return_to(Path(resume_from_checkpoint))
        else:
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if self.spread and checkpoint is not None:
            optimizer: Any = self.optimizer.optimizer  # type: ignore[attr-defined]
            for part in optimizer.parts if isinstance(optimizer, Both) else [optimizer]:
                sharding.spread_states(part)

    def _save(
        self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None
    ) -> None:
        """Whole weights."""
        if self.spread:
            state_dict = sharding.whole_weights(self.model)
        if ranks.is_first():
            super()._save(output_dir, state_dict)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        """Whole states, as of an optimizer of one process."""
        if not self.spread:
            super()._save_optimizer_and_scheduler(output_dir)
            return
        state = sharding.whole(self.optimizer.state_dict())
        if ranks.is_first():
            torch.save(state, Path(output_dir) / OPTIMIZER_NAME)
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / SCHEDULER_NAME)

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        """The norm of whole gradients."""
        norm = super()._clip_grad_norm(model)
        return sharding.whole(norm) if self.spread else norm

    def return_to_good(self, work: Path) -> str:
        """Take the newest weights whose validation loss is a number, and log that loss.

        Returns:
            The name of the folder that they came from.
        """
        whole = of_first([path for path in checkpoints(work) if is_complete(path)])
        for folder in (*whole, work / INITIAL):
            self.return_to(folder)
            loss = self.validation_loss()
            if math.isfinite(loss):
                break
        self.log({"eval_loss": loss})
        return folder.name


class Progress(ProgressCallback):  # type: ignore[misc]
    """The Trainer's progress bars, without the log that it prints above them at every update."""

    def on_log(self, *_: Any, **__: Any) -> None:
        """Print nothing: the history holds the log."""


class Pacemaker(TrainerCallback):  # type: ignore[misc]
    """Draws what is random in an update from (seed, update), evaluates, and marks checkpoints.

    Draws that depend on nothing else are the same after a resume. The Trainer evaluates before it
    saves, so that a checkpoint of the same update holds the evaluation, unless it was interrupted.

    Attributes:
        diverged: the log of the update whose loss or gradient was no finite number, if any was.
    """

    def __init__(
        self,
        settings: Training,
        evaluated_after: Collection[int],
        elapsed_seconds: float,
        interrupts: Interrupts,
    ) -> None:
        self.settings, self.began = settings, time.monotonic() - elapsed_seconds
        self.evaluated_after = frozenset(evaluated_after)
        self.interrupts = interrupts
        self.diverged: dict[str, float] | None = None

    @property
    def elapsed_seconds(self) -> float:
        """Seconds of training so far, those before an interruption included."""
        return time.monotonic() - self.began

    def on_step_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: PreTrainedModel,
        **_: Any,
    ) -> None:
        """Draw the hashes and the dropout of the update that begins."""
        set_draw(model, self.settings.seed, state.global_step, stream=ranks.rank())

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Ask for an evaluation where one is due, or for a checkpoint and the end."""
        control.should_evaluate = state.global_step in self.evaluated_after
        agree_to_end(self.interrupts)
        if self.interrupts.asked is not None:
            control.should_evaluate = False  # which is made up for by the next attempt
            control.should_save = control.should_training_stop = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float],
        **_: Any,
    ) -> None:
        """Stop at a loss or gradient that is no finite number; such weights are not saved."""
        if not all(math.isfinite(logs.get(name, 0.0)) for name in ("loss", "grad_norm")):
            self.diverged = {"update": state.global_step, **logs}
            control.should_evaluate = control.should_save = False
            control.should_training_stop = True

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Mark the checkpoint that was just written."""
        if ranks.is_first():
            checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            mark_complete(checkpoint, self.elapsed_seconds)


def train(
    model: PreTrainedModel,
    train_split: Split,
    validation: Split,
    settings: Training,
    work: Path,
) -> Trained:
    """Train a model on a split's windows, from the last complete checkpoint in `work`, if any.

    Args:
        model: trained in place.
        train_split: to train on.
        validation: to evaluate on now and then.
        settings: optimizer, schedule, batch size and so on.
        work: the folder of checkpoints.

    Returns:
        history: per update and per epoch; losses in nats per piece.
        timings: wall clock of the whole training, evaluations included, as the published study
            and transformers' Trainer count it.
    """
    windows, length = len(train_split.windows), train_split.length
    if ranks.size() > settings.sequences(length):
        raise parameter_messages.fewer_sequences(settings.sequences(length), ranks.size())
    checkpoint, elapsed_seconds = of_first(_begin(model, work) if ranks.is_first() else (None, 0.0))
    updates = settings.updates_on(windows, length)
    due = settings.evaluated_after(windows, length)
    interrupts = Interrupts()
    pacemaker = Pacemaker(settings, due, elapsed_seconds, interrupts)
    trainer = WindowTrainer(
        model=sharding.spread(model) if _is_spread(settings) else model,
        args=_arguments(model, settings, updates, length, work),
        train_dataset=WindowData(train_split),
        eval_dataset=WindowData(validation),
        validation=validation,
        settings=settings,
        interrupts=interrupts,
        callbacks=[pacemaker],
    )
    trainer.remove_callback(PrinterCallback)
    if not trainer.args.disable_tqdm:
        trainer.remove_callback(ProgressCallback)
        trainer.add_callback(Progress)
    elif ranks.is_first():
        trainer.add_callback(UpdateLines)
    with interrupts.noted(), naming(work):
        _run(trainer, checkpoint, due, elapsed_seconds)
    interrupts.raise_if_asked()
    diverged = None
    if pacemaker.diverged is not None:
        kept = trainer.return_to_good(work)
        if ranks.is_first():
            print(messages.diverged(pacemaker.diverged, kept), file=sys.stderr, flush=True)
        diverged = {name: str(value) for name, value in pacemaker.diverged.items()}
        diverged["model_of"] = kept
        updates = trainer.state.global_step
    if trainer.spread:
        sharding.fill(model, sharding.whole_weights(trainer.model))
    read = min(settings.windows_read(windows, length), updates * settings.sequences(length))
    history = summarise(trainer.state.log_history)
    history["tokens_seen"] = read * length
    if diverged is not None:
        history["diverged_at"] = diverged
    timings = speed(pacemaker.elapsed_seconds, updates, read, history["tokens_seen"])
    return Trained(model, history, timings)


def _begin(model: PreTrainedModel, work: Path) -> tuple[Path | None, float]:
    """The checkpoint to go on from and the seconds until it; without one, keep the weights."""
    checkpoint, elapsed_seconds = last_complete(work)
    if checkpoint is not None:
        print(messages.going_on(checkpoint.name.rpartition("-")[2], elapsed_seconds), flush=True)
    else:
        with whole_folder(work / INITIAL) as folder:
            save_model(model, str(folder / WEIGHTS))
    return checkpoint, elapsed_seconds


def _run(
    trainer: WindowTrainer, checkpoint: Path | None, due: Collection[int], elapsed_seconds: float
) -> None:
    """Train, from a checkpoint if there is one, with the evaluation that it may lack.

    The Trainer itself would do an update too many after a checkpoint of the last one.
    """
    if checkpoint is None:
        trainer.train()
        return
    state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    done = {entry["step"] for entry in state.log_history if "eval_loss" in entry}
    if state.global_step in due and state.global_step not in done:
        trainer.state = state
        trainer.return_to(checkpoint)
        trainer.evaluate()
        trainer.interrupts.raise_if_asked()
        if ranks.is_first():
            state.save_to_json(str(checkpoint / "trainer_state.json"))
            mark_complete(checkpoint, elapsed_seconds)
        of_first(None)  # the others read it next
    if state.global_step >= state.max_steps:
        trainer.state = state
        trainer.return_to(checkpoint)
    else:
        trainer.train(resume_from_checkpoint=str(checkpoint))


def _is_spread(settings: Training) -> bool:
    """Whether each process holds a part of the model; one process holds all of it."""
    return settings.fsdp and ranks.size() > 1


def _arguments(
    model: PreTrainedModel, settings: Training, updates: int, length: int, work: Path
) -> TrainingArguments:
    decay = settings.decay(updates)
    schedule: str = settings.schedule
    details: dict[str, Any] = {}
    if decay is not None:
        details = {"num_decay_steps": decay, "decay_type": schedule}
        schedule = "warmup_stable_decay"
    arguments = TrainingArguments(
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
    if arguments.n_gpu > 1:
        raise messages.several_gpus(arguments.n_gpu)
    return arguments


def summarise(log_history: list[dict[str, Any]]) -> dict[str, Any]:
    """The Trainer's log as a history: an entry for every update and evaluation, and a summary.

    Losses are in nats per piece; a loss or gradient norm that is not finite is None.
    """
    steps = [
        {
            "step": entry["step"],
            "epoch": entry["epoch"],
            "training_loss": finite(entry["loss"]),
            "learning_rate": entry["learning_rate"],
            "gradient_norm": finite(entry["grad_norm"]),
        }
        for entry in log_history
        if "loss" in entry
    ]
    evaluations: list[dict[str, Any]] = []
    for entry in (entry for entry in log_history if "eval_loss" in entry):
        begin = evaluations[-1]["step"] if evaluations else 0
        losses = [s["training_loss"] for s in steps if begin < s["step"] <= entry["step"]]
        evaluations.append(
            {
                "epoch": entry["epoch"],
                "step": entry["step"],
                "training_loss": _mean(losses),
                "validation_loss": finite(entry["eval_loss"]),
            }
        )
    numbers = [e["validation_loss"] for e in evaluations if e["validation_loss"] is not None]
    return {
        "updates": steps[-1]["step"],
        "epochs": round(steps[-1]["epoch"], 3),
        "final_training_loss": evaluations[-1]["training_loss"],
        "best_validation_loss": min(numbers, default=None),
        "steps": steps,
        "evaluations": evaluations,
    }


def _mean(values: list[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return sum(numbers) / len(numbers) if len(numbers) == len(values) else None


def speed(seconds: float, updates: int, windows: int, tokens: int) -> dict[str, float]:
    """Seconds of a training, and updates, windows (the study's samples) and tokens per second."""
    return {
        "runtime_seconds": seconds,
        "steps_per_second": updates / seconds,
        "samples_per_second": windows / seconds,
        "tokens_per_second": tokens / seconds,
    }
