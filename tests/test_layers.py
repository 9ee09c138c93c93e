"""Imports go downward: a package imports those below it, and nobody imports the commands."""

from pathlib import Path

import pytest

from reformer_seqlen.runtime.code import imported
from tests.conftest import ROOT

LAYERS = (
    ("runtime",),
    ("parameters",),
    ("counting", "fetching", "text", "reformer"),
    ("models",),
    ("memory", "scoring"),
    ("training",),
    ("bases",),
    ("reporting", "planning"),
    ("checking", "pipeline"),
    ("distribution",),
    ("commands",),
)
"""From the lowest to the highest; packages of one layer do not import each other."""
LIBRARY = ROOT / "reformer_seqlen"
MODULES = sorted(LIBRARY.rglob("*.py"))


def layer_of(module: Path) -> int | None:
    """The layer of a module's package; None for what stands beside the packages."""
    package = module.relative_to(LIBRARY).parts[0]
    found = [number for number, packages in enumerate(LAYERS) if package in packages]
    return found[0] if found else None


def test_every_package_has_a_layer() -> None:
    packages = {path.parent.name for path in LIBRARY.glob("*/__init__.py")}
    assert packages == {package for layer in LAYERS for package in layer}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_a_module_imports_its_own_package_and_lower_ones(module: Path) -> None:
    own = layer_of(module)
    upward = [
        str(path.relative_to(LIBRARY))
        for path in imported(module)
        if own is not None
        and path.is_relative_to(LIBRARY)
        and path.parent != LIBRARY
        and path.relative_to(LIBRARY).parts[0] != module.relative_to(LIBRARY).parts[0]
        and (layer := layer_of(path)) is not None
        and layer >= own
    ]
    assert upward == []


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_the_library_knows_no_stage(module: Path) -> None:
    assert not [path for path in imported(module) if path.is_relative_to(ROOT / "stages")]
