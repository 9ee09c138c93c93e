"""A small finished study for the tests of the report: made-up numbers, every kind of result."""

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from reformer_seqlen.parameters.evaluation import Evaluation
from reformer_seqlen.parameters.model_options import ReformerOptions
from reformer_seqlen.parameters.report import Reporting
from reformer_seqlen.parameters.runs import Run
from reformer_seqlen.parameters.study import Study
from reformer_seqlen.parameters.training import Training
from reformer_seqlen.reporting.metrics import Metrics, metrics
from reformer_seqlen.reporting.results import read_results

LENGTHS = (256, 1024)
CORPORA = ("news", "wiki")
PARAMETERS = {
    "total": 2_600_000,
    "position_table": 100_000,
    "without_positions": 2_500_000,
    "embeddings": 80_000,
}
MACHINE = {
    "processor": "Imaginary CPU",
    "instruction_set": "AVX512, avx512_bf16",
    "threads": 2,
    "cores": 4,
    "libm": "glibc 2.36",
    "switches": "none",
    "python": "3.11.7",
    "torch": "2.13.0",
    "transformers": "5.23.0",
    "numpy": "2.4.6",
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "dirty": False,
}


def runs(corpora: tuple[str, ...] = CORPORA, lengths: tuple[int, ...] = LENGTHS) -> dict[str, Run]:
    """A run for every corpus and length."""
    return {
        f"{corpus}-{length}": Run(corpus=corpus, model="tiny", sequence_length=length)
        for corpus in corpora
        for length in lengths
    }


def one_run(sequence_length: int = 256, **own: Any) -> Run:
    """A run of news and the model `tiny`, with what it says over what holds for all."""
    said = {"corpus": "news", "model": "tiny", "sequence_length": sequence_length, **own}
    return Run.model_validate(said)


