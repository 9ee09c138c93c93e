"""The CSV files of plots/ and the figures: the templates of `dvc plots`, drawn as SVG.

A template and the CSV file that it draws have the same name. The same numbers give the same bytes.
"""

import csv
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from dvc_render.vega import VegaRenderer  # type: ignore[import-untyped]

from reformer_seqlen.reporting import drawing
from reformer_seqlen.reporting.memory_lines import memory_lines
from reformer_seqlen.reporting.metrics import DIGITS
from reformer_seqlen.reporting.points import Runs
from reformer_seqlen.reporting.results import Results
from reformer_seqlen.reporting.run_lines import run_lines
from reformer_seqlen.reporting.score_lines import score_lines
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.files import whole_folder

TEMPLATES = Path(__file__).parent / "templates"
FIGURES = {
    "answer": ("answer", "cost"),
    "gap": ("gap",),
    "training_loss": ("training_loss",),
    "validation_loss": ("validation_loss",),
    "memory": ("memory",),
    "memory_composition": ("memory_composition",),
    "memory_gpus": ("memory_gpus",),
    "memory_training": ("memory_training",),
}
"""The figures, and the plots that stand in each beside one another."""


def write_plots(results: Results, runs: Runs, plots: Path) -> list[str]:
    """Write every CSV file and return the names of the figures that have something to show."""
    files = {
        **score_lines(results, runs),
        **run_lines(results, runs),
        **memory_lines(results),
    }
    with whole_folder(plots) as partial:
        for name, lines in files.items():
            with (partial / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerows([_rounded(cell) for cell in line] for line in lines)
    return [figure for figure, (first, *_) in FIGURES.items() if len(files[first]) > 1]


def _rounded(cell: object) -> object:
    return round(cell, DIGITS) if isinstance(cell, float) else cell


def draw_figures(names: list[str], plots: Path, figures: Path) -> None:
    """Draw the CSV files of `plots` into `figures`, which holds NAME.svg of these names then.

    Raises:
        StudyError: the drawing library failed; the figures are as they were.
    """
    filled = {}
    for name in names:
        filled[name] = _beside([_filled(plots / f"{plot}.csv") for plot in FIGURES[name]])
    drawn = _drawn(filled)
    with whole_folder(figures) as partial:
        for name, svg in drawn.items():
            (partial / f"{name}.svg").write_text(svg + "\n", encoding="utf-8")


def _filled(file: Path) -> dict[str, Any]:
    """The template of a CSV file with its rows, as `dvc plots show` fills it."""
    with file.open(encoding="utf-8", newline="") as opened:
        rows = [{**row, "rev": "workspace"} for row in csv.DictReader(opened)]
    template = TEMPLATES / f"{file.stem}.json"
    filled: dict[str, Any] = VegaRenderer(rows, file.name, template=template).get_filled_template()
    return filled


def _beside(panels: list[dict[str, Any]]) -> dict[str, Any]:
    """The panels in one figure, which has the look of the first."""
    if len(panels) == 1:
        return panels[0]
    shared = {key: panels[0][key] for key in ("$schema", "config")}
    own = [{key: part for key, part in panel.items() if key not in shared} for panel in panels]
    return {**shared, "hconcat": own, "spacing": 40}


def _drawn(specifications: dict[str, dict[str, Any]]) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-P", drawing.__file__],
        input=json.dumps(specifications),
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )
    if done.returncode:
        raise StudyError(_failure(done.returncode, done.stderr))
    svgs: dict[str, str] = json.loads(done.stdout)
    return svgs


def _failure(status: int, printed: str) -> str:
    if status > 0:
        return f"the figures could not be drawn: {printed.strip()}"
    return (
        f"the figures could not be drawn: vl-convert was ended by {signal.Signals(-status).name}. "
        "Its JavaScript engine reserves much more address space than it uses: raise the limit on "
        "virtual memory (see `ulimit -v`) and run `make repro` again. Metrics, tables and "
        "plots/*.csv are written."
    )
