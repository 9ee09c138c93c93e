"""The memory results as tables: models down, sequence lengths across, as the study printed them.

A model stands there once for every number that is known of it, one above the other, so that what
was published, what is predicted and by how much they differ can be compared at a glance.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from reformer_seqlen.reporting.table import NOTHING, Table, number

Row = Mapping[str, Any]
Cells = Callable[[Row], str]
NOT_THERE = "N/A"
PREDICTED_ONLY = "predicted only"
"""What the row of a model says that nobody asked to measure: no reason to tell people."""
ALL_POSITIONS = " ‡"
LITERALLY = "Nothing larger fits. Not every smaller one does: near the limit, rounding decides."
"""What the largest that fits is (reformer_seqlen.memory.fit)."""


def series_names(memory: Mapping[str, Row]) -> dict[str, str]:
    """What the model of each row is called in tables and figures, the same at every length.

    Args:
        memory: the rows by name.
    """
    several = len({row["batch_size"] for row in memory.values()}) > 1
    return {name: _series(row, several) for name, row in memory.items()}


def _series(row: Row, with_batch: bool) -> str:
    parts = [row["model"]]
    if row["positions"] not in (None, "own"):
        parts.append(f"{row['positions']} positions")
    if row["allocations"] not in (None, "today"):
        parts.append(f"code of {row['allocations']}")
    if with_batch:
        parts.append(f"batch {row['batch_size']}")
    return ", ".join(parts)


def _percent(value: float | None) -> str:
    """A deviation in percent; one that rounds to nothing is none."""
    if value is None:
        return NOTHING
    return f"{value:+.2f} %" if abs(value) >= 0.005 else "0 %"


def measured_in_use(row: Row) -> float | None:
    """What was measured to be in use: allocated on a GPU, resident on a CPU."""
    allocated: float | None = row["measured_allocated_mib"]
    resident: float | None = row["measured_mib"]
    return resident if allocated is None else allocated


def _was_to_be_measured(row: Row) -> bool:
    missed = row["predicted_mib"] is not None and row["why"] not in (None, PREDICTED_ONLY)
    return row["measured_mib"] is not None or missed


def _published(row: Row) -> str:
    """A published row is one of the study's; where its model does not run, the study says N/A."""
    return number(row["published_mib"], 0) or (NOTHING if row["predicted_mib"] else NOT_THERE)


PREDICTION: dict[str, Cells] = {
    "published": _published,
    "predicted": lambda row: number(row["predicted_mib"], 0) or NOT_THERE,
    "error": lambda row: _percent(row["error_percent"]),
}
"""What the first table shows of a row that the study published."""
TODAY: dict[str, Cells] = {"predicted": PREDICTION["predicted"]}
"""What it shows of the others."""


def _on_gpu(key: str) -> Cells:
    """A figure that is held against one that only a GPU can give."""
    return lambda row: NOTHING if row["measured_allocated_mib"] is None else number(row[key], 1)


MEASUREMENT: dict[str, Cells] = {
    "in use: measured": lambda row: number(measured_in_use(row), 1) or NOT_THERE,
    "in use: predicted": lambda row: number(row["predicted_allocated_mib"], 1),
    "in use: error": lambda row: _percent(row["measured_error_percent"]),
    "reserved: measured": _on_gpu("measured_reserved_mib"),
    "reserved: predicted": _on_gpu("predicted_reserved_mib"),
    "process: measured": _on_gpu("measured_mib"),
    "process: predicted": _on_gpu("predicted_mib"),
}
"""What the second table shows of a measured row."""


def _lengths(rows: Iterable[Row]) -> list[int]:
    return sorted({row["sequence_length"] for row in rows})


def _block(
    labels: Iterable[str], rows: list[Row], lines: dict[str, Cells], lengths: list[int]
) -> list[list[str]]:
    """A model's lines, its name in the first; lines with nothing to say are left out."""
    at = {length: [r for r in rows if r["sequence_length"] == length] for length in lengths}
    block: list[list[str]] = []
    for line, cell in lines.items():
        cells = [" / ".join(filter(None, map(cell, found))) for found in at.values()]
        if any(cells):
            block.append([*(NOTHING if block else label for label in labels), line, *cells])
    return block


