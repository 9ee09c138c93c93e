"""How far a training is, where no terminal shows a bar: a line a minute."""

import time
from collections.abc import Mapping
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from reformer_seqlen.runtime import progress


class UpdateLines(TrainerCallback):  # type: ignore[misc]
    """Prints update, loss, learning rate and time left."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Begin to count; a training that goes on has updates behind it."""
        self.began = self.printed = time.monotonic()
        self.first = state.global_step

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Print what an update logs, if a minute has passed."""
        now = time.monotonic()
        if logs is None or "loss" not in logs or now - self.printed < progress.LINE_SECONDS:
            return
        self.printed = now
        done, left = state.global_step - self.first, state.max_steps - state.global_step
        remaining = progress.duration((now - self.began) / max(done, 1) * left)
        print(
            f"update {state.global_step:,} of {state.max_steps:,}, loss {logs['loss']:.4g}, "
            f"learning rate {logs['learning_rate']:.3g}, about {remaining} left",
            flush=True,
        )
