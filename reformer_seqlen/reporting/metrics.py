"""The results as plain objects: what metrics/NAME.json hold, rounded, keys in a fixed order."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from reformer_seqlen.reporting.results import History, Results, Scores, Timing
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.paths import METRICS

NAMES = (
    "quality", "training", "timings", "memory", "memory_cards", "memory_training",
    "data", "models", "machine",
)  # fmt: skip
DIGITS = 4


def _rounded(value: Any) -> Any:
    """`value` with every float rounded, so that metrics are stable and easy to compare."""
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return value


def diverged(history: History, above_best_nats: float) -> bool:
    """Whether a run's last validation loss is that much above its best, or no number at all."""
    losses = [item.validation_loss for item in history.evaluations]
    best = min((loss for loss in losses if loss is not None), default=None)
    last = losses[-1] if losses else None
    return best is None or last is None or last > best + above_best_nats


def _quality(scores: Scores, history: History, above_best_nats: float) -> dict[str, Any]:
    validation, test = scores.validation, scores.test
    return {
        "validation_perplexity": validation.perplexity,
        "test_perplexity": test.perplexity,
        "unigram_perplexity": validation.unigram_perplexity,
        "test_unigram_perplexity": test.unigram_perplexity,
        "validation_tokens": validation.tokens,
        "test_tokens": test.tokens,
        "validation_bits_per_byte": validation.bits_per_byte,
        "test_bits_per_byte": test.bits_per_byte,
        "unknown_rate": validation.unknown_rate,
        "test_unknown_rate": test.unknown_rate,
        "diverged": diverged(history, above_best_nats),
        "hash_draws": validation.hash_draws,
        "validation_perplexity_spread": validation.perplexity_spread,
        "test_perplexity_spread": test.perplexity_spread,
        "validation_perplexity_published_lsh": validation.perplexity_published_lsh,
        "test_perplexity_published_lsh": test.perplexity_published_lsh,
        "validation_perplexity_published_lsh_spread": validation.perplexity_published_lsh_spread,
        "test_perplexity_published_lsh_spread": test.perplexity_published_lsh_spread,
    }


def _training(run: str, history: History) -> dict[str, Any]:
    if not history.evaluations:
        raise StudyError(f"the history of `{run}` has no evaluation: run `make repro` again")
    last = history.evaluations[-1]
    losses = [item.validation_loss for item in history.evaluations]
    return {
        "updates": history.updates,
        "epochs": history.epochs,
        "tokens_seen": history.tokens_seen,
        "final_training_loss": last.training_loss,
        "final_validation_loss": last.validation_loss,
        "best_validation_loss": min((loss for loss in losses if loss is not None), default=None),
        "parameters": history.parameters.total,
        "position_parameters": history.parameters.position_table,
        "hash_buckets": history.hash_buckets,
    }


def _timing(timing: Timing) -> dict[str, Any]:
    return timing.model_dump(exclude={"processor", "threads", "torch"})


def _machine(timings: Iterable[Timing]) -> dict[str, str]:
    """Where the runs were trained; several machines are all named."""
    machines = [item.model_dump(include={"processor", "threads", "torch"}) for item in timings]
    return {
        key: " + ".join(dict.fromkeys(str(machine[key]) for machine in machines))
        for key in ("processor", "threads", "torch")
    }


def _data(results: Results) -> dict[str, Any]:
    return {
        "corpora": {name: text.model_dump() for name, text in results.texts.items()},
        "windows": {run: windows.model_dump() for run, windows in results.windows.items()},
    }


def _memory(results: Results) -> dict[str, dict[str, Any]]:
    """The memory metrics; what a row's peak is made of is for the figures and their CSV."""
    rows = {name: item.model_dump(exclude={"composition"}) for name, item in results.memory.items()}
    points = {
        f"{point.curve}-{point.layers}-{point.sequence_length}": point.model_dump()
        for point in results.memory_training
    }
    cards = {row: item.model_dump() for row, item in results.memory_cards.items()}
    return {"memory": rows, "memory_cards": cards, "memory_training": points}


def metrics(results: Results, diverged_above_best_nats: float) -> dict[str, Any]:
    """The objects that go to metrics/NAME.json, by name, rounded."""
    return {
        name: _rounded(value)
        for name, value in {
            "quality": {
                run: _quality(scores, results.histories[run], diverged_above_best_nats)
                for run, scores in results.scores.items()
            },
            "training": {run: _training(run, item) for run, item in results.histories.items()},
            "timings": {
                **{run: _timing(item) for run, item in results.timings.items()},
                **{
                    f"pretrain-{model}": _timing(item)
                    for model, item in results.pretraining_timings.items()
                },
            },
            **_memory(results),
            "data": _data(results),
            "models": {model: item.model_dump() for model, item in results.cards.items()},
            "machine": _machine(results.timings.values()),
        }.items()
    }


def read_metrics(folder: Path = METRICS) -> dict[str, Any]:
    """Read back every metrics/NAME.json.

    Raises:
        StudyError: one is missing or is not JSON.
    """
    found = {}
    for name in NAMES:
        path = folder / f"{name}.json"
        try:
            found[name] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise StudyError(f"{path} is missing: run `make repro`, which writes it") from None
        except json.JSONDecodeError as error:
            raise StudyError(f"{path} is not JSON ({error}): run `make repro`") from error
    return found
