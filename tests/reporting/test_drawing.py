"""The process that draws: however it ends, there is one message, and no half of the figures."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reformer_seqlen.reporting import drawing
from reformer_seqlen.reporting.figures import TEMPLATES, draw_figures, write_plots
from reformer_seqlen.runtime.errors import StudyError
from tests.conftest import ROOT
from tests.plots_example import memory_results, results, run_results, runs


@pytest.fixture(scope="module")
def plots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The CSV files of a study."""
    folder, study = tmp_path_factory.mktemp("study") / "plots", runs("tiny")
    write_plots(results(**run_results(study), **memory_results()), study, folder)
    return folder


LIMITED = """
import resource, sys
from pathlib import Path
from reformer_seqlen.reporting.figures import draw_figures
resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))
draw_figures(["answer"], Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_a_limit_on_memory_gives_a_message(plots: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", LIMITED, str(plots), str(tmp_path / "figures")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "StudyError: the figures could not be drawn: vl-convert was ended by SIG" in done.stderr
    assert "ulimit -v" in done.stderr
    assert not (tmp_path / "figures").exists()


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL. The system does"),
        ("raise MemoryError", r"drawn: MemoryError\. Metrics, tables and plots/\*\.csv are writ"),
        ("raise SystemExit(3)", "drawn: vl-convert ended with status 3"),
    ],
)
def test_a_drawing_process_that_dies_gives_a_message(
    script: str, words: str, plots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dies.py").write_text(script, encoding="utf-8")
    monkeypatch.setattr(drawing, "__file__", str(tmp_path / "dies.py"))
    with pytest.raises(StudyError, match=words):
        draw_figures(["answer"], plots, tmp_path / "figures")
    assert not (tmp_path / "figures").exists()


@pytest.mark.slow
def test_a_plot_that_cannot_be_drawn_gives_a_message(
    plots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken: dict[str, Any] = json.loads((TEMPLATES / "answer.json").read_text("utf-8"))
    broken["spec"]["layer"] = [{"mark": "no such mark"}]
    (tmp_path / "memory.json").write_text(json.dumps(broken), encoding="utf-8")
    monkeypatch.setattr("reformer_seqlen.reporting.figures.TEMPLATES", tmp_path)
    with pytest.raises(StudyError, match="drawn: memory: Vega-Lite to SVG conversion failed"):
        draw_figures(["memory"], plots, tmp_path / "figures")
