"""The results as plain objects: what metrics/FOLDER/NAME.json holds, rounded, in a fixed order.

`validation`, `test` and `memory` hold a small flat file for each run or memory row, since DVC
prints a row for each file and a column for each key. `details` holds everything else that the same
inputs give again. What differs from one measurement to the next is in `measured`.
"""

import math
from collections.abc import Mapping
from typing import Any

from reformer_seqlen.parameters.report import Reporting
from reformer_seqlen.reporting.differences import differences, from_counts
from reformer_seqlen.reporting.gap import gaps
from reformer_seqlen.reporting.points import Runs, points
from reformer_seqlen.reporting.records import (
    Computed,
    Counted,
    History,
    Interval,
    MemoryRow,
    Runtime,
    Score,
    Scores,
)
from reformer_seqlen.reporting.results import Results
from reformer_seqlen.reporting.seeds import mean_blocks, of_several
from reformer_seqlen.runtime.errors import StudyError

Metrics = Mapping[str, Mapping[str, Any]]
"""By folder, then by name."""
AT_LEAST = ">="
"""Marks a lower bound in the flat files."""
DIGITS = 4
"""After the point; a smaller number keeps its first SIGNIFICANT digits, up to MOST_DIGITS."""
SIGNIFICANT = 2
MOST_DIGITS = 9
SPEEDS = {"runtime_seconds", "steps_per_second", "samples_per_second", "tokens_per_second"}
MACHINE = ("processor", "threads", "torch", "instruction_set", "libm", "switches")
"""What decides whether two machines compute the same bytes."""
UNKNOWN = "unknown"
PLACE = ("model", "positions", "allocations", "batch_size", "sequence_length")
"""What is inferred in a memory row."""


def rounded(value: float) -> float:
    """A number as metrics/ and plots/ hold it: a small one does not become 0.

    Example: 0.1235 of 0.12345, 0.000012 of 0.0000123, but 0 of what numbers that cancel out leave.
    """
    if not value or not math.isfinite(value):
        return value
    needed = SIGNIFICANT - 1 - math.floor(math.log10(abs(value)))
    return round(value, min(max(DIGITS, needed), MOST_DIGITS))


def _rounded(value: Any) -> Any:
    """`value` with every float rounded, so that metrics are stable and easy to compare."""
    if isinstance(value, float):
        return rounded(value)
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return value


def _known(**values: Any) -> dict[str, Any]:
    """Without those that are None: DVC shows numbers and text alone."""
    return {key: value for key, value in values.items() if value is not None}


def _score(score: Score) -> dict[str, Any]:
    """A line of `dvc metrics show`, 120 columns wide; `lb`: bits per byte are a lower bound."""
    return _known(
        bits_per_byte=score.bits_per_byte,
        low=score.low,
        high=score.high,
        perplexity=score.perplexity,
        lb=AT_LEAST if score.bound else None,
    )


def _scores(scores: Scores) -> dict[str, Any]:
    """The rest; perplexity is there again, since spreads are compared relative to it.

    The spread over hash draws is not known of one draw alone.
    """
    elsewhere = set(Interval.model_fields)
    held = {split: {**it.model_dump(exclude=elsewhere), "bound": it.bound} for split, it in scores}
    for score in held.values():
        if score["hash_draws"] == 1:
            score |= {key: None for key in score if key.endswith("_spread")}
    return held


def _counted(item: Counted) -> dict[str, Any]:
    """What was counted, and what the flat files have no place for."""
    scores = {"validation": item.validation, "test": item.test}
    more = {
        "word_perplexity": _known(**{key: it.word_perplexity for key, it in scores.items()}),
        "bound": _known(**{key: it.bound for key, it in scores.items()}),
    }
    return {
        **item.model_dump(exclude=set(scores)),
        **{key: found for key, found in more.items() if found},
    }


def diverged(history: History, above_best_nats: float) -> bool:
    """Whether a run's last validation loss is that much above its best, or some loss no number."""
    if history.diverged_at is not None:
        return True
    losses = [item.validation_loss for item in history.evaluations]
    best = min((loss for loss in losses if loss is not None), default=None)
    last = losses[-1] if losses else None
    return best is None or last is None or last > best + above_best_nats


def _training(run: str, history: History, above_best_nats: float) -> dict[str, Any]:
    if history.updates and not history.evaluations:
        raise StudyError(f"the history of `{run}` has no evaluation: run `make repro` again")
    last = history.evaluations[-1] if history.evaluations else None
    losses = [item.validation_loss for item in history.evaluations]
    return {
        "updates": history.updates,
        "epochs": history.epochs,
        "tokens_seen": history.tokens_seen,
        "diverged": history.updates > 0 and diverged(history, above_best_nats),
        "final_training_loss": last.training_loss if last else None,
        "final_validation_loss": last.validation_loss if last else None,
        "best_validation_loss": min((loss for loss in losses if loss is not None), default=None),
        "parameters": history.parameters.total,
        "position_parameters": history.parameters.position_table,
        "hash_buckets": history.hash_buckets,
    }


