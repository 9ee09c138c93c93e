"""The CSV files of plots/ and the figures: the templates of `dvc plots`, drawn as SVG.

A template and the CSV file that it draws have the same name. The same numbers give the same bytes.
"""

import csv
import hashlib
import io
import json
import re
import signal
import subprocess
import sys
from collections.abc import Collection
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dvc_render.vega import VegaRenderer  # type: ignore[import-untyped]

from reformer_seqlen.reporting import drawing
from reformer_seqlen.reporting.memory_lines import memory_lines
from reformer_seqlen.reporting.metrics import rounded
from reformer_seqlen.reporting.pareto_lines import pareto_lines
from reformer_seqlen.reporting.points import Runs
from reformer_seqlen.reporting.results import Results
from reformer_seqlen.reporting.run_lines import run_lines
from reformer_seqlen.reporting.score_lines import score_lines
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.files import read_text, whole_folder

TEMPLATES = Path(__file__).parent / "templates"
FIGURES: dict[str, tuple[tuple[str, ...], ...]] = {
    "answer": (("answer",), ("untrained",), ("cost", "update_memory")),
    "pareto": (("pareto",),),
    "gap": (("gap",),),
    "contexts": (("contexts",),),
    "positions": (("positions",),),
    "hash_rounds": (("hash_rounds",),),
    "training_loss": (("training_loss",),),
    "validation_loss": (("validation_loss",),),
    "memory": (("memory",),),
    "memory_composition": (("memory_composition",),),
    "memory_gpus": (("memory_gpus",),),
    "memory_training": (("memory_training",),),
}
"""The figures, and the plots that stand in the rows of each."""
_SIGNATURE = re.compile(r"<!-- [0-9a-f]{64} -->\n\Z")


