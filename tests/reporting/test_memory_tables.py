"""The memory tables: models down, lengths across, what was published beside what is predicted."""

from typing import Any

from ruamel.yaml import YAML

from reformer_seqlen.memory.rows import row_result
from reformer_seqlen.reporting.memory_tables import (
    LITERALLY,
    PREDICTED_ONLY,
    memory_tables,
    series_names,
)
from reformer_seqlen.reporting.published import load_published
from reformer_seqlen.reporting.results import MemoryRow
from reformer_seqlen.reporting.table import Table
from tests.conftest import ROOT
from tests.memory_example import memory_study

BEYOND = "gpt2 has 1024 positions, 2048 tokens are too many"


def row(**values: Any) -> dict[str, Any]:
    """A row of metrics/memory.json."""
    made = MemoryRow(model="m", batch_size=16, sequence_length=256)
    return {**made.model_dump(exclude={"composition"}), **values}


def tables(
    memory: dict[str, Any],
    cards: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
) -> dict[str, Table]:
    """Every memory table, by name."""
    metrics = {
        "memory": memory,
        "memory_cards": cards or {},
        "memory_training": training or {},
    }
    return {table.name: table for table in memory_tables(metrics)}


def _predicted(predicted: float, **values: Any) -> dict[str, Any]:
    return row(predicted_mib=predicted, context_mib=919, why=PREDICTED_ONLY, **values)


def test_published_predicted_and_error_stand_one_above_the_other() -> None:
    old = {"model": "gpt2", "positions": "own", "allocations": 2021}
    memory = {
        "cp-256": _predicted(1015, positions="axial", published_mib=1015, error_percent=0.0),
        "cp-2048": _predicted(
            1549, positions="axial", sequence_length=2048, published_mib=1551, error_percent=-0.129
        ),
        "old-256": _predicted(3063, **old, published_mib=3063, error_percent=0.0),
        "old-2048": row(**old, sequence_length=2048, why=BEYOND),
        "today-256": _predicted(2835, model="gpt2", positions="own", allocations="today"),
    }
    table = tables(memory)["memory"]
    assert table.headers == ["model", "MiB", "256", "2048"]
    assert table.rows == [
        ["m, axial positions", "published", "1,015", "1,551"],
        ["", "predicted", "1,015", "1,549"],
        ["", "error", "0 %", "-0.13 %"],
        ["gpt2, code of 2021", "published", "3,063", "N/A"],
        ["", "predicted", "3,063", "N/A"],
        ["", "error", "0 %", ""],
        ["gpt2", "predicted", "2,835", ""],
    ]
    assert table.labels == 2
    assert table.notes == [
        "Batch 16. Predicted is reserved memory and 919 MiB of CUDA context.",
        f"N/A old-2048: {BEYOND}.",
    ]


def test_a_length_that_the_study_did_not_publish_is_predicted_all_the_same() -> None:
    memory = {
        "a": _predicted(100, published_mib=100, error_percent=0.0),
        "b": _predicted(200, sequence_length=512),
    }
    assert tables(memory)["memory"].rows == [
        ["m", "published", "100", ""],
        ["", "predicted", "100", "200"],
        ["", "error", "0 %", ""],
    ]


def test_what_was_measured_on_a_cpu_is_held_against_what_is_in_use() -> None:
    memory = {
        "a": _predicted(1015, predicted_allocated_mib=101.25)
        | {"device": "cpu", "measured_mib": 100.0, "measured_error_percent": 1.25, "why": None},
        "b": _predicted(2000, sequence_length=512, predicted_allocated_mib=5000.0)
        | {"device": "cpu", "why": "needs 5000 MiB, 4096 MiB are allowed (memory.limits)"},
        "c": _predicted(3000, sequence_length=1024),
    }
    table = tables(memory)["memory-measured"]
    assert table.headers == ["model", "device", "MiB", "256", "512"]
    assert table.rows == [
        ["m", "cpu", "in use: measured", "100.0", "N/A"],
        ["", "", "in use: predicted", "101.2", "5,000.0"],
        ["", "", "in use: error", "+1.25 %", ""],
    ]
    assert table.notes == [
        "Batch 16.",
        "N/A b: needs 5000 MiB, 4096 MiB are allowed (memory.limits).",
    ]


def test_a_gpu_shows_what_is_reserved_and_held_too() -> None:
    gpu = {"device": "T4", "measured_mib": 1010.0, "measured_allocated_mib": 90.0}
    memory = {
        "a": _predicted(1015, predicted_allocated_mib=90.0, predicted_reserved_mib=96.0)
        | {**gpu, "measured_reserved_mib": 96.0, "measured_error_percent": 0.0, "why": None}
    }
    assert [cells[2:] for cells in tables(memory)["memory-measured"].rows] == [
        ["in use: measured", "90.0"],
        ["in use: predicted", "90.0"],
        ["in use: error", "0 %"],
        ["reserved: measured", "96.0"],
        ["reserved: predicted", "96.0"],
        ["process: measured", "1,010.0"],
        ["process: predicted", "1,015.0"],
    ]


