"""The published study's layout: lengths down, corpora across, a cell for each run."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reformer_seqlen.parameters.runs import Run

Runs = Mapping[str, "Run"]
"""The runs of params.yaml, by name."""
NOT_YET = "not computed yet"


def corpora_of(runs: Runs) -> list[str]:
    """The corpora that the runs use, in the order of the runs."""
    return list(dict.fromkeys(run.corpus for run in runs.values()))


def models_of(runs: Runs) -> list[str]:
    """The models that the runs use, in the order of the runs."""
    return list(dict.fromkeys(run.model for run in runs.values()))


def lengths_of(runs: Runs) -> list[int]:
    """The sequence lengths that the runs use, shortest first."""
    return sorted({run.sequence_length for run in runs.values()})


def rows_of(runs: Runs) -> dict[tuple[str, int], Runs]:
    """The runs of each row of a grid, by model and length."""
    found: dict[tuple[str, int], Runs] = {}
    for model in models_of(runs):
        own = {name: run for name, run in runs.items() if run.model == model}
        for length in lengths_of(own):
            found[model, length] = {n: r for n, r in own.items() if r.sequence_length == length}
    return found


def grid(
    runs: Runs,
    computed: Mapping[str, object],
    cell: Callable[[str], str],
    more: Mapping[str, Callable[[list[str]], str]] | None = None,
) -> tuple[list[str], list[list[str]], int]:
    """Headers, rows and the number of label columns: a model column only where there are several.

    Args:
        runs: the runs of params.yaml.
        computed: has the names of the runs that there are results of.
        cell: makes what is shown of the run with this name.
        more: further columns, each made of the names of a row's computed runs.
    """
    corpora, several, more = corpora_of(runs), len(models_of(runs)) > 1, more or {}
    rows = []
    for (model, length), row in rows_of(runs).items():
        names = {corpus: [n for n, r in row.items() if r.corpus == corpus] for corpus in corpora}
        cells = [_cell(names[corpus], computed, cell) for corpus in corpora]
        there = [name for name in row if name in computed]
        further = [column(there) for column in more.values()]
        rows.append([*([model] if several else []), str(length), *cells, *further])
    headers = [*(["model"] if several else []), "seq len", *corpora, *more]
    return headers, rows, 1 + several


def _cell(names: list[str], computed: Mapping[str, object], cell: Callable[[str], str]) -> str:
    shown = [cell(name) if name in computed else NOT_YET for name in names]
    if len(names) == 1:
        return shown[0]
    return "; ".join(f"{text} ({name})" for text, name in zip(shown, names, strict=True))