def _texts(results: Results) -> dict[str, Any]:
    return {
        "corpora": {name: text.model_dump() for name, text in results.texts.items()},
        "tokens": {name: item.model_dump()["splits"] for name, item in results.tokens.items()},
        "windows": {run: windows.model_dump() for run, windows in results.windows.items()},
    }


def _predicted(row: MemoryRow) -> dict[str, Any]:
    """What a row is, and how its total is made up; what its peak is made of is in plots/."""
    numbers = {"predicted_allocated_mib", "predicted_reserved_mib", "context_mib", "weights_mib"}
    return {
        **row.model_dump(include={*PLACE, *numbers}),
        "why": row.why if row.predicted_mib is None else None,
    }


def _measured(row: MemoryRow) -> dict[str, Any]:
    numbers = {key for key in MemoryRow.model_fields if key.startswith("measured_")}
    return row.model_dump(include={"device", *numbers, "why"})


def _memory(results: Results) -> dict[str, Any]:
    points = {
        f"{point.curve}-{point.layers}-{point.sequence_length}": point.model_dump()
        for point in results.memory_training
    }
    return {
        "rows": {name: _predicted(row) for name, row in results.memory.items()},
        "gpus": {name: found.model_dump() for name, found in results.memory_gpus.items()},
        "training": points,
    }


def _kinds(results: Results) -> dict[str, Mapping[str, Runtime]]:
    """What is known of how each stage ran, by its kind, then its model or run."""
    return {
        "pretrain": results.pretraining_timings,
        "finetune": results.timings,
        "evaluate": results.evaluation_timings,
    }


def _timings(results: Results) -> dict[str, Any]:
    return {
        kind: {name: timing.model_dump(include=SPEEDS) for name, timing in timings.items()}
        for kind, timings in _kinds(results).items()
    }


def _provenance(results: Results) -> dict[str, Any]:
    """Where each result was computed, by which code and with which seed."""
    fields = set(Computed.model_fields)
    kinds = {
        **_kinds(results),
        "count": results.count_timings,
        "benchmark_memory": {"memory": results.memory_timing},
    }
    return {
        kind: {
            name: _known(
                **timing.model_dump(include=fields), seed=results.seeds.get(kind, {}).get(name)
            )
            for name, timing in timings.items()
        }
        for kind, timings in kinds.items()
    }


def _machine(results: Results) -> dict[str, str]:
    """Where models were trained and scored; several machines are all named."""
    found = [timing for timings in _kinds(results).values() for timing in timings.values()]
    said = {key: dict.fromkeys(str(getattr(it, key)) for it in found) for key in MACHINE}
    return {
        key: " + ".join(value for value in values if value != "None") or UNKNOWN
        for key, values in said.items()
    }


def _compared(results: Results, runs: Runs) -> dict[str, Any]:
    """What is said of several runs together; nothing of what the study has no runs for."""
    found = points(runs)
    several = of_several(found, results.scores, results.blocks)
    gap = gaps(found, runs, results)
    blocks = {point.name: mean_blocks(point, results.blocks) for point in found}
    corpora = {name: count.corpus for name, count in results.counts.items()}
    counts = from_counts(results.blocks, runs, results.count_blocks, corpora)
    between = differences(blocks, found)
    return {
        "differences": {
            name: {**between.get(name, {}), **counts.get(name, {})}
            for name in dict.fromkeys([*between, *counts])
        },
        **({"seeds": several} if several else {}),
        **({"gap": gap} if gap else {}),
    }


def metrics(results: Results, runs: Runs, settings: Reporting) -> Metrics:
    """What belongs into metrics/, by folder and name, rounded."""
    memory = {
        name: _known(mib=row.predicted_mib, published_mib=row.published_mib)
        for name, row in results.memory.items()
    }
    scores = results.scores
    scored: dict[str, Scores] = {**scores, **results.counts}
    values: Metrics = _rounded(
        {
            "validation": {name: _score(item.validation) for name, item in scored.items()},
            "test": {name: _score(item.test) for name, item in scored.items()},
            "memory": {name: values for name, values in memory.items() if values},
            "details": {
                "scores": {run: _scores(item) for run, item in scores.items()},
                "counts": {name: _counted(item) for name, item in results.counts.items()},
                **_compared(results, runs),
                "training": {
                    run: {
                        **_training(run, history, settings.diverged_above_best_nats),
                        "settings": results.settings.get(run, {}),
                    }
                    for run, history in results.histories.items()
                },
                "texts": _texts(results),
                "models": {
                    model: {**card.model_dump(), **_known(note=settings.notes.get(model))}
                    for model, card in results.cards.items()
                },
                "memory": _memory(results),
            },
            "measured": {
                "timings": _timings(results),
                "memory": {
                    name: _measured(row)
                    for name, row in results.memory.items()
                    if row.device is not None
                },
                "machine": _machine(results),
                "provenance": _provenance(results),
            },
        }
    )
    return values
