"""The memory tables: models down, lengths across, what was published beside what is predicted."""

from typing import Any

from reformer_seqlen.reporting.memory_tables import NEAR_THE_LIMIT, memory_tables, series_names
from reformer_seqlen.reporting.table import Table

BEYOND = "gpt2 has 1024 positions, 2048 tokens are too many"
TOO_LARGE = "needs 5000 MiB, 4096 MiB are allowed (memory.limits)"


def row(predicted: float | None, **values: Any) -> dict[str, Any]:
    """A memory row as the report knows it: `published` and `measured` are what it has of these."""
    place = {"model": "m", "positions": None, "allocations": None, "batch_size": 16}
    numbers = {"context_mib": 919, "predicted_allocated_mib": None, "predicted_reserved_mib": None}
    return {**place, "sequence_length": 256, **numbers, "why": None, "mib": predicted, **values}


def tables(
    memory: dict[str, dict[str, Any]],
    gpus: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
) -> dict[str, Table]:
    """Every memory table, by name."""
    totals = {"mib": "mib", "published": "published_mib"}
    values = {
        "memory": {
            name: {key: row[mine] for mine, key in totals.items() if row.get(mine) is not None}
            for name, row in memory.items()
        },
        "details": {"memory": {"rows": memory, "gpus": gpus or {}, "training": training or {}}},
        "measured": {
            "memory": {name: row["measured"] for name, row in memory.items() if "measured" in row}
        },
    }
    return {table.name: table for table in memory_tables(values)}


def measured(device: str, mib: float | None, **values: Any) -> dict[str, Any]:
    """What metrics/measured/memory.json has of a row."""
    numbers = dict.fromkeys(f"measured_{key}_mib" for key in ("allocated", "reserved"))
    error = {"measured_error_percent": None, "why": None}
    return {"device": device, "measured_mib": mib, **numbers, **error, **values}


def test_published_predicted_and_error_stand_one_above_the_other() -> None:
    old = {"model": "gpt2", "positions": "own", "allocations": 2021}
    memory = {
        "cp-256": row(1015, positions="axial", published=1015),
        "cp-2048": row(1549, positions="axial", sequence_length=2048, published=1551),
        "old-256": row(3063, **old, published=3063),
        "old-2048": row(None, **old, sequence_length=2048, context_mib=None, why=BEYOND),
        "today-256": row(2835, model="gpt2", positions="own", allocations="today"),
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
    assert table.notes[0] == "Batch 16. Predicted is reserved memory and 919 MiB of CUDA context."
    assert table.notes[1].startswith("`code of 2021` is GPT-2 as transformers 4.11")
    assert table.notes[2:] == [f"N/A old-2048: {BEYOND}."]


def test_a_length_that_the_study_did_not_publish_is_predicted_all_the_same() -> None:
    memory = {"a": row(100, published=100), "b": row(200, sequence_length=512)}
    assert tables(memory)["memory"].rows == [
        ["m", "published", "100", ""],
        ["", "predicted", "100", "200"],
        ["", "error", "0 %", ""],
    ]


def test_what_was_measured_on_a_cpu_is_held_against_what_is_in_use() -> None:
    memory = {
        "a": row(
            1015,
            predicted_allocated_mib=101.25,
            measured=measured("cpu", 100.0, measured_error_percent=1.25),
        ),
        "b": row(
            2000,
            sequence_length=512,
            predicted_allocated_mib=5000.0,
            measured=measured("cpu", None, why=TOO_LARGE),
        ),
        "c": row(3000, sequence_length=1024),
    }
    table = tables(memory)["memory-measured"]
    assert table.headers == ["model", "device", "MiB", "256", "512"]
    assert table.rows == [
        ["m", "cpu", "in use: measured", "100.0", "N/A"],
        ["", "", "in use: predicted", "101.2", "5,000.0"],
        ["", "", "in use: error", "+1.25 %", ""],
    ]
    assert table.notes == ["Batch 16.", f"N/A b: {TOO_LARGE}."]


def test_a_gpu_shows_what_is_reserved_and_held_too() -> None:
    found = measured(
        "T4",
        1010.0,
        measured_allocated_mib=90.0,
        measured_reserved_mib=96.0,
        measured_error_percent=0.0,
    )
    predicted = {"predicted_allocated_mib": 90.0, "predicted_reserved_mib": 96.0}
    memory = {"a": row(1015, **predicted, measured=found)}
    assert [cells[2:] for cells in tables(memory)["memory-measured"].rows] == [
        ["in use: measured", "90.0"],
        ["in use: predicted", "90.0"],
        ["in use: error", "0 %"],
        ["reserved: measured", "96.0"],
        ["reserved: predicted", "96.0"],
        ["process: measured", "1,010.0"],
        ["process: predicted", "1,015.0"],
    ]


def test_what_nobody_asked_for_has_no_rows() -> None:
    assert {name: table.rows for name, table in tables({}).items()} == {
        "memory": [],
        "memory-measured": [],
        "gpus-batch": [],
        "gpus-longest": [],
        "memory-training": [],
    }


def test_batches_are_told_apart_where_there_are_several() -> None:
    memory = {"a": row(100), "b": row(200, batch_size=32)}
    assert series_names(memory) == {"a": "m, batch 16", "b": "m, batch 32"}
    table = tables(memory)["memory"]
    assert [cells[0] for cells in table.rows] == ["m, batch 16", "m, batch 32"]
    assert table.notes == ["Predicted is reserved memory and 919 MiB of CUDA context."]


def test_rows_of_the_same_shape_share_a_cell() -> None:
    memory = {"a": row(100), "b": row(200)}
    assert tables(memory)["memory"].rows == [["m", "predicted", "100 / 200"]]


def test_gpus_stand_down_and_models_across() -> None:
    limit = {"longest_sequence": 4096, "longest_is_limited_by": "memory", "largest_batch": 1050}
    gpu = {"memory_mib": 16384, "context_mib": 512, "fits": True, **limit}
    short = {**gpu, "longest_sequence": 1024, "longest_is_limited_by": "positions"}
    memory = {"a": row(100), "b": row(100, model="gpt2", sequence_length=1024)}
    gpus = {
        "a": {"sequence_length": 256, "batch_size": 16, "gpus": {"T4": gpu}},
        "b": {"sequence_length": 1024, "batch_size": 16, "gpus": {"T4": short}},
    }
    shown = tables(memory, gpus)
    batch, longest = shown["gpus-batch"], shown["gpus-longest"]
    assert batch.headers[:3] == ["GPU", "total memory, MiB", "CUDA context, MiB"]
    assert batch.headers[3:] == ["m, length 256", "gpt2, length 1024"]
    assert batch.rows == [["T4", "16,384", "512", "1,050", "1,050"]]
    assert batch.intro.endswith(NEAR_THE_LIMIT)
    assert longest.headers[3:] == ["m, batch 16", "gpt2, batch 16"]
    assert longest.rows == [["T4", "16,384", "512", "4,096", "1,024 ‡"]]
    assert longest.notes == ["‡ All the positions that the model has."]


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
