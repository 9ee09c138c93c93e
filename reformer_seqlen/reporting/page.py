"""results/README.md as a whole, and what README.md shows of it.

Both are made of metrics and runs alone, and of what was measured on GPUs.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path

from reformer_seqlen.reporting.advice import advice
from reformer_seqlen.reporting.answer import answer, beside_doublings, verdict
from reformer_seqlen.reporting.data_tables import data_tables, models_in_words
from reformer_seqlen.reporting.doublings_table import doublings_table
from reformer_seqlen.reporting.gap_tables import gap_table
from reformer_seqlen.reporting.gpu import Card, summary
from reformer_seqlen.reporting.gpu_tables import card_tables
from reformer_seqlen.reporting.memory_tables import memory_tables
from reformer_seqlen.reporting.metrics import Metrics
from reformer_seqlen.reporting.points import Runs
from reformer_seqlen.reporting.provenance_tables import provenance_table
from reformer_seqlen.reporting.published import load_published
from reformer_seqlen.reporting.published_tables import (
    published_intro,
    published_tables,
    side_by_side,
)
from reformer_seqlen.reporting.rivals import rivals, rivals_table
from reformer_seqlen.reporting.run_tables import headline, quality_tables, training_tables
from reformer_seqlen.reporting.score_tables import score_tables
from reformer_seqlen.reporting.table import Table
from reformer_seqlen.runtime.paths import FIGURES, REPORT

ANSWER = "answer"
"""The figure of the answer."""
GAP = "gap"
"""The figure of what the published gap is made of."""
FIGURES_OF = {
    "headline": (ANSWER, "pareto"),
    "gap": (GAP,),
    "contexts": ("contexts",),
    "hash-rounds": ("hash_rounds",),
    "perplexity": ("validation_loss", "positions"),
    "training": ("training_loss",),
    "memory": ("memory", "memory_composition"),
    "gpus-longest": ("memory_gpus",),
    "memory-training": ("memory_training",),
}
"""The figures that stand below a table."""


def _figure(name: str, folder: Path) -> str:
    words = name.replace("_", " ")
    return f"![{words}]({(folder / name).as_posix()}.svg)"


def _subsection(table: Table, figures: Collection[str]) -> str:
    folder = FIGURES.relative_to(REPORT.parent)
    below = [_figure(name, folder) for name in FIGURES_OF.get(table.name, ()) if name in figures]
    return "\n\n".join(filter(None, [f"### {table.title}", table.intro, table.markdown(), *below]))


def _section(title: str, intro: list[str], tables: list[Table], figures: Collection[str]) -> str:
    """A section; nothing where there is nothing to show."""
    parts = [*intro, *(_subsection(table, figures) for table in tables if table.rows)]
    return "\n\n".join([f"## {title}", *parts]) if parts else ""


def page(
    values: Metrics, runs: Runs, profile: str, figures: Collection[str], cards: list[Card] | None
) -> str:
    """The text of results/README.md.

    Args:
        values: the metrics.
        runs: the runs of params.yaml.
        profile: which profile the study is.
        figures: the names of the figures that are drawn.
        cards: what was measured on GPUs; None where that is told elsewhere.
    """
    published = load_published()
    beside = side_by_side(published, values, runs)
    sentences = [
        _verdict(values, runs),
        *answer(values, runs),
        *advice(values, runs),
        models_in_words(values, runs),
    ]
    sections = [
        "# Results\n\n"
        f"Everything that the profile `{profile}` found out. The stage `report` writes this page "
        "from `metrics/`; a change by hand is lost.",
        _section(
            "Answer",
            [_listed(sentences)],
            [
                doublings_table(values, runs),
                headline(values, runs),
                rivals_table(rivals(values, runs)),
                gap_table(values),
            ],
            figures,
        ),
        _section(
            "Quality",
            [],
            [*quality_tables(values, runs), *score_tables(values, runs)],
            figures,
        ),
        _section("Training", [], training_tables(values, runs), figures),
        _section("Memory", [], memory_tables(values), figures),
        "" if cards is None else _section("On a GPU", [summary(cards)], _tables_of(cards), figures),
        _section(
            "Data and models",
            [],
            [*data_tables(values, runs), provenance_table(values, runs)],
            figures,
        ),
        _section(
            "The published study",
            [published_intro(published)],
            [beside, *published_tables(published)],
            figures,
        ),
    ]
    return "\n\n".join(filter(None, sections)) + "\n"


def answer_paragraphs(values: Metrics, runs: Runs) -> list[str]:
    """The answer for README.md: a table of doublings where there are several lines, and a list."""
    table, found = doublings_table(values, runs), _verdict(values, runs)
    if len(table.rows) < 2 and all(run.is_trained for run in runs.values()):
        return [_listed([found, *answer(values, runs)])]
    intro, shown = paragraphs(table)
    sentences = [*beside_doublings(values, runs), models_in_words(values, runs)]
    return [f"{found} {intro}".lstrip(), shown, _listed(sentences)]


def _verdict(values: Metrics, runs: Runs) -> str:
    found = verdict(values, runs)
    return f"**{found}**" if found else ""


def _listed(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences if sentence)


def paragraphs(table: Table) -> list[str]:
    """A table with its introduction, and all its notes in one paragraph."""
    shorter = replace(table, notes=[" ".join(table.notes)] if table.notes else [])
    return [table.intro, shorter.markdown()]


def _tables_of(cards: list[Card]) -> list[Table]:
    return [table for card in cards for table in card_tables(card)]


def readme_sections(
    values: Metrics, runs: Runs, figures: Collection[str], cards: list[Card]
) -> dict[str, str]:
    """What stands between the markers of README.md: the answer with its figures, and the rest."""
    shown = "\n".join(_figure(name, FIGURES) for name in (ANSWER, GAP) if name in figures)
    return {
        "answer": "\n\n".join(filter(None, [*answer_paragraphs(values, runs), shown])),
        "headline": "\n\n".join(paragraphs(headline(values, runs))),
        "gpu": summary(cards),
    }
