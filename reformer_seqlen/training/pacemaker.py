"""What happens around each update: draws, evaluations, checkpoints, the end."""

import math
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from transformers import (
    PreTrainedModel,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_callback import ProgressCallback

from reformer_seqlen.models.causal import set_draw
from reformer_seqlen.parameters.training import Training
from reformer_seqlen.runtime import ranks
from reformer_seqlen.runtime.checkpoints import mark_complete
from reformer_seqlen.runtime.interrupts import Interrupts
from reformer_seqlen.training.together import agree_to_end


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
