"""The memory results as tables: models down, sequence lengths across, as the study printed them.

A model stands there once for every number that is known of it, one above the other, so that what
was published, what is predicted and by how much they differ can be compared at a glance.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from reformer_seqlen.reporting.metrics import Metrics
from reformer_seqlen.reporting.table import NOTHING, Table, number, percent

Row = Mapping[str, Any]
Cells = Callable[[Row], str]
NOT_THERE = "N/A"
ALL_POSITIONS = " ‡"
CODE_OF_2021 = (
    "`code of 2021` is GPT-2 as transformers 4.11 allocated it, which the published study "
    "measured. All other models are today's code."
)
NEAR_THE_LIMIT = (
    "Nothing larger than this fits, but something slightly smaller may not fit either: the "
    "allocator loses memory to fragmentation, and how much depends on how the sizes of a shape's "
    "requests are rounded. Leave some room below the limit."
)


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


def measured_in_use(row: Row) -> float | None:
    """What was measured to be in use: allocated on a GPU, resident on a CPU."""
    allocated: float | None = row["measured_allocated_mib"]
    resident: float | None = row["measured_mib"]
    return resident if allocated is None else allocated


def _published(row: Row) -> str:
    """As printed; N/A where the model does not run, for which the study says the same."""
    return number(row["published_mib"], 0) or (NOTHING if row["predicted_mib"] else NOT_THERE)


def _predicted(row: Row) -> str:
    return number(row["predicted_mib"], 0) or NOT_THERE


def _error(row: Row) -> str:
    """By how much the prediction misses what was published."""
    predicted, published = row["predicted_mib"], row["published_mib"]
    if predicted is None or published is None:
        return NOTHING
    return percent(100 * (predicted - published) / published)


BESIDE_PUBLISHED: dict[str, Cells] = {
    "published": _published,
    "predicted": _predicted,
    "error": _error,
}
"""The lines of a model that the study published, in the first table."""
ALONE: dict[str, Cells] = {"predicted": _predicted}
"""The lines of the others."""


def _on_gpu(key: str) -> Cells:
    """A figure that is held against one that only a GPU can give."""
    return lambda row: NOTHING if row["measured_allocated_mib"] is None else number(row[key], 1)


MEASUREMENT: dict[str, Cells] = {
    "in use: measured": lambda row: number(measured_in_use(row), 1) or NOT_THERE,
    "in use: predicted": lambda row: number(row["predicted_allocated_mib"], 1),
    "in use: error": lambda row: percent(row["measured_error_percent"]),
    "reserved: measured": _on_gpu("measured_reserved_mib"),
    "reserved: predicted": _on_gpu("predicted_reserved_mib"),
    "process: measured": _on_gpu("measured_mib"),
    "process: predicted": _on_gpu("predicted_mib"),
}
"""The lines of a measured model, in the second table."""


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
        if row["why"] is not None:
            reasons.setdefault(row["why"], []).append(name)
    return [f"{NOT_THERE} {', '.join(names)}: {why}." for why, names in reasons.items()]


def _shape_note(rows: Mapping[str, Row]) -> list[str]:
    batches = {row["batch_size"] for row in rows.values()}
    return [f"Batch {batches.pop()}."] if len(batches) == 1 else []


def _context_note(rows: Mapping[str, Row]) -> list[str]:
    contexts = sorted({row["context_mib"] for row in rows.values()} - {None})
    held = " or ".join(number(context, 0) for context in contexts)
    return [f"Predicted is reserved memory and {held} MiB of CUDA context."] if held else []


def _code_note(rows: Mapping[str, Row]) -> list[str]:
    old = any(row["allocations"] == 2021 for row in rows.values())
    return [CODE_OF_2021] if old else []


def _memory_table(memory: Mapping[str, Row]) -> Table:
    names, lengths = series_names(memory), _lengths(memory.values())
    cells = []
    for label, rows in _grouped(memory, lambda name: (names[name],)).items():
        published = any(row["published_mib"] is not None for row in rows)
        cells += _block(label, rows, BESIDE_PUBLISHED if published else ALONE, lengths)
    notes = " ".join([*_shape_note(memory), *_context_note(memory)])
    headers = ["model", "MiB", *map(str, lengths)]
    shown = [*filter(None, [notes]), *_code_note(memory), *_reasons(memory)]
    intro = (
        "How much a forward pass takes is predicted from a model's configuration alone: it runs "
        "without weights, data or a GPU, and every request goes through a simulated CUDA caching "
        "allocator. *Published* is what the driver showed: memory that the allocator has reserved, "
        "and the CUDA context. *Predicted* is the same."
    )
    title = "Inference memory on a GPU, MiB"
    return Table("memory", title, headers, cells, shown, labels=2, intro=intro)


def _measured_table(memory: Mapping[str, Row], measured: Mapping[str, Row]) -> Table:
    rows = {name: {**memory[name], **row} for name, row in measured.items() if name in memory}
    names, lengths = series_names(memory), _lengths(rows.values())
    groups = _grouped(rows, lambda name: (names[name], rows[name]["device"]))
    cells = [
        line
        for labels, group in groups.items()
        for line in _block(labels, group, MEASUREMENT, lengths)
    ]
    headers = ["model", "device", "MiB", *map(str, lengths)]
    notes = [*_shape_note(rows), *_reasons(rows)]
    title = "Inference memory, MiB: measured and predicted"
    intro = "Measured on the device at hand, over the process's own baseline."
    return Table("memory-measured", title, headers, cells, notes, labels=3, intro=intro)


def _fits(
    name: str, title: str, intro: str, studies: Mapping[str, Row], shapes: list[str], cell: Cells
) -> Table:
    """A table with a row for each GPU and a column for each model that was searched."""
    gpus = {name: gpu for study in studies.values() for name, gpu in study["gpus"].items()}
    rows = [
        [
            gpu,
            number(values["memory_mib"], 0),
            number(values["context_mib"], 0),
            *(cell(study["gpus"][gpu]) for study in studies.values()),
        ]
        for gpu, values in gpus.items()
    ]
    shown = ["GPU", "total memory, MiB", "CUDA context, MiB", *shapes]
    marked = any(ALL_POSITIONS in cell for row in rows for cell in row)
    notes = [f"{ALL_POSITIONS.strip()} All the positions that the model has."] if marked else []
    return Table(name, title, shown, rows, notes, intro=intro)


def _longest(gpu: Row) -> str:
    limited = gpu["longest_is_limited_by"] == "positions"
    return number(gpu["longest_sequence"], 0) + (ALL_POSITIONS if limited else "")


def _gpu_tables(studies: Mapping[str, Row], memory: Mapping[str, Row]) -> list[Table]:
    names = series_names(memory)
    batches = [f"{names[row]}, length {study['sequence_length']}" for row, study in studies.items()]
    lengths = [f"{names[row]}, batch {study['batch_size']}" for row, study in studies.items()]
    return [
        _fits(
            "gpus-batch",
            "The largest batch that fits each GPU",
            f"Predicted and found by search, not run on these GPUs. {NEAR_THE_LIMIT}",
            studies,
            batches,
            lambda gpu: number(gpu["largest_batch"], 0),
        ),
        _fits(
            "gpus-longest",
            "The longest sequence that fits each GPU",
            "Predicted and found by search, too; the same holds near the limit.",
            studies,
            lengths,
            _longest,
        ),
    ]


def _training_table(points: Mapping[str, Row]) -> Table:
    lengths = _lengths(points.values())
    groups = _grouped(points, lambda name: (points[name]["curve"], str(points[name]["layers"])))
    cells, before = [], NOTHING
    for (curve, layers), rows in groups.items():
        at = {row["sequence_length"]: row["predicted_allocated_mib"] for row in rows}
        label = curve if curve != before else NOTHING
        cells.append([label, layers, *(number(at.get(length), 0) for length in lengths)])
        before = curve
    settings = {(row["batch_size"], row["optimizer"]) for row in points.values()}
    notes = [f"Batch {batch}, optimizer {optimizer}." for batch, optimizer in sorted(settings)]
    headers = ["model", "layers", *map(str, lengths)]
    intro = (
        "Weights, gradients, the optimizer's states and what the backward pass needs, in use at "
        "the peak of an update (predicted). A reversible layer computes its activations again "
        "instead of keeping them, so that a deeper Reformer costs little more than its weights."
    )
    title = "Training memory, MiB"
    return Table("memory-training", title, headers, cells, notes, labels=2, intro=intro)


def memory_rows(values: Metrics) -> dict[str, Row]:
    """The memory rows: what was predicted, and what was published where anything was."""
    totals = values["memory"]
    return {
        name: {
            **row,
            "predicted_mib": totals.get(name, {}).get("mib"),
            "published_mib": totals.get(name, {}).get("published_mib"),
        }
        for name, row in values["details"]["memory"]["rows"].items()
    }


def memory_tables(values: Metrics) -> list[Table]:
    """Every table of memory."""
    memory, found = memory_rows(values), values["details"]["memory"]
    return [
        _memory_table(memory),
        _measured_table(memory, values["measured"]["memory"]),
        *_gpu_tables(found["gpus"], memory),
        _training_table(found["training"]),
    ]
