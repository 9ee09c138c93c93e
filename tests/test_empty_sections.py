"""Sections of params.yaml that may be empty are, and a fresh clone of the study is up to date."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Project, stages_run

pytestmark = pytest.mark.slow


def _emptied(values: Any) -> None:
    values["counts"] = {}
    values["memory"] |= {"models": {}, "rows": {}, "fits": []}
    values["memory"]["training"]["curves"] = {}


def test_a_study_finishes_without_what_it_may_lack(own_smoke: Project, tmp_path: Path) -> None:
    own_smoke.change_params(_emptied)
    for left in (own_smoke.root / "data/counts").glob("news-*"):
        shutil.rmtree(left)
        (own_smoke.root / f"data/timings/count/{left.name}.json").unlink()
    said = own_smoke.dvc("repro")
    assert stages_run(said) == ["benchmark_memory", "report"]
    assert "reported 2 runs and 0 memory rows" in said
    assert stages_run(own_smoke.dvc("repro")) == []
    own_smoke.run("git", "add", "-A")
    own_smoke.run("git", "commit", "-qm", "empty sections")
    clone = Project(tmp_path / "clone")
    own_smoke.run("git", "clone", "-q", ".", str(clone.root))
    clone.dvc("cache", "dir", "--local", str(own_smoke.root / ".dvc/cache"))
    clone.dvc("checkout")
    assert "up to date" in clone.dvc("status")
    assert stages_run(clone.dvc("repro")) == []
    assert "news-64" in clone.dvc("metrics", "show")
