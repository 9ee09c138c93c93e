"""The memory figures and the frames behind them: any grid, units on axes, steady colours."""

import re
from typing import Any

import pandas as pd
import pytest
from reformer_seqlen.reporting.memory_figures import (
    PALETTE,
    cards_figure,
    composition_figure,
    memory_figure,
    training_figure,
)
from reformer_seqlen.reporting.memory_frames import memory_frames

from reformer_seqlen.reporting.results import GpusOfRow, MemoryRow, Results, TrainingPoint
from tests.reporting.test_figures import colours, drawn_by_dvc

LENGTHS = (256, 1024, 4096)


def memory_row(model: str, length: int, **values: Any) -> MemoryRow:
    """A row with every number."""
    numbers = {
        "predicted_mib": 1000 + length / 2,
        "predicted_allocated_mib": length / 2,
        "measured_mib": length / 2 + 1,
        "published_mib": 1000 + length / 2,
        "composition": {"cache": length / 4, "weights": length / 4},
    }
    return MemoryRow(model=model, batch_size=16, sequence_length=length, **numbers | values)


def _card(memory_mib: int, longest: int = 4096, **values: Any) -> dict[str, Any]:
    return {
        "memory_mib": memory_mib,
        "context_mib": 512,
        "fits": True,
        "longest_sequence": longest,
        "longest_is_limited_by": "memory",
        "largest_batch": memory_mib // 100,
        **values,
    }


def _cards(cards: dict[str, Any], length: int = 256) -> GpusOfRow:
    return GpusOfRow(model="m", batch_size=16, sequence_length=length, cards=cards)


def _point(curve: str, layers: int, length: int) -> TrainingPoint:
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


def frames(
    memory: dict[str, MemoryRow] | None = None,
    cards: dict[str, GpusOfRow] | None = None,
    training: list[TrainingPoint] | None = None,
) -> dict[str, pd.DataFrame]:
    """The frames of a study with these results."""
    none: dict[str, Any] = {}
    return memory_frames(
        Results(none, none, none, none, none, none, none, memory or {}, cards or {}, training or [])
    )


def _rows(*models: str) -> dict[str, MemoryRow]:
    return {
        f"{model}-{length}": memory_row(model, length) for model in models for length in LENGTHS
    }


def _rings(svg: str) -> int:
    return len(re.findall(r'aria-roledescription="point"', svg))


def test_memory_has_a_line_a_model_and_a_ring_a_number_it_is_held_against() -> None:
    rows = _rows("reformer", "gpt2")
    rows["too-long"] = MemoryRow(model="gpt2", batch_size=16, sequence_length=8192, why="too long")
    frame = frames(rows)["memory"]
    assert len(frame) == 4 * 6
    svg = memory_figure(frame)
    for text in ("memory (MiB)", "sequence length (pieces)", "reformer", "gpt2", "4096"):
        assert f">{text}<" in svg
    assert colours(svg) == [*PALETTE[:2], *PALETTE[:2]]
    assert _rings(svg) == 2 * 6
    assert memory_figure(frame) == svg


def test_memory_that_nobody_measured_has_one_panel() -> None:
    rows = {
        name: row.model_copy(update={"measured_mib": None, "predicted_allocated_mib": None})
        for name, row in _rows("m").items()
    }
    svg = memory_figure(frames(rows)["memory"])
    assert len(colours(svg)) == 1
    assert "In use" not in svg


def test_one_number_alone_still_draws() -> None:
    svg = memory_figure(frames({"only": memory_row("m", 64)})["memory"])
    assert ">64<" in svg


def test_what_was_measured_on_a_gpu_is_what_was_in_use() -> None:
    row = memory_row("m", 256, measured_mib=2000.0, measured_allocated_mib=130.0)
    frame = frames({"a": row})["memory"]
    assert frame[frame["kind"] == "measured"]["mib"].tolist() == [130.0]


