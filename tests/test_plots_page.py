"""`dvc plots show` in a real browser without a network: every plot draws, nothing complains."""

import csv
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Project, copy_project

pytestmark = pytest.mark.slow
INSTALL = "this test draws in Chromium, which is not installed: apt-get install chromium"
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # no network
    "--virtual-time-budget=20000",  # milliseconds of the page's own time: enough for its scripts
    "--enable-logging=stderr",
    "--dump-dom",
)
MARKS = {
    "answer": ("line mark", ("corpus", "model")),
    "untrained": ("line mark", ("corpus", "model")),
    "cost": ("line mark", ("model",)),
    "update_memory": ("line mark", ("curve",)),
    "pareto": ("line mark", ("corpus", "cost")),
    "gap": ("line mark", ("corpus", "way")),
    "contexts": ("line mark", ("run",)),
    "positions": ("line mark", ("run",)),
    "hash_rounds": ("line mark", ("run",)),
    "training_loss": ("line mark", ("run",)),
    "validation_loss": ("line mark", ("run",)),
    "memory": ("line mark", ("series", "batch_size", "quantity")),
    "memory_composition": ("bar", ("row", "kind")),
    "memory_gpus": ("point", ("row", "gpu", "quantity")),
    "memory_training": ("line mark", ("curve", "sequence_length")),
}
"""The plots as dvc.yaml orders them: each has a mark of a kind for every value of some columns."""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A fresh clone with the committed plots."""
    return copy_project(tmp_path / "project")


def opened(project: Project) -> tuple[str, list[str]]:
    """The page of `dvc plots show` once its scripts have run, and what the console shows."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    assert browser is not None, INSTALL
    project.dvc("plots", "show")
    page = project.root / "dvc_plots" / "index.html"
    assert not re.search(r"<script[^>]* src=|jsdelivr", page.read_text(encoding="utf-8"))
    profile = f"--user-data-dir={project.root.parent / 'browser'}"
    command = [browser, *OPTIONS, profile, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, encoding="utf-8")
    return done.stdout, re.findall(r"CONSOLE.*", done.stderr)


def plots_of(page: str) -> dict[str, str]:
    """What stands in the page for each plot, by name."""
    _, *found = re.split(r'<div id="plots_(\w+)_csv"', page)
    return dict(zip(found[::2], found[1::2], strict=True))


def distinct(project: Project, name: str, *columns: str) -> int:
    """How many different values a CSV file has in these columns together."""
    with (project.root / "plots" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return len({tuple(row[column] for column in columns) for row in csv.DictReader(file)})


def test_every_plot_draws_without_a_network(project: Project) -> None:
    project.run(sys.executable, "-m", "reformer_seqlen.commands.plots_page")
    page, console = opened(project)
    assert console == []
    assert 'id="no-vega"' not in page
    plots = plots_of(page)
    assert [*plots] == [*MARKS]
    for name, (mark, columns) in MARKS.items():
        drawn = plots[name].count(f'aria-roledescription="{mark}"')
        panels = 2 if name == "memory_composition" else 1
        assert drawn == panels * distinct(project, name, *columns), name


def test_a_page_without_vega_says_how_to_get_it(project: Project) -> None:
    page, console = opened(project)
    assert console == []
    assert "python -m reformer_seqlen.commands.plots_page" in page
    assert 'aria-roledescription="' not in page
