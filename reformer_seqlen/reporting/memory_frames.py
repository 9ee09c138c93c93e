"""The numbers behind the memory figures, as tidy frames: one row per point, bar or part of one."""

from collections.abc import Mapping

import pandas as pd

from reformer_seqlen.reporting.memory_tables import Row, measured_in_use, series_names
from reformer_seqlen.reporting.metrics import DIGITS
from reformer_seqlen.reporting.results import Results

PLACE = ("row", "series", "model", "positions", "allocations", "batch_size", "sequence_length")
"""What leads every line of a row's frames; `series` is what its line is called."""
MEMORY_COLUMNS = (*PLACE, "kind", "mib")
CARDS_COLUMNS = (*PLACE, "card", "memory_mib", "context_mib", "quantity", "largest", "limited_by")
TRAINING_COLUMNS = (
    "curve", "model", "layers", "batch_size", "sequence_length", "optimizer",
    "weights_mib", "predicted_allocated_mib", "predicted_reserved_mib",
)  # fmt: skip
BATCH, LENGTH = "largest batch", "longest sequence"
"""The quantities of the cards' frame."""


def _places(memory: Mapping[str, Row]) -> dict[str, tuple[object, ...]]:
    """The values of PLACE for every row."""
    names = series_names(memory)
    return {
        name: (name, names[name], *(row[key] for key in PLACE[2:])) for name, row in memory.items()
    }


def _kinds(row: Row) -> dict[str, float | None]:
    """What is drawn of a row, by kind: the first two on a GPU, the others in use."""
    return {
        "published": row["published_mib"],
        "predicted": row["predicted_mib"],
        "predicted_in_use": row["predicted_allocated_mib"],
        "measured": measured_in_use(row),
    }


def _memory_frame(memory: Mapping[str, Row]) -> pd.DataFrame:
    places = _places(memory)
    points = [
        (*places[name], kind, round(mib, DIGITS))
        for name, row in memory.items()
        for kind, mib in _kinds(row).items()
        if mib is not None
    ]
    return pd.DataFrame(points, columns=list(MEMORY_COLUMNS))


def _composition_frame(memory: Mapping[str, Row]) -> pd.DataFrame:
    """What the peak of every row is made of; the parts of a row add up to its peak."""
    places = _places(memory)
    parts = [
        (*places[name], kind, round(mib, DIGITS))
        for name, row in memory.items()
        for kind, mib in (row["composition"] or {}).items()
    ]
    return pd.DataFrame(parts, columns=list(MEMORY_COLUMNS))


def _cards_frame(results: Results, memory: Mapping[str, Row]) -> pd.DataFrame:
    """What fits each card: two lines for every card and model that was searched."""
    places = _places(memory)
    found = [
        (*places[name], card, fit.memory_mib, fit.context_mib, quantity, largest, limit)
        for name, study in results.memory_gpus.items()
        for card, fit in study.gpus.items()
        for quantity, largest, limit in (
            (BATCH, fit.largest_batch, "memory"),
            (LENGTH, fit.longest_sequence, fit.longest_is_limited_by),
        )
    ]
    return pd.DataFrame(found, columns=list(CARDS_COLUMNS))


def _training_frame(results: Results) -> pd.DataFrame:
    points = [point.model_dump() for point in results.memory_training]
    return pd.DataFrame(points, columns=list(TRAINING_COLUMNS)).round(DIGITS)


def memory_frames(results: Results) -> dict[str, pd.DataFrame]:
    """The frame of every memory figure; a study without such results has empty ones."""
    memory = {name: row.model_dump() for name, row in results.memory.items()}
    return {
        "memory": _memory_frame(memory),
        "composition": _composition_frame(memory),
        "cards": _cards_frame(results, memory),
        "training": _training_frame(results),
    }
