"""dvc.yaml: a stage depends on every module that decides its numbers, and on no other."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from reformer_seqlen.runtime.code import deciding_modules
from tests.conftest import ROOT

STAGES: Mapping[str, Any] = {
    name: stage.get("do", stage)
    for name, stage in YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"].items()
}
CODE = ("stages", "reformer_seqlen")


def declared_code(stage: str) -> list[Path]:
    """The files and folders of the project's code that a stage depends on."""
    return [ROOT / dep for dep in STAGES[stage]["deps"] if dep.startswith(CODE)]


def deciding(stage: str) -> set[Path]:
    """The modules that decide a stage's numbers."""
    return deciding_modules(ROOT / "stages" / f"{stage}.py")


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_runs_the_module_of_its_name(stage: str) -> None:
    assert STAGES[stage]["cmd"].startswith(f"python -m stages.{stage}")
    assert (ROOT / "stages" / f"{stage}.py").is_file()


def test_stages_holds_nothing_else() -> None:
    assert {path.stem for path in (ROOT / "stages").glob("*.py")} == {*STAGES, "__init__"}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_says_what_it_does(stage: str) -> None:
    assert STAGES[stage]["desc"]


@pytest.mark.parametrize("stage", STAGES)
def test_every_module_that_decides_is_a_dependency_or_only_talks(stage: str) -> None:
    declared = declared_code(stage)
    forgotten = {
        str(path.relative_to(ROOT))
        for path in deciding(stage)
        if not any(path.is_relative_to(dep) for dep in declared)
        and path != ROOT / "stages/__init__.py"
    }
    assert forgotten == set()


@pytest.mark.slow
@pytest.mark.parametrize("stage", [name for name in STAGES if name != "report"])
def test_no_dependency_holds_a_module_that_decides_nothing(stage: str) -> None:
    """A folder may, where all of it belongs to one subject; a file may not."""
    idle = {
        str(dep.relative_to(ROOT))
        for dep in declared_code(stage)
        if not any(path.is_relative_to(dep) for path in deciding(stage))
    }
    assert idle == set()


@pytest.mark.parametrize("stage", STAGES)
def test_what_only_talks_is_no_dependency(stage: str) -> None:
    talking = ("reformer_seqlen/runtime", "reformer_seqlen/commands")
    assert not [dep for dep in STAGES[stage]["deps"] if dep.startswith(talking)]
