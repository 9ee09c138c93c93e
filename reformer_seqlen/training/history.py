"""What a training leaves of itself: its losses, update by update, and its speed."""

from typing import Any

from reformer_seqlen.runtime.files import finite


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
