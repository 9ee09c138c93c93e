"""Made-up results of the GPU benchmark, a few rows of every part."""

import json
from pathlib import Path
from typing import Any

HEAD: dict[str, Any] = {
    "card": "Imaginary GPU",
    "device": "cuda",
    "driver": "570.86.15",
    "versions": {"torch": "2.11.0", "transformers": "5.17.0"},
    "commit": "0123456789abcdef",
    "status": "complete",
    "seconds": 12.5,
}
COMPARED = {"lsh_causality": "strict", "padding": False, "positions": "learned"}
ERRORS = {
    "logits_peak_error": 3e-6,
    "logits_mean_error": 2e-7,
    "gradients_peak_error": 5e-6,
    "gradients_mean_error": 4e-7,
    "other_buckets": 0.0,
    "other_units": 1e-6,
}
SHAPE = {"batch_size": 16, "sequence_length": 2048, "precision": "bfloat16"}


def _error(**changes: Any) -> dict[str, Any]:
    place = {"layers": "local lsh", "rounds": 4, "reversible": "off", "precision": "float32"}
    return {**place, **COMPARED, **ERRORS, "passed": True, **changes}


def _speed(model: str, tokens: int, **shape: int) -> dict[str, Any]:
    shares = {"share_of_products": 0.125, "share_of_copy": 0.5, "step_seconds": 0.01}
    return {**SHAPE, **shape, "model": model, "tokens_per_second": tokens, **shares}


RESULTS: dict[str, dict[str, Any]] = {
    "correctness": {
        "errors": [
            _error(),
            _error(reversible="on", rounds=1),
            _error(precision="bfloat16", passed=None),
        ],
        "checks": [
            {"check": "causality, rounds 1", "precision": "float32", "earlier_change": 0.0,
             "passed": True},
            {"check": "cached generation", "precision": "float32", "why": "OutOfMemoryError"},
        ],
    },
    "speed": {
        "rates": {"bfloat16": 600e12, "copy": 2.5e12},
        "training": [
            _speed("ours", 1_200_000),
            _speed("stock", 240_000),
            {**_speed("gpt2", 1_000_000), "attention": ["flash_attention"]},
            _speed("ours", 1_100_000, batch_size=4, sequence_length=16384),
            {**SHAPE, "model": "llama", "why": "OutOfMemoryError: 2 GiB"},
            _speed("ours, deterministic", 1_000_000),
        ],
        "evaluation": [_speed("ours", 3_000_000)],
        "generation": [{"model": "ours", "tokens_per_second": 250.4, "share_of_products": 0.01,
                        "share_of_copy": 0.02}],
        "compiled": [
            {**_speed("ours", 1_800_000), "times_as_fast": 1.5, "compile_seconds": 40.2},
            {**SHAPE, "model": "llama", "why": "not measured"},
        ],
    },
    "profile": {
        "steps": [{"model": "ours", "step_seconds": 0.0125, "host_share": 0.25, "launches": 900.0,
                   "synchronisations": 2.0, "waiting_lines": {"model.py:5": 2}}],
        "kernels": [{"model": "ours", "kernel": "gemm", "calls": 12.0, "milliseconds": 3.5,
                     "share": 0.28}],
    },
    "memory": {
        "context": {"context_mib": 500.0, "context_with_products_mib": 560.0},
        "rows": [
            {"row": "cp-axial-256", "kind": "inference", "batch_size": 16, "sequence_length": 256,
             "predicted_reserved_mib": 96.0, "reserved_mib": 128.0, "workspace_mib": 32.0,
             "reserved_error_percent": 0.5},
            {"row": "gpt2-2048", "kind": "inference", "batch_size": 16, "sequence_length": 2048,
             "why": "gpt2 has 1024 positions, 2048 tokens are too many"},
        ],
    },
    "training": {
        "text": {"source": "a made-up text", "pieces": 1000},
        "setting": {"batch_size": 16, "sequence_length": 2048, "precision": "bfloat16"},
        "curves": [
            {"model": "ours", "points": [
                {"seconds": float(i), "updates": 10 * i, "training_loss": 5 - i / 10,
                 "validation_loss": 5.1 - i / 10} for i in range(1, 21)]},
        ],
    },
}  # fmt: skip


def write_card(folder: Path, *parts: str, **changes: Any) -> None:
    """Write the files of these parts, or of all, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in parts or RESULTS:
        content = {"part": part, **HEAD, "results": RESULTS[part], **changes}
        (folder / f"{part}.json").write_text(json.dumps(content), encoding="utf-8")
