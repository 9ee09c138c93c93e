"""Everything that git keeps of a study, written from the stages' results.

metrics/, plots/, results/README.md with its figures, and what README.md shows of it. The pages and
figures of kept studies are made anew of their metrics and CSV files.
"""

from pathlib import Path

from reformer_seqlen.parameters.study import Study, load_study
from reformer_seqlen.reporting import readme
from reformer_seqlen.reporting.advice import advice
from reformer_seqlen.reporting.answer import answer, verdict
from reformer_seqlen.reporting.doublings_table import doublings_table
from reformer_seqlen.reporting.gpu import read_cards
from reformer_seqlen.reporting.grid import not_computed
from reformer_seqlen.reporting.kept import kept_folders, read_kept
from reformer_seqlen.reporting.metrics import metrics
from reformer_seqlen.reporting.metrics_files import read_metrics, write_metrics
from reformer_seqlen.reporting.page import page, readme_sections
from reformer_seqlen.reporting.published import load_published
from reformer_seqlen.reporting.published_tables import side_by_side
from reformer_seqlen.reporting.results import read_results
from reformer_seqlen.reporting.run_tables import headline
from reformer_seqlen.reporting.seeds import computed
from reformer_seqlen.runtime.files import whole_file
from reformer_seqlen.runtime.paths import (
    FIGURES,
    GPU_RESULTS,
    METRICS,
    PARAMS,
    PLOTS,
    README,
    REPORT,
)


def write_report(study: Study, root: Path = Path()) -> None:
    """Read all results below `root` and write everything that git keeps.

    Raises:
        StudyError: a result is missing or broken, and nothing has been written; or the figures
            could not be drawn, and all else has.
    """
    # The drawing library takes long to load, and printing results needs none of it.
    from reformer_seqlen.reporting.figures import can_draw, draw_figures, write_plots

    results, cards = read_results(study, root), read_cards(root / GPU_RESULTS)
    values = metrics(results, study.runs, study.report)
    write_metrics(values, root / METRICS)
    figures = write_plots(results, study.runs, root / PLOTS)
    with whole_file(root / REPORT) as partial:
        text = page(values, study.runs, study.profile, figures, cards)
        partial.write_text(text, encoding="utf-8")
    sections = readme_sections(values, study.runs, figures, cards)
    kept_studies = [read_kept(folder) for folder in kept_folders(root)]
    for kept in kept_studies:
        sections |= kept.sections()
        with whole_file(kept.folder / REPORT.name) as partial:
            partial.write_text(kept.page(), encoding="utf-8")
    if (root / README).exists():
        readme.fill(root / README, sections)
    draw_figures(figures, root / PLOTS, root / FIGURES)
    for kept in kept_studies:
        if can_draw(kept.figures, kept.folder / PLOTS):
            draw_figures(kept.figures, kept.folder / PLOTS, kept.folder / FIGURES.name)


def print_results(root: Path = Path()) -> None:
    """Print the answer of the metrics that are there, and where everything else is."""
    study, values = load_study(root / PARAMS), read_metrics(root / METRICS)
    sentences = [verdict(values, study.runs), *answer(values, study.runs)]
    print(*filter(None, sentences), *advice(values, study.runs), sep="\n", end="\n\n")
    tables = (
        doublings_table(values, study.runs),
        headline(values, study.runs),
        side_by_side(load_published(), values, study.runs),
    )
    for table in tables:
        if table.rows:
            print(table.text(), end="\n\n")
    if missing := not_computed(study.runs, computed(values, study.runs)):
        print(missing, end="\n\n")
    print(f"everything  {(root / REPORT).resolve()}")
    print(f"metrics     {(root / METRICS).resolve()}")
    print(f"figures     {(root / FIGURES).resolve()}")
