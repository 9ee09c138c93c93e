"""The lock files agree with pyproject.toml and with each other, and every file has its hash."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires, version
from itertools import chain

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

PIN = re.compile(r"([\w.-]+)==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n")


def _locked(name: str) -> dict[str, str]:
    """The versions of a lock file, whose every line is a comment or of a pin with hashes."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines(keepends=True)
    text = "".join(line for line in lines if line[0] != "#")
    pins = list(PIN.finditer(text))
    assert "".join(pin[0] for pin in pins) == text
    return {canonicalize_name(pin[1]): pin[2] for pin in pins}


APART = ("ray", "s3", "distribute-tests")
"""Extras that `make install` leaves out: `.ci/run` installs them from a lock file of their own."""
DISTRIBUTE = "requirements-distribute.lock"


def _declared(apart: bool) -> list[Requirement]:
    """What pyproject.toml asks for, to build the project, too; or what the extras apart do."""
    values = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras: dict[str, list[str]] = values["project"]["optional-dependencies"]
    if apart:
        return [Requirement(text) for name in APART for text in extras[name]]
    others = (texts for name, texts in extras.items() if name not in APART)
    asked = chain(values["build-system"]["requires"], values["project"]["dependencies"], *others)
    return [Requirement(text) for text in asked]


@pytest.mark.parametrize(("apart", "lock"), [(False, "requirements.lock"), (True, DISTRIBUTE)])
def test_every_dependency_is_locked_within_its_range(apart: bool, lock: str) -> None:
    locked = _locked(lock)
    for asked in _declared(apart):
        assert asked.specifier.contains(locked[canonicalize_name(asked.name)]), asked


@pytest.mark.parametrize("apart", [False, True])
def test_what_the_dependencies_need_is_locked_too(apart: bool) -> None:
    """Since `make install` has pip look for no others: `--no-deps`."""
    locked = _locked("requirements.lock") | _locked("requirements-cuda.lock")
    if apart:
        locked |= _locked(DISTRIBUTE)
        missing = [asked.name for asked in _declared(apart) if not _is_installed(asked.name)]
        if missing:
            pytest.skip(f"not installed, pip install -r {DISTRIBUTE}: {', '.join(missing)}")
    waiting, seen = [(asked.name, asked.extras) for asked in _declared(apart)], set()
    while waiting:
        name, extras = waiting.pop()
        if (name, frozenset(extras)) in seen:
            continue
        seen.add((name, frozenset(extras)))
        for asked in map(Requirement, requires(name) or []):
            needed = [{"extra": extra} for extra in ("", *extras)]
            if asked.marker is None or any(asked.marker.evaluate(extra) for extra in needed):
                assert asked.specifier.contains(locked[canonicalize_name(asked.name)]), asked
                waiting.append((asked.name, asked.extras))
    assert len(seen) > (30 if apart else 100)


def _is_installed(name: str) -> bool:
    try:
        return bool(version(name))
    except PackageNotFoundError:
        return False


def test_torch_may_come_from_pypi_or_be_built_for_processors_alone() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    [torch] = [pin for pin in PIN.finditer(text) if pin[1] == "torch"]
    assert torch[2] == "2.13.0"
    hashes = re.findall(r"sha256:(\w+)", torch[3])
    of_cpu = "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b"
    assert of_cpu in hashes
    assert len(hashes) == 25


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-cuda.lock", DISTRIBUTE])
def test_a_lock_says_how_to_change_it(name: str) -> None:
    assert f"`python .ci/lock.py {name}`" in (ROOT / name).read_text(encoding="utf-8")
