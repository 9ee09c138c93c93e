"""A small finished study for the tests of the figures: runs and memory, with made-up numbers."""

from dataclasses import fields
from typing import Any

from reformer_seqlen.parameters.runs import Run
from reformer_seqlen.reporting.records import (
    Evaluation,
    GpuFit,
    GpusOfRow,
    History,
    MemoryRow,
    Parameters,
    Score,
    Scores,
    Step,
    Timing,
    TrainingPoint,
)
from reformer_seqlen.reporting.results import Results

CORPORA = ("news", "wiki")
LENGTHS = (256, 1024, 4096)


def results(**parts: Any) -> Results:
    """A study with these results and no others."""
    return Results(**{field.name: parts.get(field.name, {}) for field in fields(Results)})


def runs(*models: str, corpora: tuple[str, ...] = CORPORA) -> dict[str, Run]:
    """A run for every model, corpus and length."""
    return {
        f"{corpus}-{model}-{length}": Run(corpus=corpus, model=model, sequence_length=length)
        for corpus in corpora
        for model in models
        for length in LENGTHS
    }


def history(length: int, updates: int = 6) -> History:
    """Three epochs, the better the shorter the sequence."""
    losses = [4 - update / 8 + length / 4096 for update in range(1, updates + 1)]
    steps = [
        Step(step=update, epoch=3 * update / updates, training_loss=loss)
        for update, loss in enumerate(losses, start=1)
    ]
    evaluations = [
        Evaluation(
            step=step.step, epoch=step.epoch, training_loss=None, validation_loss=losses[i] + 0.25
        )
        for i, step in enumerate(steps)
        if step.epoch.is_integer()
    ]
    return History(
        updates=updates,
        epochs=3,
        tokens_seen=0,
        steps=steps,
        evaluations=evaluations,
        parameters=Parameters(total=3, position_table=1, embeddings=0, without_positions=2),
    )


def score(bits_per_byte: float | None, **more: Any) -> Score:
    """A score of this many bits, and of 90 for a unigram model's perplexity."""
    known = {"loss_nats": 2.0, "perplexity": 10.0, "bits_per_byte": bits_per_byte}
    interval = dict.fromkeys(("low", "high"), bits_per_byte)
    sizes = {"tokens": 1000, "bytes": 2000, "unknown_rate": 0.0, "unigram_perplexity": 90.0}
    return Score.model_validate({**known, **interval, **sizes, **more})


def score_in_every_way(bits_per_byte: float, **more: Any) -> Score:
    """The same in a shorter window and with more hash rounds, and the loss by position."""
    worse, better = (
        {"bits_per_byte": bits, "low": bits - 0.1, "high": bits + 0.1, "difference": None}
        for bits in (bits_per_byte + 0.5, bits_per_byte - 0.25)
    )
    positions = [{"up_to": n, "tokens": 1000, "nats": 4 - n / 4} for n in (1, 2, 4)]
    return score(
        bits_per_byte,
        contexts={"64": worse},
        hash_rounds={"2": better},
        by_position=positions,
        **more,
    )


def run_results(study: dict[str, Run]) -> dict[str, Any]:
    """What the stages found out about the runs of a study."""
    lengths = {name: run.sequence_length for name, run in study.items()}
    return {
        "histories": {name: history(length) for name, length in lengths.items()},
        "scores": {
            name: Scores(validation=score(3.5), test=score_in_every_way(3 + length / 4096))
            for name, length in lengths.items()
        },
        "timings": {
            name: Timing(
                runtime_seconds=1,
                steps_per_second=1,
                samples_per_second=1,
                tokens_per_second=1000.5 + length,
                processor="Imaginary CPU",
                threads=2,
                torch="2.13.0",
            )
            for name, length in lengths.items()
        },
    }


def memory_row(model: str, length: int, **values: Any) -> MemoryRow:
    """A row with every number that a machine without a GPU can give."""
    numbers = {
        "predicted_mib": 1000 + length / 2,
        "predicted_allocated_mib": length / 2,
        "measured_mib": length / 2 + 1,
        "published_mib": 1000 + length / 2,
        "composition": {"cache": length / 4, "weights": length / 4},
    }
    shape = {"batch_size": 16, "sequence_length": length}
    return MemoryRow.model_validate({"model": model, **shape, **numbers, **values})


def memory_rows(*models: str) -> dict[str, MemoryRow]:
    """A row for every model and length."""
    return {
        f"{model}-{length}": memory_row(model, length) for model in models for length in LENGTHS
    }


def fit(memory_mib: int, **values: Any) -> GpuFit:
    """A GPU with that much memory, on which a hundredth of its MiB fit as a batch."""
    found = {"fits": True, "longest_sequence": 4096, "longest_is_limited_by": "memory"}
    sizes = {"memory_mib": memory_mib, "context_mib": 512, "largest_batch": memory_mib // 100}
    return GpuFit.model_validate({**sizes, **found, **values})


def searched(model: str, gpus: dict[str, GpuFit], length: int = 256) -> GpusOfRow:
    """What was found for one model on these GPUs."""
    return GpusOfRow(model=model, batch_size=16, sequence_length=length, gpus=gpus)


def training_point(curve: str, layers: int, length: int) -> TrainingPoint:
    """Training at one depth and length: as many MiB as their product."""
    return TrainingPoint(
        curve=curve,
        model="m",
        layers=layers,
        batch_size=1,
        sequence_length=length,
        optimizer="adamw",
        weights_mib=1,
        predicted_allocated_mib=layers * length,
        predicted_reserved_mib=layers * length + 1,
    )


def memory_results() -> dict[str, Any]:
    """What the memory stage found out: two models everywhere, the second on two GPUs."""
    limited = fit(16384, longest_is_limited_by="positions")
    gpus = {
        "big": fit(81920),
        "small": limited,
        "tiny": fit(600, longest_sequence=0, largest_batch=0),
    }
    return {
        "memory": memory_rows("reformer", "gpt2"),
        "memory_gpus": {"gpt2-256": searched("gpt2", gpus)},
        "memory_training": [
            training_point(curve, layers, length)
            for curve in ("a", "b")
            for layers in (6, 12)
            for length in LENGTHS
        ],
    }
