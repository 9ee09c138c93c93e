"""Made-up metrics for the tests of tables: what metrics/ would hold of a study of these runs."""

from typing import Any

from reformer_seqlen.parameters.runs import Run

FINETUNING = {
    "runtime_seconds": 4292.244,
    "steps_per_second": 10.123,
    "samples_per_second": 161.04,
    "tokens_per_second": 41234.5,
}
TRAINING = {
    "updates": 1200,
    "epochs": 3,
    "tokens_seen": 4_915_200,
    "diverged": False,
    "parameters": 2_600_000,
    "position_parameters": 100_000,
    "hash_buckets": 16,
    "final_training_loss": 2.0,
    "final_validation_loss": 2.25,
    "best_validation_loss": 2.125,
}


def score(perplexity: float) -> dict[str, Any]:
    """One split of metrics/details/scores.json."""
    return {
        "perplexity": perplexity,
        "perplexity_published_lsh": perplexity - 1,
        "perplexity_published_lsh_spread": 0.044,
        "unigram_perplexity": 90.0,
        "unknown_rate": 0.0403,
    }


def windows() -> dict[str, Any]:
    """The windows of one run."""
    split = {
        "tokens": 1000,
        "contiguous": {"windows": 3, "kept": 998, "dropped": 2},
        "published": {"windows": 3, "kept": 768, "dropped": 232},
    }
    return {"policy": "contiguous", "train": split, "validation": split, "test": split}


def metrics_of(runs: dict[str, Run]) -> dict[str, Any]:
    """Metrics without memory rows; the n-th run scores 10 + n, and one more on the test split."""
    perplexities = {name: 10.0 + i for i, name in enumerate(runs)}
    return {
        "validation": {n: {"bits_per_byte": 1.5, "perplexity": p} for n, p in perplexities.items()},
        "test": {n: {"bits_per_byte": 1.625, "perplexity": p + 1} for n, p in perplexities.items()},
        "memory": {},
        "details": {
            "scores": {
                name: {"validation": score(perplexity), "test": score(perplexity + 1)}
                for name, perplexity in perplexities.items()
            },
            "counts": {},
            "differences": {},
            "training": {name: dict(TRAINING) for name in runs},
            "texts": {"windows": {name: windows() for name in runs}, "corpora": {}},
            "models": {},
            "memory": {"rows": {}, "gpus": {}, "training": {}},
        },
        "measured": {
            "timings": {"finetune": {name: dict(FINETUNING) for name in runs}},
            "memory": {},
            "machine": {"processor": "Imaginary CPU", "threads": "2", "torch": "2.13.0"},
        },
    }
