"""Which modules of the project decide what a module computes.

dvc.yaml names them as a stage's dependencies (a test compares), and a training's checkpoints are
only gone on from by the same ones. What only talks is none of them: this package, and what runs a
module as a command (`if __name__ == "__main__":`).
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
"""The folder that holds the packages."""
TALKING = ROOT / "reformer_seqlen" / "runtime"


def deciding_modules(module: Path, root: Path = ROOT) -> set[Path]:
    """A module and all that it imports of the project, at any depth, but what only talks.

    Imports inside functions and for types alone count too: a value's type says what it may be.
    Packages count by the modules that are imported of them; an `__init__` that holds nothing but
    its docstring decides nothing.

    Args:
        module: a file of the project.
        root: the folder that holds the packages.
    """
    found: set[Path] = set()
    waiting = [module.resolve()]
    while waiting:
        path = waiting.pop()
        if path in found or path.is_relative_to(root / TALKING.relative_to(ROOT)):
            continue
        found.add(path)
        waiting += imported(path, root)
    return {path for path in found if not _is_only_a_docstring(path)}


def imported(module: Path, root: Path = ROOT) -> Iterator[Path]:
    """The files of the project that a module imports, and the `__init__` files on the way."""
    for name in _read(module, module.stat().st_mtime_ns).imports:
        yield from _files(name, root)


class _Read(NamedTuple):
    """What is known of a module's text."""

    imports: list[str]
    is_only_a_docstring: bool


@cache
def _read(module: Path, _changed_ns: int) -> _Read:
    """Parse a module; a process that asks for many stages does it once."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    nodes = (
        node
        for statement in tree.body
        if not _runs_as_a_command(statement)
        for node in ast.walk(statement)
    )
    names = dict.fromkeys(name for node in nodes for name in _names(node))
    return _Read([*names], len(tree.body) == 1 and ast.get_docstring(tree) is not None)


def _runs_as_a_command(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and ast.unparse(statement.test) == "__name__ == '__main__'"


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def _files(name: str, root: Path) -> Iterator[Path]:
    """The file of a module, and those of the packages that it is in."""
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        path = root.joinpath(*parts[:end])
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                yield file


def _is_only_a_docstring(path: Path) -> bool:
    return path.name == "__init__.py" and _read(path, path.stat().st_mtime_ns).is_only_a_docstring