def test_nothing_asked_for_is_said() -> None:
    assert {name: table.markdown() for name, table in tables({}).items()} == {
        "memory": "No memory rows were asked for.",
        "memory-measured": "No memory row was measured.",
        "memory-batch": "No search was asked for.",
        "memory-longest": "No search was asked for.",
        "memory-training": "No training memory was asked for.",
    }


def test_batches_are_told_apart_where_there_are_several() -> None:
    memory = {"a": _predicted(100), "b": _predicted(200, batch_size=32)}
    assert series_names(memory) == {"a": "m, batch 16", "b": "m, batch 32"}
    table = tables(memory)["memory"]
    assert [cells[0] for cells in table.rows] == ["m, batch 16", "m, batch 32"]
    assert table.notes == ["Predicted is reserved memory and 919 MiB of CUDA context."]


def test_rows_of_the_same_shape_share_a_cell() -> None:
    memory = {"a": _predicted(100), "b": _predicted(200)}
    assert tables(memory)["memory"].rows == [["m", "predicted", "100 / 200"]]


def test_cards_stand_down_and_models_across() -> None:
    limit = {"longest_sequence": 4096, "longest_is_limited_by": "memory", "largest_batch": 1050}
    card = {"memory_mib": 16384, "context_mib": 512, "fits": True, **limit}
    short = {**card, "longest_sequence": 1024, "longest_is_limited_by": "positions"}
    memory = {"a": _predicted(100), "b": _predicted(100, model="gpt2", sequence_length=1024)}
    shape = {"batch_size": 16}
    cards = {
        "a": {"sequence_length": 256, **shape, "cards": {"T4": card}},
        "b": {"sequence_length": 1024, **shape, "cards": {"T4": short}},
    }
    shown = tables(memory, cards)
    assert shown["memory-batch"].headers[3:] == ["m, length 256", "gpt2, length 1024"]
    assert shown["memory-batch"].rows == [["T4", "16,384", "512", "1,050", "1,050"]]
    assert shown["memory-batch"].notes == [LITERALLY]
    assert shown["memory-longest"].headers[3:] == ["m, batch 16", "gpt2, batch 16"]
    assert shown["memory-longest"].rows == [["T4", "16,384", "512", "4,096", "1,024 ‡"]]
    assert shown["memory-longest"].notes == [
        LITERALLY,
        "‡ all the positions that the model has.",
    ]


def test_training_has_a_row_a_model_and_depth() -> None:
    training = {
        f"{curve}-{layers}-{length}": {
            "curve": curve,
            "layers": layers,
            "batch_size": 1,
            "sequence_length": length,
            "optimizer": "adafactor",
            "predicted_allocated_mib": float(layers * length),
        }
        for curve in ("reformer", "gpt2")
        for layers in (6, 12)
        for length in (256, 1024)
    }
    del training["gpt2-12-256"]
    table = tables({}, training=training)["memory-training"]
    assert table.headers == ["model", "layers", "256", "1024"]
    assert table.rows == [
        ["reformer", "6", "1,536", "6,144"],
        ["", "12", "3,072", "12,288"],
        ["gpt2", "6", "1,536", "6,144"],
        ["", "12", "", "12,288"],
    ]
    assert table.notes == ["Batch 1, optimizer adafactor."]


def test_a_row_that_was_not_to_be_measured_says_what_the_tables_pass_over() -> None:
    result = row_result(memory_study(), "reformer-cp-axial-256")
    assert result["why"] == PREDICTED_ONLY


NAMES = {"Reformer C/P": "reformer-cp", "Reformer en8": "reformer-en8", "GPT-2 base": "gpt2"}
POSITIONS = {"without axial": "learned", "with axial": "axial", "learned": "own"}


def test_every_published_cell_has_its_row_in_the_study() -> None:
    published = load_published()["memory"]
    expected = {
        (NAMES[line["model"]], POSITIONS[line["positions"]], int(length)): mib
        for line in published["rows"]
        for length, mib in line["mib"].items()
    }
    rows = YAML(typ="safe").load(ROOT / "conf/memory/published.yaml")["rows"].values()
    found = {
        (r["model"], r.get("positions", "own"), r["sequence_length"]): r.get("published_mib")
        for r in rows
        if r["batch_size"] == published["batch_size"]
        and (r["model"] != "gpt2" or r.get("allocations") == 2021)
    }
    assert len(expected) == 16
    assert {place: found[place] for place in expected} == expected
