"""The numbers behind the memory figures, as the lines of CSV files."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from reformer_seqlen.reporting.grid import models_of
from reformer_seqlen.reporting.memory_tables import Row, measured_in_use, series_names
from reformer_seqlen.reporting.points import Runs
from reformer_seqlen.reporting.records import TrainingPoint
from reformer_seqlen.reporting.results import Results
from reformer_seqlen.reporting.run_lines import Line

PLACE = ("row", "series", "model", "positions", "allocations", "batch_size", "sequence_length")
"""What begins the lines of a memory row; `series` is what its model is called in the figures."""
HELD, IN_USE = "held by the process on a GPU", "in use at the peak"
"""The quantities of `memory`, as its panels are headed."""


def memory_lines(results: Results, runs: Runs) -> dict[str, list[Line]]:
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
    bars = _bars(memory, names)
    points = [point.model_dump() for point in results.memory_training]
    columns = tuple(TrainingPoint.model_fields)
    return {
        "memory": [
            (*PLACE, "quantity", "kind", "mib"),
            *((*places[name], *line) for name in ordered for line in _memory(memory[name])),
        ],
        "memory_composition": [
            (*PLACE, "bar", "kind", "mib"),
            *(
                (*places[name], bars[name], kind, mib)
                for name, row in memory.items()
                for kind, mib in (row["composition"] or {}).items()
            ),
        ],
        "memory_gpus": [
            (*PLACE, "gpu", "memory_mib", "context_mib", "quantity", "largest", "limited_by"),
            *_gpus(results, places),
        ],
        "memory_training": [columns, *(tuple(point[key] for key in columns) for point in points)],
        "update_memory": [
            ("curve", "layers", "batch_size", "sequence_length", "mib"),
            *_updates(results.memory_training, models_of(runs)),
        ],
    }


def _updates(found: Sequence[TrainingPoint], models: Sequence[str]) -> Iterator[Line]:
    """What an update takes at each curve's smallest depth: of the runs' models, if any is there."""
    curves = dict.fromkeys(point.curve for point in found)
    for curve in [model for model in models if model in curves] or curves:
        own = [point for point in found if point.curve == curve]
        layers = min(point.layers for point in own)
        for point in sorted(own, key=lambda it: it.sequence_length):
            if point.layers == layers:
                mib = point.predicted_allocated_mib
                yield curve, layers, point.batch_size, point.sequence_length, mib


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
            yield quantity, kind, mib


def _bars(memory: Mapping[str, Row], names: Mapping[str, str]) -> dict[str, str]:
    """What the bar of each row is called: rows that would share a label get their name as well."""
    labels = {name: f"{names[name]} · {row['sequence_length']}" for name, row in memory.items()}
    rows = Counter(labels.values())
    return {
        name: label if rows[label] == 1 else f"{label} ({name})" for name, label in labels.items()
    }


def _gpus(results: Results, places: Mapping[str, Line]) -> list[Line]:
    """Two lines for each GPU and model that was searched, the GPUs with the least room first."""
    searched = results.memory_gpus
    if not searched:
        return []
    lengths = {str(places[row][1]): found.sequence_length for row, found in searched.items()}
    batches = {str(places[row][1]): found.batch_size for row, found in searched.items()}
    batch = f"largest batch (sequences) {_at('length', lengths)}"
    length = f"longest sequence (pieces) {_at('batch', batches)}"
    fits = [(row, gpu, fit) for row, found in searched.items() for gpu, fit in found.gpus.items()]
    return [
        (*places[row], gpu, fit.memory_mib, fit.context_mib, *line)
        for row, gpu, fit in sorted(fits, key=lambda it: it[2].memory_mib - it[2].context_mib)
        for line in (
            (batch, fit.largest_batch, "memory"),
            (length, fit.longest_sequence, fit.longest_is_limited_by),
        )
    ]


def _at(name: str, sizes: Mapping[str, int]) -> str:
    """What the models were searched at: the commonest size, and which models differ.

    Args:
        name: what the sizes are.
        sizes: by what the models are called.
    """
    common, _ = Counter(sizes.values()).most_common(1)[0]
    others = [f"{series}: {size:,}" for series, size in sizes.items() if size != common]
    return f"at {name} {common:,}" + (f" ({', '.join(others)})" if others else "")