def write_plots(results: Results, runs: Runs, plots: Path) -> list[str]:
    """Write every CSV file and return the names of the figures that have something to show."""
    files = {
        **score_lines(results, runs),
        **run_lines(results, runs),
        **memory_lines(results, runs),
        "pareto": pareto_lines(results, runs),
    }
    with whole_folder(plots) as partial:
        for name, lines in files.items():
            with (partial / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerows([_rounded(cell) for cell in line] for line in lines)
    return [
        figure
        for figure, rows in FIGURES.items()
        if any(len(files[plot]) > 1 for row in rows for plot in row)
    ]


def _rounded(cell: object) -> object:
    return rounded(cell) if isinstance(cell, float) else cell


def can_draw(names: Collection[str], plots: Path) -> bool:
    """Whether these are figures of today, and `plots` has all their CSV files.

    Those of a study that was kept long ago may be others, and stay as they are.
    """
    known = [FIGURES[name] for name in names if name in FIGURES]
    files = [plots / f"{plot}.csv" for rows in known for row in rows for plot in row]
    return len(known) == len(names) and all(file.exists() for file in files)


def draw_figures(names: Collection[str], plots: Path, figures: Path) -> None:
    """Draw the CSV files of `plots` into `figures`, which holds NAME.svg of these names then.

    A figure is left as it is if its last line says that it would be drawn the same.

    Raises:
        StudyError: the drawing library failed; the figures are as they were.
    """
    wanted = {name: _figure(FIGURES[name], plots) for name in names}
    there = {name: _there(figures / f"{name}.svg") for name in names}
    changed = {
        name: plot for name, plot in wanted.items() if there[name] != _signed(there[name], plot)
    }
    drawn = _drawn(changed) if changed else {}
    with whole_folder(figures) as partial:
        for name, plot in wanted.items():
            svg = _signed(drawn[name], plot) if name in drawn else there[name]
            (partial / f"{name}.svg").write_text(svg, encoding="utf-8")


def _there(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _signed(svg: str, plot: dict[str, Any]) -> str:
    """A figure with a last line that no other figure, plot or drawing library gives."""
    shown = _SIGNATURE.sub("", svg).rstrip("\n")
    of = json.dumps([shown, plot, version("vl-convert-python")])
    return f"{shown}\n<!-- {hashlib.sha256(of.encode()).hexdigest()} -->\n"


def _figure(rows: tuple[tuple[str, ...], ...], plots: Path) -> dict[str, Any]:
    """Plots in rows, with the look of the first; those without numbers are left out."""
    data = {plot: _rows_of(plots / f"{plot}.csv") for row in rows for plot in row}
    shown = [[_filled(plot, data[plot]) for plot in row if data[plot]] for row in rows]
    first = next((plot for row in shown for plot in row), None)
    if first is None:
        files = ", ".join(f"{plots / plot}.csv" for plot in data)
        raise StudyError(f"{files} has no rows: {_mend(plots)}")
    if sum(map(len, shown)) == 1:
        return first
    shared = {key: first[key] for key in ("$schema", "config")}
    own = [
        [{key: part for key, part in plot.items() if key not in shared} for plot in row]
        for row in shown
        if row
    ]
    resolve = {"scale": {"color": "shared" if _of_the_same_models(data) else "independent"}}
    beside = [{"hconcat": row, "spacing": 40, "resolve": resolve} for row in own]
    return {**shared, "vconcat": beside, "spacing": 30, "resolve": resolve}


def _rows_of(file: Path) -> list[dict[str, str]]:
    """The rows of a CSV file, as DVC reads them of the working tree.

    Raises:
        StudyError: it is none, as a merge by hand may leave it.
    """
    rows = list(csv.DictReader(io.StringIO(read_text(file, _mend(file)), newline="")))
    if any(None in (*row, *row.values()) for row in rows):
        raise StudyError(f"{file} has rows of unequal length: {_mend(file)}")
    return [{**row, "rev": "workspace"} for row in rows]


def _mend(file: Path) -> str:
    return f"`git checkout HEAD {file}` brings back the committed one"


def _of_the_same_models(data: dict[str, list[dict[str, str]]]) -> bool:
    """Whether memory was predicted for models of the runs: they then share colours and legend."""
    rows = [row for each in data.values() for row in each]
    models = {row["model"] for row in rows if "model" in row}
    return models >= {row["curve"] for row in rows if "curve" in row}


def _filled(plot: str, rows: list[dict[str, str]]) -> dict[str, Any]:
    """The template of a plot with its rows, as `dvc plots show` fills it."""
    template = TEMPLATES / f"{plot}.json"
    filled: dict[str, Any] = VegaRenderer(rows, plot, template=template).get_filled_template()
    return filled


def _drawn(specifications: dict[str, dict[str, Any]]) -> dict[str, str]:
    try:
        done = subprocess.run(
            [sys.executable, "-P", drawing.__file__],
            input=json.dumps(specifications),
            capture_output=True,
            text=True,
            check=False,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        raise StudyError(_not_drawn(f"no process could be started for them: {error}")) from error
    if done.returncode:
        raise StudyError(_not_drawn(_why(done.returncode, done.stderr)))
    svgs: dict[str, str] = json.loads(done.stdout)
    return svgs


def _not_drawn(why: str) -> str:
    return f"the figures could not be drawn: {why}. Metrics, tables and plots/*.csv are written."


def _why(status: int, printed: str) -> str:
    """What became of the process that draws; it may be ended from inside its JavaScript engine."""
    if status > 0:
        *_, said = printed.strip().rpartition("\n") if "Traceback" in printed else (printed,)
        return " ".join(said.split()) or f"vl-convert ended with status {status}"
    name = signal.Signals(-status).name
    if name == "SIGKILL":
        return (
            "vl-convert was ended by SIGKILL. The system does that when memory runs out: give it"
            " more, or end what else runs, and run `make repro` again"
        )
    return (
        f"vl-convert was ended by {name}. Its JavaScript engine reserves much more address space"
        " than it uses: raise the limit on virtual memory (see `ulimit -v`) and run `make repro`"
        " again"
    )
