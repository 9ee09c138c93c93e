"""The lock files agree with pyproject.toml and with each other, and every file has its hash."""

import re

import pytest
from packaging.utils import canonicalize_name

from tests.conftest import ROOT
from tests.lock_files import DISTRIBUTE, PIN, check_what_is_needed, declared, locked


@pytest.mark.parametrize(("apart", "lock"), [(False, "requirements.lock"), (True, DISTRIBUTE)])
def test_every_dependency_is_locked_within_its_range(apart: bool, lock: str) -> None:
    versions = locked(lock)
    for asked in declared(apart):
        assert asked.specifier.contains(versions[canonicalize_name(asked.name)]), asked


def test_what_the_dependencies_need_is_locked_too() -> None:
    """Since `make install` has pip look for no others: `--no-deps`."""
    assert check_what_is_needed(apart=False) > 100


def test_nothing_is_locked_twice() -> None:
    assert not locked(DISTRIBUTE).keys() & locked("requirements.lock").keys()


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
