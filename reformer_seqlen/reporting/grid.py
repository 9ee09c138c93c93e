"""The published study's layout: lengths down, corpora across, a cell for each point."""

from collections.abc import Callable, Container, Mapping, Sequence

from reformer_seqlen.reporting.points import Point, Runs, points

NOT_YET = "not computed yet"
SHOWN = 5
"""Of the runs that are not computed yet."""


def not_computed(runs: Runs, computed: Container[str]) -> str:
    """How many runs have no results yet, in words; empty where all have some.

    Args:
        runs: the runs of params.yaml.
        computed: has the names of the runs that there are results of.
    """
    missing = [name for name in runs if name not in computed]
    if not missing:
        return ""
    named = ", ".join(missing[:SHOWN]) + (", ..." if len(missing) > SHOWN else "")
    return f"{NOT_YET}: {len(missing)} of {len(runs)} runs ({named}); `make repro` computes them"


def corpora_of(runs: Runs) -> list[str]:
    """The corpora that the runs use, in the order of the runs."""
    return list(dict.fromkeys(run.corpus for run in runs.values()))


def models_of(runs: Runs) -> list[str]:
    """The models that the runs use, in the order of the runs."""
    return list(dict.fromkeys(run.model for run in runs.values()))


def labels_of(runs: Runs) -> list[str]:
    """What the lines of the runs are called, in the order of the runs."""
    return list(dict.fromkeys(point.label for point in points(runs)))


def rows_of(runs: Runs) -> dict[tuple[str, int], list[Point]]:
    """The points of each row of a grid, by the label of their line and length."""
    found: dict[tuple[str, int], list[Point]] = {}
    order = labels_of(runs)
    for point in sorted(points(runs), key=lambda it: (order.index(it.label), it.sequence_length)):
        found.setdefault((point.label, point.sequence_length), []).append(point)
    return found


def grid(
    runs: Runs,
    computed: Container[str],
    cell: Callable[[list[str]], str],
    more: Mapping[str, Callable[[list[str]], str]] | None = None,
) -> tuple[list[str], list[list[str]], int]:
    """Headers, rows and the number of label columns: a model column only where there are several.

    Args:
        runs: the runs of params.yaml.
        computed: has the names of the runs that there are results of.
        cell: makes what is shown of a point, of the names of its computed runs.
        more: further columns, each made of the names of a row's computed runs.
    """
    corpora, several, more = corpora_of(runs), len(labels_of(runs)) > 1, more or {}
    rows = []
    for (label, length), row in rows_of(runs).items():
        at = {corpus: [point for point in row if point.corpus == corpus] for corpus in corpora}
        cells = [_cell(at[corpus], computed, cell) for corpus in corpora]
        there = [name for point in row for name in there_of(point, computed)]
        further = [column(there) for column in more.values()]
        rows.append([*([label] if several else []), str(length), *cells, *further])
    headers = [*(["model"] if several else []), "seq len", *corpora, *more]
    return headers, rows, 1 + several


def there_of(point: Point, computed: Container[str]) -> list[str]:
    """The names of a point's runs that there are results of."""
    return [name for name in point.names if name in computed]


def _cell(
    found: Sequence[Point], computed: Container[str], cell: Callable[[list[str]], str]
) -> str:
    shown = [cell(names) if (names := there_of(point, computed)) else NOT_YET for point in found]
    if len(found) == 1:
        return shown[0]
    return "; ".join(f"{text} ({point.name})" for text, point in zip(shown, found, strict=True))
