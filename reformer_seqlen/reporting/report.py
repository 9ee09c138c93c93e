"""Everything that git keeps of a study, written from the stages' results.

metrics/, plots/, results/README.md with its figures, and what README.md shows of it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from reformer_seqlen.parameters.study import Study, load_study
from reformer_seqlen.reporting import readme
from reformer_seqlen.reporting.answer import answer
from reformer_seqlen.reporting.grid import lengths_of
from reformer_seqlen.reporting.metrics import Metrics, metrics, read_metrics, write_metrics
from reformer_seqlen.reporting.page import page, readme_sections
from reformer_seqlen.reporting.published import load_published
from reformer_seqlen.reporting.published_tables import side_by_side
from reformer_seqlen.reporting.results import Results, read_results
from reformer_seqlen.reporting.run_tables import headline
from reformer_seqlen.runtime.files import whole_file, whole_folder
from reformer_seqlen.runtime.paths import FIGURES, METRICS, PARAMS, PLOTS, README, REPORT

if TYPE_CHECKING:
    import pandas as pd


def _write_csv(folder: Path, frames: Mapping[str, "pd.DataFrame"]) -> None:
    with whole_folder(folder) as partial:
        for name, frame in frames.items():
            frame.to_csv(partial / f"{name}.csv", index=False, lineterminator="\n")


def write_plots(
    results: Results, values: Metrics, study: Study, plots: Path, figures: Path
) -> list[str]:
    """Write the figures and, beside them, the numbers that they show; return the figures' names."""
    from reformer_seqlen.reporting import figures as losses
    from reformer_seqlen.reporting import memory_figures as memory
    from reformer_seqlen.reporting.curves import curves
    from reformer_seqlen.reporting.memory_frames import memory_frames

    lengths = lengths_of(study.runs)
    curve_frames, frames = curves(results, study.runs), memory_frames(results)
    drawn = {
        f"{column}-{corpus}": losses.loss_figure(frame, column, corpus, lengths)
        for column, by_corpus in curve_frames.items()
        for corpus, frame in by_corpus.items()
    }
    if len(frames["memory"]):
        drawn["memory"] = memory.memory_figure(frames["memory"])
    if len(frames["composition"]):
        drawn["memory_composition"] = memory.composition_figure(frames["composition"])
    if len(frames["cards"]):
        names = list(dict.fromkeys(frames["memory"]["series"]))
        drawn["memory_cards"] = memory.cards_figure(frames["cards"], names)
    if len(frames["training"]):
        drawn["memory_training"] = memory.training_figure(frames["training"])
    with whole_folder(figures) as partial:
        for name, svg in drawn.items():
            (partial / f"{name}.svg").write_text(svg, encoding="utf-8")
    for column, by_corpus in curve_frames.items():
        _write_csv(plots / column, by_corpus)
    _write_csv(plots / "memory", frames)
    return list(drawn)


def write_report(study: Study, root: Path = Path()) -> None:
    """Read all results below `root` and write everything that git keeps.

    Raises:
        StudyError: a result is missing or broken; nothing has been written then.
    """
    results = read_results(study, root)
    values = metrics(results, study.report.diverged_above_best_nats)
    write_metrics(values, root / METRICS)
    figures = write_plots(results, values, study, root / PLOTS, root / FIGURES)
    with whole_file(root / REPORT) as partial:
        text = page(values, study.runs, study.profile, figures)
        partial.write_text(text, encoding="utf-8")
    if (root / README).exists():
        readme.fill(root / README, readme_sections(values, study.runs, figures))


def print_results(root: Path = Path()) -> None:
    """Print the answer of the metrics that are there, and where everything else is."""
    study, values = load_study(root / PARAMS), read_metrics(root / METRICS)
    print(*answer(values, study.runs), sep="\n", end="\n\n")
    for table in (headline(values, study.runs), side_by_side(load_published(), values, study.runs)):
        if table.rows:
            print(table.text(), end="\n\n")
    print(f"everything  {(root / REPORT).resolve()}")
    print(f"metrics     {(root / METRICS).resolve()}")
    print(f"figures     {(root / FIGURES).resolve()}")
