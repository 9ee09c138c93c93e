"""The files that tools and contributors read are valid and agree with the project."""

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.conftest import ROOT


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _yaml(name: str) -> Any:
    return YAML(typ="safe").load(ROOT / name)


def _project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads(_text("pyproject.toml"))["project"]
    return project


def test_the_licence_is_apache_2() -> None:
    licence = _text("LICENSE")
    assert " ".join(licence.split()).startswith("Apache License Version 2.0, January 2004 ")
    assert "END OF TERMS AND CONDITIONS" in licence
    assert "Copyright 2026 The reformer-seqlen authors" in licence
    assert "[yyyy]" not in licence


def test_the_citation_names_the_software_and_what_it_builds_on() -> None:
    citation = _yaml("CITATION.cff")
    required = {"cff-version", "message", "title", "authors"}
    assert required < citation.keys()
    assert citation["authors"] == [{"name": "The reformer-seqlen authors"}]
    assert citation["license"] == "Apache-2.0"
    assert citation["version"] == _project()["version"]
    for reference in citation["references"]:
        assert {"type", "title", "authors"} < reference.keys()


def test_the_citation_is_of_the_study_that_the_report_compares_with() -> None:
    *_, study = _yaml("CITATION.cff")["references"]
    published = YAML(typ="safe").load(ROOT / "reformer_seqlen/reporting/published.json")
    assert study["repository-code"] == published["provenance"]["repository"]
    assert study["commit"] == published["provenance"]["commit"]


def test_the_changelog_has_a_section_for_what_is_not_released() -> None:
    titles = re.findall(r"^## (.*)$", _text("CHANGELOG.md"), re.MULTILINE)
    assert titles[0] == "Unreleased"


def test_commands_that_contributing_names_are_targets_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", _text("Makefile"), re.MULTILINE))
    named = set(re.findall(r"make ([a-z-]+)", _text("CONTRIBUTING.md")))
    assert {"lint", "test", "repro", "check"} <= named <= targets


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "benchmarks/LOG.md"])
def test_files_that_are_named_exist(name: str) -> None:
    named = re.findall(r"`(\w+/[\w/]+\.(?:py|md|json))`", _text(name))
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_hooks_use_the_pinned_tools_and_stop_large_files() -> None:
    (repository,) = _yaml(".pre-commit-config.yaml")["repos"]
    *tools, large_files = repository["hooks"]
    assert [tool["id"] for tool in tools] == ["ruff-check", "ruff-format", "mypy"]
    for tool in tools:
        program = tool["entry"].split()[0]
        assert program.startswith(".venv/bin/")
        assert (Path(sys.executable).parent / Path(program).name).exists()
    assert large_files["entry"] == "check-added-large-files --maxkb=1000"
    assert "==" in large_files["additional_dependencies"][0]


def test_the_workflow_runs_what_must_pass_and_shows_the_metrics() -> None:
    workflow = _yaml(".github/workflows/ci.yml")
    assert workflow["permissions"] == {"contents": "read"}
    (job,) = workflow["jobs"].values()
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert ".ci/run" in commands
    assert "dvc metrics diff --md" in commands[-1]
    assert "$GITHUB_STEP_SUMMARY" in commands[-1]
    actions = [step["uses"] for step in job["steps"] if "uses" in step]
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", action) for action in actions)
    assert "secrets." not in _text(".github/workflows/ci.yml")
