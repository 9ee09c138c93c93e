"""results/README.md and the sections of README.md: what they show, and what they leave out."""

import re
from pathlib import Path

from reformer_seqlen.reporting.gpu import read_card
from reformer_seqlen.reporting.page import FIGURES_OF, page, readme_sections
from tests.gpu_example import write_card
from tests.metrics_example import metrics_of
from tests.report_example import runs

STUDY = runs()


def _headings(text: str) -> list[str]:
    return re.findall(r"^#+ (.*)$", text, re.MULTILINE)


def test_sections_without_results_are_not_there() -> None:
    assert _headings(page(metrics_of(STUDY), STUDY, "tiny", [], [])) == [
        "Results",
        "Answer",
        "What each doubling of the context changes",
        "Bits per byte and training speed",
        "Quality",
        "Perplexity",
        "What peeking is worth",
        "Training",
        "How much each run was trained",
        "How fast training is",
        "On a GPU",
        "Data and models",
        "Pieces",
        "Tokens kept",
        "The published study",
        "Published: evaluation perplexity",
        "Published: training runtime (h:mm:ss)",
        "Published: training speed, sample speed",
        "Published: inference memory, MiB, batch 16",
        "Published: model cards",
    ]


def test_a_table_stands_between_its_introduction_and_its_figures() -> None:
    text = page(metrics_of(STUDY), STUDY, "tiny", ["answer", "training_loss", "memory"], [])
    begin = text.index("### How much each run was trained")
    parts = text[begin : text.index("### How fast training is")].strip().split("\n\n")
    assert len(parts) == 4
    assert parts[1].startswith("Losses are in nats per piece. Equal epochs are not equal updates")
    assert parts[2].startswith("| run ")
    assert parts[3] == "![training loss](figures/training_loss.svg)"
    assert text.count("![") == 2  # memory has no rows, so no table and no figure


def test_the_profile_is_named() -> None:
    assert "the profile `tiny`" in page(metrics_of(STUDY), STUDY, "tiny", [], [])


def test_every_figure_has_a_place() -> None:
    placed = [figure for figures in FIGURES_OF.values() for figure in figures]
    assert sorted(placed) == [
        "answer",
        "contexts",
        "gap",
        "hash_rounds",
        "memory",
        "memory_composition",
        "memory_gpus",
        "memory_training",
        "pareto",
        "positions",
        "training_loss",
        "validation_loss",
    ]


def test_the_readme_shows_the_answer_its_figure_and_one_table() -> None:
    sections = readme_sections(metrics_of(STUDY), STUDY, ["answer", "gap", "memory"], [])
    assert list(sections) == ["answer", "headline", "gpu"]
    sentences, figure = sections["answer"].split("\n\n")
    assert sentences.startswith("- At equal updates (1,200) and equal text, each doubling")
    assert {line[:2] for line in sentences.splitlines()} == {"- "}
    assert "- For news," not in sentences
    assert "\n- For news," in page(metrics_of(STUDY), STUDY, "tiny", [], [])
    assert figure.splitlines() == [
        "![answer](results/figures/answer.svg)",
        "![gap](results/figures/gap.svg)",
    ]
    assert sections["headline"].startswith("Bits per byte of text, validation / test")
    assert "| seq len " in sections["headline"]


def test_the_readme_shows_all_notes_of_the_headline_in_one_paragraph() -> None:
    values = metrics_of(STUDY)
    values["details"]["training"]["wiki-256"]["diverged"] = True
    headline = readme_sections(values, STUDY, [], [])["headline"]
    last = headline.split("\n\n")[-1]
    assert last.startswith(
        "Measured on Imaginary CPU, 2 threads, torch 2.13.0. † This run diverged"
    )


def test_the_readme_links_no_figure_that_is_not_drawn() -> None:
    assert "![" not in readme_sections(metrics_of(STUDY), STUDY, [], [])["answer"]


def test_what_was_measured_on_a_gpu_stands_on_the_page_and_in_the_readme(tmp_path: Path) -> None:
    without = page(metrics_of(STUDY), STUDY, "tiny", [], [])
    assert "## On a GPU\n\n**Not measured on a GPU.**" in without
    write_card(tmp_path)
    cards = [read_card(tmp_path)]
    text = page(metrics_of(STUDY), STUDY, "tiny", [], cards)
    assert "Not measured" not in text
    assert "### Imaginary GPU: training, tokens a second" in text
    section = readme_sections(metrics_of(STUDY), STUDY, [], cards)["gpu"]
    assert section.startswith("**Measured on Imaginary GPU**")
    assert section in text
