"""Everything that git keeps of a study, written from the stages' results.

metrics/*.json, plots/**/*.csv, plots/figures/*.svg and the sections of README.md.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reformer_seqlen.parameters.study import Study, load_study
from reformer_seqlen.reporting import readme
from reformer_seqlen.reporting.metrics import metrics, read_metrics
from reformer_seqlen.reporting.published import load_published, published_tables, side_by_side
from reformer_seqlen.reporting.results import Results, read_results
from reformer_seqlen.reporting.table import Table
from reformer_seqlen.reporting.tables import corpora_of, lengths_of, result_tables
from reformer_seqlen.runtime.files import whole_folder, write_json
from reformer_seqlen.runtime.paths import FIGURES, METRICS, PARAMS, PLOTS, README

if TYPE_CHECKING:
    import pandas as pd

    from reformer_seqlen.reporting.tables import Runs

MEMORY_FIGURES = {
    "figure-memory": "memory",
    "figure-composition": "memory_composition",
    "figure-cards": "memory_cards",
    "figure-training-memory": "memory_training",
}
"""The README's sections of one figure, and the figure."""


def _tables(values: Mapping[str, Any], runs: "Runs") -> list[Table]:
    published = load_published()
    ours = [*result_tables(values, runs), side_by_side(published, values, runs)]
    return [*ours, *published_tables(published)]


def _figure(name: str) -> str:
    return f"![{name.replace('-', ' ').replace('_', ' ')}]({FIGURES.as_posix()}/{name}.svg)"


def _loss_figures(runs: "Runs") -> str:
    rows = [
        f"| {_figure(f'training_loss-{corpus}')} | {_figure(f'validation_loss-{corpus}')} |"
        for corpus in corpora_of(runs)
    ]
    return "\n".join(["| training loss | validation loss |", "|:--|:--|", *rows])


def _memory_figures(values: Mapping[str, Any]) -> set[str]:
    """The memory figures that have something to show."""
    rows = values["memory"].values()
    predicted = any(row["predicted_mib"] is not None for row in rows)
    numbers = ("published_mib", "measured_mib")
    something = {
        "memory": predicted or any(row[key] is not None for row in rows for key in numbers),
        "memory_composition": predicted,
        "memory_cards": any(study["gpus"] for study in values["memory_cards"].values()),
        "memory_training": bool(values["memory_training"]),
    }
    return {figure for figure in MEMORY_FIGURES.values() if something[figure]}


def readme_sections(values: Mapping[str, Any], runs: "Runs") -> dict[str, str]:
    """What belongs between the README's markers: of metrics, runs and published.json alone."""
    sections = {table.name: table.markdown() for table in _tables(values, runs)}
    there = _memory_figures(values)
    memory = {
        section: _figure(figure) if figure in there else ""
        for section, figure in MEMORY_FIGURES.items()
    }
    return {**sections, "figures": _loss_figures(runs), **memory}


def _write_csv(folder: Path, frames: Mapping[str, "pd.DataFrame"]) -> None:
    with whole_folder(folder) as partial:
        for name, frame in frames.items():
            frame.to_csv(partial / f"{name}.csv", index=False, lineterminator="\n")


def _draw_losses(
    losses: Mapping[str, Mapping[str, "pd.DataFrame"]], lengths: list[int]
) -> dict[str, str]:
    from reformer_seqlen.reporting import figures

    return {
        f"{column}-{corpus}": figures.loss_figure(frame, column, corpus, lengths)
        for column, frames in losses.items()
        for corpus, frame in frames.items()
    }


def _draw_memory(frames: Mapping[str, "pd.DataFrame"], there: set[str]) -> dict[str, str]:
    from reformer_seqlen.reporting import memory_figures as figures

    memory = frames["memory"]
    drawings = {
        "memory": (memory, figures.memory_figure),
        "memory_composition": (frames["composition"], figures.composition_figure),
        "memory_cards": (
            frames["cards"],
            lambda frame: figures.cards_figure(frame, list(dict.fromkeys(memory["series"]))),
        ),
        "memory_training": (frames["training"], figures.training_figure),
    }
    return {name: draw(frame) for name, (frame, draw) in drawings.items() if name in there}


def _write_plots(results: Results, values: Mapping[str, Any], runs: "Runs", root: Path) -> None:
    """The figures and, beside them, the numbers that they show."""
    # pandas and altair take a second to load, and `--show` needs neither.
    from reformer_seqlen.reporting.curves import curves
    from reformer_seqlen.reporting.memory_frames import memory_frames

    losses, memory = curves(results, runs), memory_frames(results)
    drawn = {
        **_draw_losses(losses, lengths_of(runs)),
        **_draw_memory(memory, _memory_figures(values)),
    }
    with whole_folder(root / FIGURES) as partial:
        for name, svg in drawn.items():
            (partial / f"{name}.svg").write_text(svg, encoding="utf-8")
    for column, frames in losses.items():
        _write_csv(root / PLOTS / column, frames)
    _write_csv(root / PLOTS / "memory", memory)


def write_report(params: Study, root: Path = Path()) -> None:
    """Read all results below `root` and write everything that git keeps.

    Raises:
        StudyError: a result is missing or broken; nothing has been written then.
    """
    results = read_results(params, root)
    values = metrics(results, params.report.diverged_above_best_nats)
    for name, value in values.items():
        write_json(root / METRICS / f"{name}.json", value)
    _write_plots(results, values, params.runs, root)
    if (root / README).exists():
        readme.fill(root / README, readme_sections(values, params.runs))


def print_results(root: Path = Path()) -> None:
    """Print the tables of the metrics that are there, and where figures and README are."""
    params = load_study(root / PARAMS)
    values = read_metrics(root / METRICS)
    for table in result_tables(values, params.runs):
        print(table.text(), end="\n\n")
    shown = side_by_side(load_published(), values, params.runs)
    if shown.rows:
        print(shown.text(), end="\n\n")
    print(f"figures  {(root / FIGURES).resolve()}")
    print(f"metrics  {(root / METRICS).resolve()}")
    print(f"README   {(root / README).resolve()}")
