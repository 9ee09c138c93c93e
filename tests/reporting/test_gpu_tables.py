"""The tables of a GPU's benchmark."""

from pathlib import Path

import pytest

from reformer_seqlen.reporting.gpu import read_card
from reformer_seqlen.reporting.gpu_tables import card_tables
from reformer_seqlen.reporting.table import Table
from tests.gpu_example import write_card


@pytest.fixture
def tables(tmp_path: Path) -> dict[str, Table]:
    """The tables of a card, by name."""
    write_card(tmp_path)
    return {table.name.removeprefix("gpu-"): table for table in card_tables(read_card(tmp_path))}


def test_every_title_names_the_card(tables: dict[str, Table]) -> None:
    assert all(table.title.startswith("Imaginary GPU: ") for table in tables.values())
    assert all(table.rows for table in tables.values())


def test_parts_say_how_they_ended_and_what_is_missing(tables: dict[str, Table]) -> None:
    assert tables["parts"].rows[0] == ["correctness", "complete", "12.5", "5", "1"]
    assert tables["parts"].rows[3] == ["memory", "complete", "12.5", "2", "1"]


def test_errors_are_judged_in_float32_alone(tables: dict[str, Table]) -> None:
    one, recomputing, distant = tables["errors"].rows
    assert one == [
        "layers local lsh, strict, hash rounds 4, learned positions",
        *("float32", "right", "3.0e-06", "2.0e-07", "5.0e-06", "4.0e-07", "0", "1.0e-06"),
    ]
    assert (
        recomputing[0] == "layers local lsh, strict, hash rounds 1, learned positions, recomputing"
    )
    assert distant[1:3] == ["bfloat16", ""]


def test_checks_show_what_they_found_or_why_not(tables: dict[str, Table]) -> None:
    assert tables["checks"].rows == [
        ["causality, rounds 1", "float32", "right", "earlier change 0"],
        ["cached generation", "float32", "OutOfMemoryError", ""],
    ]


def test_a_wrong_result_stands_out(tmp_path: Path) -> None:
    wrong = {"check": "causality", "precision": "float32", "passed": False}
    write_card(tmp_path, "correctness", results={"checks": [wrong]})
    tables = {table.name: table for table in card_tables(read_card(tmp_path))}
    assert tables["gpu-checks"].rows[0][2] == "**WRONG**"
    assert tables["gpu-parts"].rows == [["correctness", "complete", "12.5", "1", "1"]]


def test_models_stand_side_by_side(tables: dict[str, Table]) -> None:
    assert tables["training"].rows == [
        ["16 x 2,048", "bfloat16", "1,200,000", "240,000", "1,000,000", "", "5.00", "1.20", ""],
        ["4 x 16,384", "bfloat16", "1,100,000", "", "", "", "", "", ""],
    ]
    assert tables["shares"].rows[0] == [
        *("16 x 2,048", "bfloat16", "12% / 50%", "12% / 50%", "12% / 50%, flash"),
        "OutOfMemoryError: 2 GiB",
    ]
    assert tables["rates"].rows == [
        ["products in bfloat16", "600.00", "TFLOP/s"],
        ["copying", "2.50", "TB/s, read and written"],
    ]


def test_what_else_was_timed_is_one_table(tables: dict[str, Table]) -> None:
    assert tables["others"].rows == [
        ["training, deterministic kernels", "ours", "1,000,000", "12% / 50%", ""],
        ["training with torch.compile, 16 x 2,048", "ours", "1,800,000", "12% / 50%",
         "1.50 times as fast as without, after 40 s"],
        ["training with torch.compile, 16 x 2,048", "llama", "", "not measured", ""],
        ["generation", "ours", "250", "1% / 2%", ""],
    ]  # fmt: skip


def test_a_step_and_its_kernels(tables: dict[str, Table]) -> None:
    assert tables["steps"].rows == [["ours", "12.50", "25%", "900", "2.0", "model.py:5 (2)"]]
    assert tables["kernels"].rows == [["`gemm`", "12", "3.500", "28%"]]


def test_memory_shows_the_errors_of_predictions(tables: dict[str, Table]) -> None:
    measured, refused = tables["memory"].rows
    assert measured == [
        *("cp-axial-256, 16 x 256", "inference", "", "", "96", "128", "32", "", ""),
        *("", "+0.50 %", ""),
    ]
    assert tables["memory"].intro.endswith(
        "A process holds 500 MiB of the card beside its tensors, 560 MiB after a matrix product."
    )
    assert refused[-1] == "gpt2 has 1024 positions, 2048 tokens are too many"


def test_curves_are_thinned_to_their_end(tables: dict[str, Table]) -> None:
    rows = tables["curves"].rows
    assert len(rows) == 10
    assert rows[-1] == ["ours", "20.0", "200", "3.000", "3.100"]
    assert tables["curves"].intro.startswith("On a made-up text (1,000 pieces), 16 x 2,048 tokens")


def test_a_card_on_which_nothing_got_anywhere_has_one_table(tmp_path: Path) -> None:
    write_card(tmp_path, "speed", status="killed", results={})
    shown = [table.name for table in card_tables(read_card(tmp_path)) if table.rows]
    assert shown == ["gpu-parts"]
