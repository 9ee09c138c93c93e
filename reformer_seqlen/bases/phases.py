"""A base model's training: one phase after another, each on texts of its own length."""

from collections.abc import Mapping
from pathlib import Path

from transformers import PreTrainedModel

from reformer_seqlen.parameters.models import Pretraining
from reformer_seqlen.runtime.messages import training as messages
from reformer_seqlen.text.chunking import contiguous, refuse_empty
from reformer_seqlen.text.splits import Split
from reformer_seqlen.text.tokens import Tokens
from reformer_seqlen.training.trainer import Trained, train


def train_phases(
    model: PreTrainedModel,
    tokens: Mapping[str, Tokens],
    recipe: Pretraining,
    work: Path,
    key: str,
) -> list[Trained]:
    """Train on one length after another, from the last complete checkpoint in `work`, if any.

    Args:
        model: trained in place.
        tokens: of `train` and `validation`.
        recipe: its phases.
        work: the folder of checkpoints.
        key: the recipe's place in params.yaml, for messages.

    Raises:
        StudyError: a split has no window of some length, and nothing has been trained; or the loss
            was no finite number.
    """
    phases = [
        (
            _windows(tokens["train"], "train", length, key),
            _windows(tokens["validation"], "validation", length, key),
            settings,
            work / f"phase-{number}",
        )
        for number, (length, settings) in enumerate(recipe.trainings())
    ]
    trained = []
    for phase in phases:
        trained.append(train(model, *phase))
        if "diverged_at" in trained[-1].history:
            raise messages.base_diverged(key, trained[-1].history["diverged_at"])
    return trained


def _windows(tokens: Tokens, name: str, length: int, key: str) -> Split:
    windows = contiguous(len(tokens), length, every_token=name == "validation")
    refuse_empty(windows, key, name, len(tokens), length)
    return Split(tokens, windows, length, "contiguous")


def together(phases: list[Trained]) -> dict[str, float]:
    """The seconds of all phases, and the rates over all of them."""
    timings = [phase.timings for phase in phases]
    seconds = sum(each["runtime_seconds"] for each in timings)
    rates = [name for name in timings[0] if name != "runtime_seconds"]
    done = {name: sum(each[name] * each["runtime_seconds"] for each in timings) for name in rates}
    return {"runtime_seconds": seconds, **{name: amount / seconds for name, amount in done.items()}}
