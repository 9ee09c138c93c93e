"""docs/more-machines.md, and the README's section on it: what can be typed on one machine runs."""

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.conftest import ROOT, Project, stages_run
from tests.counting_example import commit, counting_repository, times_run

PAGE = (ROOT / "docs/more-machines.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str, text: str) -> list[str]:
    """What stands between fences of a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands(text: str) -> list[list[str]]:
    """What shell blocks say of `distribute`, as lists of words, without a cluster's address."""
    lines = "".join(blocks("sh", text)).replace("\\\n", "").splitlines()
    lines = [re.sub(r"^(\w+=\S+ )+", "", line) for line in lines]
    split = [shlex.split(line, comments=True) for line in lines]
    return [words for words in split if words[:2] == ["reformer-seqlen", "distribute"]]


@pytest.mark.slow
def test_a_remote_is_added_and_every_command_is_taken(own_smoke: Project, tmp_path: Path) -> None:
    """Of a study that is finished, so that nothing is left to do."""
    remote, committed = blocks("sh", PAGE)[1].splitlines()
    *words, _ = shlex.split(remote, comments=True)
    commit(own_smoke)
    own_smoke.run(*words, str(tmp_path / "remote"))
    own_smoke.run("sh", "-c", committed)
    assert "storage" in own_smoke.dvc("remote", "list")
    lines = {tuple(line[1:]) for line in commands(PAGE) + commands(README)}
    assert len(lines) >= 6
    for line in lines:
        printed = own_smoke.run(sys.executable, "-m", "reformer_seqlen", *line)
        assert "nothing to do: all stages are up to date" in printed


def test_the_readme_adds_a_remote_as_the_page_does() -> None:
    known = [shlex.split(line, comments=True) for line in blocks("sh", PAGE)[1].splitlines()]
    lines = "".join(blocks("sh", README)).splitlines()
    added = [line for line in lines if line.startswith(("dvc remote add", "git add .dvc"))]
    assert [line for line in added if shlex.split(line, comments=True) not in known] == []


def workflow() -> Any:
    """The GitHub workflow."""
    [text] = [block for block in blocks("yaml", PAGE) if "workflow_dispatch" in block]
    return YAML(typ="safe").load(text)


def test_the_ci_matrix_names_stages_of_the_study() -> None:
    runs = YAML(typ="safe").load(ROOT / "params.yaml")["runs"]
    stages = workflow()["jobs"]["run"]["strategy"]["matrix"]["stage"]
    assert {stage.removeprefix("evaluate@") for stage in stages} <= runs.keys()


@pytest.mark.slow
def test_the_jobs_of_a_ci_matrix_compute_each_stage_once(tmp_path: Path) -> None:
    steps = [step["run"] for step in workflow()["jobs"]["run"]["steps"] if "run" in step]
    _, path, repro, push = steps
    assert path == 'echo "$PWD/.venv/bin" >> "$GITHUB_PATH"'  # for the steps after it
    template = re.compile(r"\$\{\{.*?\}\}")
    origin = counting_repository(tmp_path / "origin", None)
    origin.dvc("remote", "add", "--quiet", "--default", "storage", str(tmp_path / "remote"))
    commit(origin)
    for job in ("write@a write@b", "check@a", "check@b"):
        clone = cloned(origin, tmp_path / job)
        clone.run("sh", "-c", template.sub(job, repro))
        clone.run("sh", "-c", push)
    mine = cloned(origin, tmp_path / "mine")
    assert stages_run(mine.dvc("repro", "--pull")) == ["join"]
    once = ("write@a", "write@b", "check@a", "check@b", "join")
    assert times_run(origin.root) == dict.fromkeys(once, 1)


def cloned(origin: Project, folder: Path) -> Project:
    """A clone of a repository."""
    origin.run("git", "clone", "--quiet", str(origin.root), str(folder))
    return Project(folder)


def test_the_task_files_are_valid_yaml() -> None:
    files = [YAML(typ="safe").load(text) for text in blocks("yaml", PAGE)]
    assert [next(iter(file)) for file in files] == ["cluster_name", "on", "name"]


def test_files_that_it_links_are_there() -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", PAGE)
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