def study_of(made: dict[str, Run], **notes: str) -> Study:
    """As much of params.yaml as the report looks at, with notes by model."""
    values = SimpleNamespace(
        profile="tiny",
        runs=made,
        report=Reporting(notes=notes),
        corpora=dict.fromkeys(run.corpus for run in made.values()),
        counts={},
        tokens=dict.fromkeys(f"{run.corpus}-{run.model}" for run in made.values()),
        models={
            run.model: SimpleNamespace(pretraining=SimpleNamespace(train=Training(seed=7)))
            for run in made.values()
        },
        training=lambda name: Training(seed=42) if made[name].is_trained else None,
        evaluation=lambda _: Evaluation(seed=42),
        options=lambda _: ReformerOptions(),
    )
    return cast("Study", values)


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def history(length: int, updates: int = 12, epochs: int = 3) -> dict[str, Any]:
    """A training that gets better, the faster the shorter the sequence."""
    steps = [
        {
            "step": step,
            "epoch": epochs * step / updates,
            "training_loss": 2 + 2 * math.exp(-step * 64 / length),
            "learning_rate": 1e-3,
            "gradient_norm": 1.0,
        }
        for step in range(1, updates + 1)
    ]
    evaluations = [
        {
            "epoch": float(epoch),
            "step": epoch * updates // epochs,
            "training_loss": steps[epoch * updates // epochs - 1]["training_loss"],
            "validation_loss": 2.1 + 2 * math.exp(-epoch * 256 / length),
        }
        for epoch in range(1, epochs + 1)
    ]
    return {
        "updates": updates,
        "epochs": float(epochs),
        "tokens_seen": updates * length * 16,
        "steps": steps,
        "evaluations": evaluations,
        "parameters": {
            "total": 2_600_000,
            "position_table": 100_000,
            "without_positions": 2500000,
            "embeddings": 80_000,
        },
    }


def blocks(length: int) -> NDArray[np.float64]:
    """Forty blocks of 500 bytes, the more nats in them the longer the sequence."""
    nats = (2 + np.arange(40) / 40 + length / 10_000) * 500
    return np.stack([nats, np.full(40, 500.0)], axis=1)


def _score(perplexity: float) -> dict[str, Any]:
    return {
        "loss_nats": math.log(perplexity),
        "perplexity": perplexity,
        "tokens": 10_000,
        "bytes": 20_000,
        "bits_per_byte": math.log2(perplexity) / 2,
        "low": math.log2(perplexity) / 2 - 0.05,
        "high": math.log2(perplexity) / 2 + 0.05,
        "accuracy": 0.5,
        "by_position": [{"up_to": 1, "tokens": 10, "nats": 4.0}],
        "contexts": {"64": {"bits_per_byte": 2.5, "low": 2.4, "high": 2.6, "difference": None}},
        "unknown_rate": 0.00125,
        "unigram_perplexity": 90.0,
        "perplexity_published_lsh": perplexity * 0.98,
        "perplexity_published_lsh_spread": 0.4,
        "hash_draws": 2,
        "perplexity_spread": 0.01,
    }


def _windows(length: int) -> dict[str, Any]:
    split = {
        "tokens": 100_000,
        "contiguous": {"windows": 97, "kept": 100_000 - length, "dropped": length},
        "published": {"windows": 90, "kept": 80_000, "dropped": 20_000},
    }
    return {"policy": "contiguous", "train": split, "validation": split, "test": split}


def write_results(
    data: Path, study: dict[str, Run], rows: tuple[int, ...] = LENGTHS, model: str = "tiny"
) -> None:
    """Write the result files that the stages of this study would leave in `data`."""
    for name, run in study.items():
        length = run.sequence_length
        place = {"run": name, "corpus": run.corpus, "model": run.model, "sequence_length": length}
        perplexity = 10 + length / 512
        trained = history(length)
        speed = {"steps_per_second": 4096 / length, "samples_per_second": 65536 / length}
        timing = {"runtime_seconds": 3723.456, **speed, "tokens_per_second": 65536.0, **MACHINE}
        if not run.is_trained:
            nothing = {"updates": 0, "epochs": 0, "tokens_seen": 0, "steps": [], "evaluations": []}
            trained, timing = {**trained, **nothing}, {"runtime_seconds": 1.5, **MACHINE}
        _write(data / f"histories/{name}.json", {**place, **trained})
        _write(data / f"timings/finetune/{name}.json", timing)
        _write(data / f"timings/evaluate/{name}.json", {"runtime_seconds": 1.5, **MACHINE})
        scores = {"validation": _score(perplexity), "test": _score(perplexity + 1)}
        _write(data / f"evaluations/{name}/scores.json", {**place, **scores})
        for split in scores:
            np.save(data / f"evaluations/{name}/{split}.blocks.npy", blocks(length))
        _write(data / f"windows/{name}/report.json", _windows(length))
        sizes = {split: {"tokens": 100_000, "rows": 2000} for split in ("train", *scores)}
        _write(data / f"tokens/{run.corpus}-{run.model}/tokens.json", {"splits": sizes})
        texts = {split: {"bytes": 1000, "documents": 10} for split in ("train", "validation")}
        made_of = {"file": "all", "what": f"{run.corpus}.txt", "sha256": f"{length:064x}"}
        source = {"corpus": run.corpus, "licence": "made up", "sources": [made_of], "splits": texts}
        _write(data / f"texts/{run.corpus}/source.json", source)
    seconds = {"runtime_seconds": 60.0, "steps_per_second": 2.0, "samples_per_second": 32.0}
    timing = {**seconds, "tokens_per_second": 8192.0, **MACHINE}
    _write(data / f"timings/pretrain/{model}.json", timing)
    _write(data / "timings/benchmark_memory.json", {"runtime_seconds": 1.5, **MACHINE})
    card = {
        "model": model,
        "model_type": "reformer",
        "parameters": {
            "total": 2_600_000,
            "position_table": 100_000,
            "without_positions": 2500000,
            "embeddings": 80_000,
        },
        "layers": ["local", "lsh"],
        "hidden_size": 64,
        "num_attention_heads": 2,
        "vocabulary": 320,
        "pretraining": {
            "tokens_seen": 1_000_000,
            "validation_loss": 2.5,
            "text": {"what": "base.txt", "sha256": "base" * 16},
        },
        "checkpoint": None,
    }
    _write(data / f"bases/{model}/card.json", card)
    write_memory(data, rows)


def write_memory(data: Path, rows: tuple[int, ...] = LENGTHS) -> None:
    """Write the memory rows of these lengths, and studies of the first of them.

    At 256 and batch 16 they are rows of the published study (1015 MiB).
    """
    written = {
        f"memory-{length}": {
            "model": "reformer-cp",
            "positions": "axial",
            "allocations": "today",
            "batch_size": 16,
            "sequence_length": length,
            "device": "cpu",
            "measured_mib": length / 4 + 50,
            "measured_allocated_mib": None,
            "measured_reserved_mib": None,
            "measured_error_percent": 0.5,
            "predicted_mib": 951.0 + length / 4,
            "predicted_allocated_mib": length / 4 + 50.25,
            "predicted_reserved_mib": 32.0 + length / 4,
            "context_mib": 919,
            "weights_mib": 10.0,
            "composition": {"activations": length / 4, "weights": 50.25},
            "why": None,
        }
        for length in rows
    }
    _write(data / "memory/rows.json", written)
    _write(data / "memory/gpus.json", {f"memory-{length}": _gpus(length) for length in rows[:1]})
    points = [_training_point(layers, length) for layers in (6, 12) for length in rows]
    _write(data / "memory/training.json", points)


def _gpus(length: int) -> dict[str, Any]:
    gpu = {"memory_mib": 16384, "context_mib": 512, "fits": True, "largest_batch": 376}
    limit = {"longest_sequence": 4096, "longest_is_limited_by": "positions"}
    large = {**gpu, "memory_mib": 81920, "largest_batch": 2127}
    place = {"model": "reformer-cp", "positions": "axial", "allocations": "today"}
    shape = {"batch_size": 16, "sequence_length": length}
    return {**place, **shape, "gpus": {"large": {**large, **limit}, "small": {**gpu, **limit}}}


def _training_point(layers: int, length: int) -> dict[str, Any]:
    place = {"curve": "reversible", "model": "reformer", "layers": layers}
    shape = {"batch_size": 1, "sequence_length": length, "optimizer": "adafactor"}
    sizes = {"weights_mib": 2.0 * layers, "predicted_allocated_mib": layers + length / 2}
    return {**place, **shape, **sizes, "predicted_reserved_mib": layers + length / 2 + 20}


def metrics_in(root: Path) -> Metrics:
    """The metrics of the finished study whose results are in a folder."""
    return metrics(read_results(study_of(runs()), root), runs(), Reporting())
