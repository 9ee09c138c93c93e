"""dvc.yaml: a stage depends on every module that decides its numbers, and on no other."""

import subprocess
from collections.abc import Callable, Mapping
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
    needed = deciding(stage)
    idle = {
        str(dep.relative_to(ROOT))
        for dep in declared_code(stage)
        if not any(path.is_relative_to(dep) for path in needed)
    }
    assert idle == set()


@pytest.mark.parametrize("stage", STAGES)
def test_what_only_talks_is_no_dependency(stage: str) -> None:
    packages = ("runtime", "pipeline", "distribution", "commands")
    talking = tuple(f"reformer_seqlen/{package}" for package in packages)
    assert not [dep for dep in STAGES[stage]["deps"] if dep.startswith(talking)]


LEFT_BEHIND = (
    ".hashing.py.swp",  # vim, and nano
    ".hashing.py.swx",
    "4913",
    "hashing.py~",
    ".hashing.py.un~",
    "#hashing.py#",  # Emacs
    ".#hashing.py",
    ".hashing.py.kate-swp",
    "hashing.py.bak",
    "hashing.py.tmp",
    ".goutputstream-A1B2C3",
    ".idea/workspace.xml",
    ".vscode/settings.json",
    ".ipynb_checkpoints/hashing-checkpoint.py",
    "__pycache__/hashing.cpython-311.pyc",
    ".mypy_cache/3.11/hashing.json",
    ".ruff_cache/content",
    ".pytest_cache/README.md",
    ".hypothesis/unicode_data",
    ".DS_Store",  # file managers
    "._hashing.py",
    "Thumbs.db",
    "desktop.ini",
    "hashing.py.orig",  # merges and patches
    "hashing.py.rej",
    ".nfs000000000000001",  # file systems
    ".fuse_hidden0000000100000001",
    ".hashing.partial",  # ours
)
"""What may stand in a folder that is a dependency, and is no part of it."""


@pytest.fixture(scope="module")
def seen_by_dvc() -> Callable[[Path], bool]:
    """Whether DVC looks at a file, by .dvcignore."""
    from dvc.repo import Repo

    ignored = Repo(str(ROOT)).dvcignore
    return lambda path: not ignored.is_ignored_file(str(path))


@pytest.mark.parametrize("name", LEFT_BEHIND)
def test_what_editors_and_tools_leave_behind_makes_nothing_stale(
    name: str, seen_by_dvc: Callable[[Path], bool]
) -> None:
    assert not seen_by_dvc(ROOT / "reformer_seqlen/reformer" / name)


def test_what_is_a_dependency_is_seen(seen_by_dvc: Callable[[Path], bool]) -> None:
    known = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    code = [name for name in known.stdout.split() if name.startswith((*CODE, "results/gpu"))]
    assert len(code) > 150
    assert [name for name in code if not seen_by_dvc(ROOT / name)] == []