def _grouped(
    rows: Mapping[str, Row], label: Callable[[str], tuple[str, ...]]
) -> dict[tuple[str, ...], list[Row]]:
    """The rows that share what `label` says of their names."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for name, row in rows.items():
        groups.setdefault(label(name), []).append(row)
    return groups


def _reasons(rows: Mapping[str, Row]) -> list[str]:
    """Why rows lack a number, each reason once with the rows that it holds for."""
    reasons: dict[str, list[str]] = {}
    for name, row in rows.items():
        if row["why"] not in (None, PREDICTED_ONLY):
            reasons.setdefault(row["why"], []).append(name)
    return [f"{NOT_THERE} {', '.join(names)}: {why}." for why, names in reasons.items()]


def _shape_note(rows: Mapping[str, Row]) -> list[str]:
    batches = {row["batch_size"] for row in rows.values()}
    return [f"Batch {batches.pop()}."] if len(batches) == 1 else []


def _context_note(rows: Mapping[str, Row]) -> list[str]:
    contexts = sorted({row["context_mib"] for row in rows.values()} - {None})
    held = " or ".join(number(context, 0) for context in contexts)
    return [f"Predicted is reserved memory and {held} MiB of CUDA context."] if held else []


def _memory_table(memory: Mapping[str, Row]) -> Table:
    title = "Inference memory on a GPU, MiB: published, predicted, error"
    if not memory:
        return Table("memory", title, [], [], ["No memory rows were asked for."])
    names, lengths = series_names(memory), _lengths(memory.values())
    cells = []
    for label, rows in _grouped(memory, lambda name: (names[name],)).items():
        published = any(row["published_mib"] is not None for row in rows)
        cells += _block(label, rows, PREDICTION if published else TODAY, lengths)
    notes = " ".join([*_shape_note(memory), *_context_note(memory)])
    unpredicted = {name: row for name, row in memory.items() if row["predicted_mib"] is None}
    headers = ["model", "MiB", *map(str, lengths)]
    shown = [*filter(None, [notes]), *_reasons(unpredicted)]
    return Table("memory", title, headers, cells, shown, labels=2)


def _measured_table(memory: Mapping[str, Row]) -> Table:
    title = "Inference memory, MiB: measured here and predicted"
    rows = {name: row for name, row in memory.items() if _was_to_be_measured(row)}
    if not rows:
        return Table("memory-measured", title, [], [], ["No memory row was measured."])
    names, lengths = series_names(memory), _lengths(rows.values())
    groups = _grouped(rows, lambda name: (names[name], rows[name]["device"] or NOTHING))
    cells = [
        line
        for labels, group in groups.items()
        for line in _block(labels, group, MEASUREMENT, lengths)
    ]
    headers = ["model", "device", "MiB", *map(str, lengths)]
    notes = [*_shape_note(rows), *_reasons(rows)]
    return Table("memory-measured", title, headers, cells, notes, labels=3)


def _fits(
    name: str, title: str, studies: Mapping[str, Row], headers: list[str], cell: Cells
) -> Table:
    """A table with a row for each card and a column for each model that was searched."""
    cards = {name: card for study in studies.values() for name, card in study["gpus"].items()}
    if not cards:
        return Table(name, title, [], [], ["No search was asked for."])
    rows = [
        [
            card,
            number(values["memory_mib"], 0),
            number(values["context_mib"], 0),
            *(cell(study["gpus"][card]) for study in studies.values()),
        ]
        for card, values in cards.items()
    ]
    shown = ["card", "MiB", "of them context", *headers]
    marked = any(ALL_POSITIONS in cell for row in rows for cell in row)
    notes = [f"{ALL_POSITIONS.strip()} all the positions that the model has."] if marked else []
    return Table(name, title, shown, rows, [LITERALLY, *notes])


def _longest(card: Row) -> str:
    limited = card["longest_is_limited_by"] == "positions"
    return number(card["longest_sequence"], 0) + (ALL_POSITIONS if limited else "")


def _cards_tables(studies: Mapping[str, Row], memory: Mapping[str, Row]) -> list[Table]:
    names = series_names(memory)
    batches = [f"{names[row]}, length {study['sequence_length']}" for row, study in studies.items()]
    lengths = [f"{names[row]}, batch {study['batch_size']}" for row, study in studies.items()]
    return [
        _fits(
            "memory-batch",
            "Largest batch that fits each card (predicted)",
            studies,
            batches,
            lambda card: number(card["largest_batch"], 0),
        ),
        _fits(
            "memory-longest",
            "Longest sequence that fits each card (predicted)",
            studies,
            lengths,
            _longest,
        ),
    ]


def _training_table(points: Mapping[str, Row]) -> Table:
    title = "Training memory in use at the peak, MiB (predicted)"
    if not points:
        return Table("memory-training", title, [], [], ["No training memory was asked for."])
    lengths = _lengths(points.values())
    groups = _grouped(points, lambda name: (points[name]["curve"], str(points[name]["layers"])))
    cells, before = [], NOTHING
    for (curve, layers), rows in groups.items():
        at = {row["sequence_length"]: row["predicted_allocated_mib"] for row in rows}
        label = curve if curve != before else NOTHING
        cells.append([label, layers, *(number(at.get(length), 0) for length in lengths)])
        before = curve
    first = next(iter(points.values()))
    note = f"Batch {first['batch_size']}, optimizer {first['optimizer']}."
    headers = ["model", "layers", *map(str, lengths)]
    return Table("memory-training", title, headers, cells, [note], labels=2)


def memory_tables(metrics: Mapping[str, Any]) -> list[Table]:
    """Every table of memory, of metrics/memory*.json alone."""
    memory = metrics["memory"]
    return [
        _memory_table(memory),
        _measured_table(memory),
        *_cards_tables(metrics["memory_cards"], memory),
        _training_table(metrics["memory_training"]),
    ]
