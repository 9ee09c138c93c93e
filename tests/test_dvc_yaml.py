"""dvc.yaml: every stage depends on all the code that it runs, but for the packages' __init__ files.

stages/__init__.py says how threads wait and what becomes of freed memory: speed, no result. So a
change there need not run the study again. The other __init__ files hold no code.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.conftest import ROOT

STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]


def module_of(name: str) -> Path:
    """The module that a stage's command runs."""
    command = STAGES[name].get("do", STAGES[name])["cmd"]
    return ROOT / f"{command.split()[2].replace('.', '/')}.py"


def imported(module: Path) -> Iterator[Path]:
    """The project's modules that a module imports, inside functions too, but not for types only."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    only_types = {
        id(node)
        for test in ast.walk(tree)
        if isinstance(test, ast.If) and ast.unparse(test.test) == "TYPE_CHECKING"
        for statement in test.body
        for node in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and id(node) not in only_types:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            paths = (ROOT / f"{name.replace('.', '/')}.py" for name in names)
            yield from (path for path in paths if name_is_ours(path) and path.is_file())


def name_is_ours(path: Path) -> bool:
    """Whether a module's file would stand in the project's packages."""
    return path.is_relative_to(ROOT / "stages") or path.is_relative_to(ROOT / "benchmarks")


def all_imported(module: Path) -> set[Path]:
    """Everything of the project that runs when a module runs."""
    seen, waiting = set(), [module]
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            waiting += imported(path)
    return seen


@pytest.mark.parametrize("name", STAGES)
def test_deps_name_every_module_that_a_stage_imports(name: str) -> None:
    declared = [ROOT / dep for dep in STAGES[name].get("do", STAGES[name])["deps"]]
    forgotten = {
        str(path.relative_to(ROOT))
        for path in all_imported(module_of(name))
        if not any(path.is_relative_to(dep) for dep in declared)
    }
    assert forgotten == set()


def test_packages_hold_no_code_that_no_stage_depends_on() -> None:
    files = set((ROOT / "stages").rglob("__init__.py")) - {ROOT / "stages/__init__.py"}
    docstrings_alone = {
        path
        for path in files
        if len((tree := ast.parse(path.read_text(encoding="utf-8"))).body) == 1
        and ast.get_docstring(tree)
    }
    assert docstrings_alone == files


@pytest.mark.parametrize("name", STAGES)
def test_deps_name_no_code_that_a_stage_does_not_import(name: str) -> None:
    declared = [ROOT / dep for dep in STAGES[name].get("do", STAGES[name])["deps"]]
    used = all_imported(module_of(name))
    idle = {
        str(dep.relative_to(ROOT))
        for dep in declared
        if dep.is_relative_to(ROOT / "stages")
        and not any(path.is_relative_to(dep) for path in used)
    }
    assert idle == set()
