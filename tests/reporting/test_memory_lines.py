"""The lines of the CSV files of memory."""

from typing import Any

from reformer_seqlen.reporting.memory_lines import HELD, IN_USE, memory_lines
from reformer_seqlen.reporting.records import MemoryRow
from tests.plots_example import (
    fit,
    memory_results,
    memory_row,
    memory_rows,
    results,
    runs,
    searched,
    training_point,
)


def lines(name: str, **found: Any) -> list[dict[str, Any]]:
    """The lines of one file, by column."""
    columns, *rows = memory_lines(results(**found), {})[name]
    return [dict(zip(map(str, columns), row, strict=True)) for row in rows]


def numbers(row: MemoryRow) -> list[tuple[str, str, float]]:
    """Quantity, kind and MiB of what is drawn of one row."""
    found = lines("memory", memory={"row": row})
    return [(line["quantity"], line["kind"], line["mib"]) for line in found]


def test_what_is_known_of_a_row_by_quantity_and_kind() -> None:
    assert numbers(memory_row("m", 256)) == [
        (HELD, "published", 1128.0),
        (HELD, "predicted", 1128.0),
        (IN_USE, "predicted", 128.0),
        (IN_USE, "measured", 129.0),
    ]
    assert numbers(MemoryRow(model="m", batch_size=1, sequence_length=64, why="too long")) == []


def test_on_a_gpu_the_process_and_what_was_in_use_are_measured() -> None:
    found = numbers(memory_row("m", 256, measured_mib=2000.0, measured_allocated_mib=130.0))
    assert [line for line in found if line[1] == "measured"] == [
        (HELD, "measured", 2000.0),
        (IN_USE, "measured", 130.0),
    ]


def test_models_that_were_searched_come_first_so_that_colours_agree() -> None:
    found = lines(
        "memory",
        memory=memory_rows("reformer", "gpt2"),
        memory_gpus={"gpt2-256": searched("gpt2", {"one": fit(16384)})},
    )
    assert list(dict.fromkeys(line["series"] for line in found)) == ["gpt2", "reformer"]


def test_the_parts_of_a_bar_and_bars_of_the_same_shape() -> None:
    row = memory_row("m", 256)
    found = lines("memory_composition", memory={"a": row, "b": row, "c": memory_row("m", 1024)})
    assert [(line["bar"], line["kind"], line["mib"]) for line in found] == [
        ("m · 256 (a)", "cache", 64.0),
        ("m · 256 (a)", "weights", 64.0),
        ("m · 256 (b)", "cache", 64.0),
        ("m · 256 (b)", "weights", 64.0),
        ("m · 1024", "cache", 256.0),
        ("m · 1024", "weights", 256.0),
    ]


def test_gpus_are_ordered_by_their_room_and_the_quantity_names_what_was_held() -> None:
    gpus = {"big": fit(81920), "small": fit(16384, longest_is_limited_by="positions")}
    found = lines(
        "memory_gpus",
        memory={
            "a": memory_row("m", 256),
            "b": memory_row("n", 512),
            "c": memory_row("o", 256),
        },
        memory_gpus={
            "a": searched("m", gpus),
            "b": searched("n", gpus, 512),
            "c": searched("o", gpus),
        },
    )
    assert [line["gpu"] for line in found] == ["small"] * 6 + ["big"] * 6
    kept = ("series", "quantity", "largest", "limited_by")
    assert [tuple(line[key] for key in kept) for line in found[:2]] == [
        ("m", "largest batch (sequences) at length 256 (n: 512)", 163, "memory"),
        ("m", "longest sequence (pieces) at batch 16", 4096, "positions"),
    ]


def test_training_points_are_what_was_predicted() -> None:
    point = training_point("a", 6, 256)
    assert lines("memory_training", memory_training=[point]) == [point.model_dump()]


def test_an_update_is_that_of_the_runs_models_at_their_smallest_depth() -> None:
    points = [
        training_point(curve, layers, length)
        for curve in ("other", "tiny")
        for layers in (12, 6)
        for length in (1024, 256)
    ]
    found = results(memory_training=points)
    assert memory_lines(found, runs("tiny"))["update_memory"] == [
        ("curve", "layers", "batch_size", "sequence_length", "mib"),
        ("tiny", 6, 1, 256, 6 * 256),
        ("tiny", 6, 1, 1024, 6 * 1024),
    ]
    curves = [line[0] for line in memory_lines(found, runs("small"))["update_memory"][1:]]
    assert curves == ["other", "other", "tiny", "tiny"]


def test_a_study_without_memory_has_the_columns_alone() -> None:
    found = {name: len(rows) for name, rows in memory_lines(results(), {}).items()}
    assert found == dict.fromkeys(
        ("memory", "memory_composition", "memory_gpus", "memory_training", "update_memory"), 1
    )
    assert len(lines("memory", **memory_results())) == 6 * 4
