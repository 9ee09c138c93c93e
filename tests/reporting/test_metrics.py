"""What metrics/ holds of a finished study."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from reformer_seqlen.reporting.metrics import (
    rounded,
)
from tests.report_example import LENGTHS, MACHINE, metrics_in


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_a_run_has_a_small_flat_file_for_each_split(finished: Path) -> None:
    values = metrics_in(finished)
    assert list(values["test"]) == ["news-256", "news-1024", "wiki-256", "wiki-1024"]
    for split, perplexity in (("validation", 10.5), ("test", 11.5)):
        bits = math.log2(perplexity) / 2
        assert values[split]["news-256"] == {
            "bits_per_byte": round(bits, 4),
            "low": round(bits - 0.05, 4),
            "high": round(bits + 0.05, 4),
            "perplexity": perplexity,
            "lb": ">=",  # some of its pieces are unknown
        }


def test_a_memory_row_has_one_too_with_what_was_published(finished: Path) -> None:
    assert metrics_in(finished)["memory"] == {
        "memory-256": {"mib": 1015.0, "published_mib": 1015.0},
        "memory-1024": {"mib": 1207.0},
    }


def test_what_is_no_number_is_left_out_of_the_flat_files(finished: Path) -> None:
    path = finished / "data/evaluations/news-256/scores.json"
    scores = _read(path)
    scores["test"] |= {"perplexity": None, "bits_per_byte": None, "low": None, "high": None}
    path.write_text(json.dumps(scores))
    path = finished / "data/memory/rows.json"
    rows = _read(path)
    rows["memory-1024"] |= {"predicted_mib": None, "why": "too many tokens"}
    path.write_text(json.dumps(rows))
    values = metrics_in(finished)
    assert values["test"]["news-256"] == {}
    assert list(values["memory"]) == ["memory-256"]
    assert values["details"]["memory"]["rows"]["memory-1024"]["why"] == "too many tokens"


def test_the_details_say_which_split_they_are_of(finished: Path) -> None:
    details = metrics_in(finished)["details"]
    assert list(details["scores"]["news-256"]) == ["validation", "test"]
    assert details["scores"]["news-256"]["test"] == {
        "accuracy": 0.5,
        "bound": "lower",  # the tokenizer does not know all of the text
        "bytes": 20_000,
        "by_position": [{"up_to": 1, "tokens": 10, "nats": 4.0}],
        "contexts": {"64": {"bits_per_byte": 2.5, "low": 2.4, "high": 2.6, "difference": None}},
        "perplexity": 11.5,
        "tokens": 10_000,
        "unknown_rate": 0.0013,
        "unigram_perplexity": 90.0,
        "perplexity_published_lsh": 11.27,
        "perplexity_published_lsh_spread": 0.4,
        "hash_draws": 2,
        "perplexity_spread": 0.01,
        "hash_rounds": {},
        "protocols": {},
        "word_perplexity": None,
    }
    training = details["training"]["wiki-1024"]
    assert training["updates"] == 12
    assert training["epochs"] == 3
    assert training["tokens_seen"] == 12 * 1024 * 16
    assert training["diverged"] is False
    assert training["best_validation_loss"] == training["final_validation_loss"]
    assert training["final_training_loss"] == round(2 + 2 * math.exp(-12 / 16), 4)
    assert details["texts"]["corpora"]["news"]["splits"]["train"]["bytes"] == 1000
    assert details["models"]["tiny"]["parameters"]["total"] == 2_600_000


def test_the_details_of_memory_are_what_is_predicted(finished: Path) -> None:
    memory = metrics_in(finished)["details"]["memory"]
    assert memory["rows"]["memory-256"] == {
        "model": "reformer-cp",
        "positions": "axial",
        "allocations": "today",
        "batch_size": 16,
        "sequence_length": 256,
        "predicted_allocated_mib": 114.25,
        "predicted_reserved_mib": 96.0,
        "context_mib": 919,
        "weights_mib": 10.0,
        "why": None,
    }
    assert memory["gpus"]["memory-256"]["gpus"]["large"]["largest_batch"] == 2127
    assert list(memory["training"]) == [
        f"reversible-{layers}-{length}" for layers in (6, 12) for length in LENGTHS
    ]
    assert memory["training"]["reversible-12-1024"]["predicted_allocated_mib"] == 524.0


def test_what_was_measured_has_files_of_its_own(finished: Path) -> None:
    measured = metrics_in(finished)["measured"]
    assert list(measured["timings"]) == ["pretrain", "finetune", "evaluate"]
    assert measured["timings"]["finetune"]["news-256"] == {
        "runtime_seconds": 3723.456,
        "steps_per_second": 16.0,
        "samples_per_second": 256.0,
        "tokens_per_second": 65536.0,
    }
    assert measured["timings"]["evaluate"]["news-256"] == {"runtime_seconds": 1.5}
    assert list(measured["timings"]["pretrain"]) == ["tiny"]
    assert measured["machine"] == {
        "processor": "Imaginary CPU",
        "threads": "2",
        "torch": "2.13.0",
        "instruction_set": "AVX512, avx512_bf16",
        "libm": "glibc 2.36",
        "switches": "none",
    }
    assert measured["provenance"]["finetune"]["news-256"] == {**MACHINE, "seed": 42}
    assert measured["provenance"]["pretrain"]["tiny"] == {**MACHINE, "seed": 7}
    assert measured["memory"]["memory-256"] == {
        "device": "cpu",
        "measured_mib": 114.0,
        "measured_allocated_mib": None,
        "measured_reserved_mib": None,
        "measured_error_percent": 0.5,
        "why": None,
    }


def test_runs_from_several_machines_name_them_all(finished: Path) -> None:
    path = finished / "data/timings/finetune/wiki-256.json"
    path.write_text(path.read_text().replace("Imaginary CPU", "Other CPU"))
    machine = metrics_in(finished)["measured"]["machine"]
    assert machine["processor"] == "Imaginary CPU + Other CPU"


def test_of_one_hash_draw_no_spread_is_known(finished: Path) -> None:
    path = finished / "data/evaluations/news-256/scores.json"
    scores = _read(path)
    zero = {"perplexity_spread": 0.0, "perplexity_published_lsh_spread": 0.0}
    scores["test"] |= {"hash_draws": 1, **zero}
    path.write_text(json.dumps(scores))
    held = metrics_in(finished)["details"]["scores"]["news-256"]
    assert [held["test"][key] for key in zero] == [None, None]
    assert [held["validation"][key] for key in zero] == [0.01, 0.4]


@pytest.mark.parametrize(
    ("value", "held"),
    [
        (0.12345, 0.1235),
        (0.00123, 0.0012),
        (0.0000123, 0.000012),
        (1e-17, 0.0),
        (math.inf, math.inf),
    ],
)
def test_small_numbers_keep_two_digits(value: float, held: float) -> None:
    assert rounded(value) == held


def test_stages_of_an_older_version_say_less(finished: Path) -> None:
    for path in (finished / "data/timings").rglob("*.json"):
        timing = _read(path)
        del timing["instruction_set"], timing["commit"]
        path.write_text(json.dumps(timing))
    measured = metrics_in(finished)["measured"]
    assert measured["machine"]["instruction_set"] == "unknown"
    assert "commit" not in measured["provenance"]["finetune"]["news-256"]


def test_a_run_that_ends_without_a_loss_diverged(finished: Path) -> None:
    path = finished / "data/histories/news-256.json"
    history = _read(path)
    history["steps"][-1]["training_loss"] = None
    history["evaluations"][-1] |= {"training_loss": None, "validation_loss": None}
    path.write_text(json.dumps(history))
    training = metrics_in(finished)["details"]["training"]["news-256"]
    assert training["diverged"] is True
    assert training["final_validation_loss"] is None
    best = history["evaluations"][1]["validation_loss"]
    assert training["best_validation_loss"] == round(best, 4)


def test_a_run_that_was_stopped_at_a_loss_that_is_no_number_diverged(finished: Path) -> None:
    """Its last evaluation is of the last good weights, and may be its best."""
    path = finished / "data/histories/news-256.json"
    path.write_text(json.dumps({**_read(path), "diverged_at": {"update": "7", "loss": "nan"}}))
    assert metrics_in(finished)["details"]["training"]["news-256"]["diverged"] is True
