"""How the numbers of a figure differ: the rows of two CSV files, run by run."""

import csv
import io
import math
from collections.abc import Iterator, Mapping
from statistics import fmean
from typing import Any

from reformer_seqlen.checking.differences import Difference, differences, is_number
from reformer_seqlen.runtime.errors import StudyError

PLACES = {
    "run": ("update",),
    "row": ("kind", "gpu", "quantity"),
    "curve": ("layers", "sequence_length"),
}
"""The first column of a file, which says what a row is of, and those that tell its rows apart."""
Rows = dict[str, dict[str, Any]]
"""By place, what each column holds."""


def curve_differences(
    file: str, committed: str, computed: str, tolerance: float
) -> Iterator[Difference]:
    """Rows that are new or gone are counted, the others are compared.

    With a tolerance the losses of an epoch are compared together. Measured rows are left out.
    """
    old, new = _curves(f"HEAD:{file}", committed), _curves(file, computed)
    for name in dict.fromkeys([*old, *new]):
        before, after = old.get(name, {}), new.get(name, {})
        yield from _counted(file, name, len(after.keys() - before), "new")
        yield from _counted(file, name, len(before.keys() - after), "gone")
        shared = [place for place in before if place in after]
        old_rows, new_rows = (
            {f"{name}, {place}" if place else name: rows[place] for place in shared}
            for rows in (before, after)
        )
        if tolerance:
            old_rows, new_rows = _by_epoch(name, old_rows), _by_epoch(name, new_rows)
        yield from differences(file, old_rows, new_rows, tolerance)


def _curves(file: str, text: str) -> dict[str, Rows]:
    """The rows of a CSV file, by the run (memory row, curve) that they are of and their place.

    Raises:
        StudyError: a row has more or fewer cells than there are columns.
    """
    curves: dict[str, Rows] = {}
    reader = csv.DictReader(io.StringIO(text))
    for row in reader:
        if None in row or None in row.values():
            raise StudyError(
                f"{file} is damaged in line {reader.line_num}, which has not a cell for each "
                "column: `python -m stages.report` writes it again"
            )
        if row.get("kind") != "measured":
            owner = next(iter(row))
            columns = (column for column in PLACES.get(owner, ()) if column in row)
            place = ", ".join(f"{column} {row[column]}" for column in columns)
            rows = curves.setdefault(row[owner], {})
            if place in rows:
                place = f"{place}, row {len(rows) + 1}".removeprefix(", ")
            rows[place] = {column: _value(cell) for column, cell in row.items()}
    return curves


def _value(cell: str) -> Any:
    """A cell as the number that it says, or as text."""
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            continue
    return cell


def _counted(file: str, name: str, count: int, what: str) -> Iterator[Difference]:
    if count:
        rows = "1 row is" if count == 1 else f"{count} rows are"
        yield Difference(file, name, f"{rows} {what}")


def _by_epoch(name: str, rows: Mapping[str, dict[str, Any]]) -> Rows:
    """A curve's rows without their losses, and the mean losses of its epochs.

    What one update loses depends much more on how a processor rounds than the mean does. Rows
    without an epoch stay as they are.
    """
    kept: Rows = {}
    losses: dict[str, dict[str, list[Any]]] = {}
    for place, row in rows.items():
        of_epoch = [key for key in row if "epoch" in row and key.endswith("_loss")]
        kept[place] = {key: value for key, value in row.items() if key not in of_epoch}
        for key in of_epoch:
            epoch = f"{name}, epoch {_whole(row['epoch'])}"
            losses.setdefault(epoch, {}).setdefault(key, []).append(row[key])
    means = {
        epoch: {key: _mean(values) for key, values in found.items()}
        for epoch, found in losses.items()
    }
    return {**kept, **means}


def _whole(epoch: Any) -> Any:
    """The epoch that an update is of; what is no number stays as it is."""
    return math.ceil(epoch) if is_number(epoch) and math.isfinite(epoch) else epoch


def _mean(values: list[Any]) -> Any:
    """The mean of numbers; of others, as where a run diverged, the values as they are."""
    return fmean(values) if all(map(is_number, values)) else values