def test_the_parts_of_a_bar_add_up_to_the_peak() -> None:
    frame = frames(_rows("m"))["composition"]
    assert frame.groupby("row")["mib"].sum().to_dict() == {
        "m-256": 128.0,
        "m-1024": 512.0,
        "m-4096": 2048.0,
    }
    svg = composition_figure(frame)
    for text in ("in use at the peak (MiB)", "share of the peak (%)", "m · 256", "2,048", "cache"):
        assert f">{text}<" in svg
    assert svg.count('aria-roledescription="bar"') == 2 * 6


def test_bars_of_the_same_shape_are_told_apart_and_new_uses_are_drawn() -> None:
    row = memory_row("m", 256, composition={"weights": 1.0, "something": 1.0})
    svg = composition_figure(frames({"a": row, "b": row})["composition"])
    for text in ("m · 256 (a)", "m · 256 (b)", "something"):
        assert f">{text}<" in svg


def test_cards_are_ordered_by_what_they_have_and_keep_the_models_colours() -> None:
    cards = {"big": _card(81920), "small": _card(16384)}
    made = frames(_rows("other", "m"), {"m-256": _cards(cards)})
    svg = cards_figure(made["cards"], ["other", "m"])
    assert re.findall(r">(big|small)<", svg) == ["small", "big"] * 2
    assert ">largest batch at length 256 (sequences)<" in svg
    assert ">longest sequence at batch 16 (pieces)<" in svg
    assert ">What fits a card (predicted)<" in svg
    assert f'fill="{PALETTE[1]}"' in svg
    assert f'fill="{PALETTE[0]}"' not in svg
    assert ">other<" not in svg


def test_cards_mark_what_the_positions_limit_and_leave_out_what_does_not_fit() -> None:
    limited = _card(16384, longest_is_limited_by="positions")
    cards = {
        "a": _cards({"card": limited, "tiny": _card(600, longest=0, largest_batch=0)}),
        "b": _cards({"card": _card(16384)}, length=512),
    }
    made = frames({"a": memory_row("m", 256), "b": memory_row("n", 512)}, cards)["cards"]
    svg = cards_figure(made, ["m", "n"])
    assert "○ all the positions" in svg
    assert _rings(svg) == 1
    assert ">largest batch at length 256 (n: 512) (sequences)<" in svg
    assert svg.count(">tiny<") == 2


def test_training_has_a_panel_a_length_and_a_line_a_model() -> None:
    points = [_point(c, n, at) for c in ("a", "b") for n in (6, 12, 24) for at in LENGTHS]
    svg = training_figure(frames(training=points)["training"])
    for text in ("256 pieces", "4,096 pieces", "layers", "in use at the peak (MiB)", "24"):
        assert f">{text}<" in svg
    assert colours(svg) == [*PALETTE[:2]] * 3
    alone = frames(training=[_point("a", 6, 256)])["training"]
    assert ">256 pieces<" in training_figure(alone)


def test_no_results_make_empty_frames() -> None:
    assert {name: len(frame) for name, frame in frames().items()} == {
        "memory": 0,
        "composition": 0,
        "cards": 0,
        "training": 0,
    }


@pytest.mark.parametrize(
    ("name", "x", "y", "mark", "count"),
    [
        # lines: a model, a kind and a revision; bars: a part; points: a quantity and a card
        ("memory", "sequence_length", "mib", "line mark", 4 * 2),
        ("composition", "mib", "row", "bar", 6 * 2),
        ("cards", "largest", "card", "point", 4 * 2),
        ("training", "layers", "predicted_allocated_mib", "line mark", 3 * 2),
    ],
)
def test_the_templates_of_dvc_plots_draw_everything(
    name: str, x: str, y: str, mark: str, count: int
) -> None:
    cards = {"m-256": _cards({"a": _card(16384), "b": _card(81920)})}
    training = [_point("a", layers, length) for layers in (6, 12) for length in LENGTHS]
    frame = frames(_rows("m"), cards, training)[name]
    points = [
        {str(key): str(cell) for key, cell in line.items()} for line in frame.to_dict("records")
    ]
    svg = drawn_by_dvc(f"{name}.json", x, y, points)
    assert svg.count(f'aria-roledescription="{mark}"') == count
