"""transformers' Trainer over windows, in one process or in several that share each batch."""

import math
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors.torch import load_file, load_model
from torch import nn
from torch.utils.data import DataLoader
from transformers import Trainer
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME

from reformer_seqlen.models.muon import Both, muon
from reformer_seqlen.parameters.training import Training
from reformer_seqlen.reformer.precision import faster_dtype
from reformer_seqlen.runtime import progress, ranks
from reformer_seqlen.runtime.checkpoints import checkpoints, is_complete
from reformer_seqlen.runtime.interrupts import Interrupts
from reformer_seqlen.scoring.loss import nats, score, score_batch, scoring
from reformer_seqlen.text.splits import Split
from reformer_seqlen.training import sharding
from reformer_seqlen.training.together import agree_to_end, of_all, of_first, own_part, targets_of

INITIAL = "initial"
"""The folder of the weights before the first update."""
WEIGHTS = "model.safetensors"


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
        self.spread = is_spread(settings)
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
            products = faster_dtype(self.model.device)
            self.optimizer = muon(self.model, *rates, settings.weight_decay, products)
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
        rounds = range(0, len(begins), size)
        shown = progress.over(rounds, "validation", "batch") if ranks.is_first() else rounds
        own = []
        with scoring(self.model, self.settings.precision, self.settings.seed):
            for first in shown:
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


def is_spread(settings: Training) -> bool:
    """Whether each process holds a part of the model; one process holds all of it."""
    return settings.fsdp and ranks.size() > 1
