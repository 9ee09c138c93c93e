"""The numbers behind the memory figures, as the lines of CSV files."""

from collections import Counter
from collections.abc import Iterator, Mapping

from reformer_seqlen.reporting.memory_tables import Row, measured_in_use, series_names
from reformer_seqlen.reporting.metrics import DIGITS
from reformer_seqlen.reporting.results import Results, TrainingPoint
from reformer_seqlen.reporting.run_lines import Line

PLACE = ("row", "series", "model", "positions", "allocations", "batch_size", "sequence_length")
"""What begins the lines of a memory row; `series` is what its model is called in the figures."""
HELD, IN_USE = "held by the process on a GPU", "in use at the peak"
"""The quantities of `memory`, as its panels are headed."""


def memory_lines(results: Results) -> dict[str, list[Line]]:
    """The lines of each CSV file by its name; the first line names the columns."""
    memory = {name: row.model_dump() for name, row in results.memory.items()}
    names = series_names(memory)
    places = {
        name: (name, names[name], *(row[key] for key in PLACE[2:])) for name, row in memory.items()
    }
    # The figures give out colours in the order of the lines: with these first, a model has the
    # same one where only some are shown.
    searched = {names[row] for row in results.memory_gpus}
    ordered = sorted(memory, key=lambda name: names[name] not in searched)
    points = [point.model_dump() for point in results.memory_training]
    columns = tuple(TrainingPoint.model_fields)
    return {
        "memory": [
            (*PLACE, "quantity", "kind", "mib"),
            *((*places[name], *line) for name in ordered for line in _memory(memory[name])),
        ],
        "memory_composition": [
            (*PLACE, "bar", "kind", "mib"),
            *((*places[name], *line) for name in memory for line in _parts(name, memory, names)),
        ],
        "memory_gpus": [
            (*PLACE, "gpu", "memory_mib", "context_mib", "quantity", "largest", "limited_by"),
            *_gpus(results, places),
        ],
        "memory_training": [columns, *(tuple(point[key] for key in columns) for point in points)],
    }


def _memory(row: Row) -> Iterator[Line]:
    """What is known of a row: quantity, kind and MiB."""
    on_gpu = row["measured_allocated_mib"] is not None
    for quantity, kind, mib in (
        (HELD, "published", row["published_mib"]),
        (HELD, "predicted", row["predicted_mib"]),
        (HELD, "measured", row["measured_mib"] if on_gpu else None),
        (IN_USE, "predicted", row["predicted_allocated_mib"]),
        (IN_USE, "measured", measured_in_use(row)),
    ):
        if mib is not None:
            yield quantity, kind, round(mib, DIGITS)


def _parts(name: str, memory: Mapping[str, Row], names: Mapping[str, str]) -> Iterator[Line]:
    """What the peak of a row is made of: its bar, what a part is for, MiB."""

    def label(other: str) -> str:
        return f"{names[other]} · {memory[other]['sequence_length']}"

    shared = sum(label(other) == label(name) for other in memory) > 1
    bar = f"{label(name)} ({name})" if shared else label(name)
    for kind, mib in (memory[name]["composition"] or {}).items():
        yield bar, kind, round(mib, DIGITS)


def _gpus(results: Results, places: Mapping[str, Line]) -> list[Line]:
    """Two lines for each GPU and model that was searched, the GPUs with the least room first."""
    searched = results.memory_gpus
    lengths = {str(places[row][1]): found.sequence_length for row, found in searched.items()}
    batches = {str(places[row][1]): found.batch_size for row, found in searched.items()}
    batch = f"largest batch (sequences) {_at('length', lengths)}"
    length = f"longest sequence (pieces) {_at('batch', batches)}"
    found = [
        (
            fit.memory_mib - fit.context_mib,
            (*places[row], gpu, fit.memory_mib, fit.context_mib, *line),
        )
        for row, study in searched.items()
        for gpu, fit in study.gpus.items()
        for line in (
            (batch, fit.largest_batch, "memory"),
            (length, fit.longest_sequence, fit.longest_is_limited_by),
        )
    ]
    return [line for _, line in sorted(found, key=lambda item: item[0])]


def _at(name: str, sizes: Mapping[str, int]) -> str:
    """What the models were searched at: the commonest size, and which models differ.

    Args:
        name: what the sizes are.
        sizes: by what the models are called; empty where none was searched.
    """
    common = Counter(sizes.values()).most_common(1)
    parts = [f"at {name} {size:,}" for size, _ in common]
    others = [f"{series}: {size:,}" for series, size in sizes.items() if size != common[0][0]]
    return " ".join([*parts, *([f"({', '.join(others)})"] if others else [])])
