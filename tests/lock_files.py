"""The lock files, what pyproject.toml asks for, and what that needs."""

import re
import tomllib
from importlib.metadata import requires
from itertools import chain

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

PIN = re.compile(r"([\w.-]+)==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n")
APART = ("ray", "s3", "distribute-tests")
"""Extras that `make install` leaves out: `make test-distribute` installs them from a lock file."""
DISTRIBUTE = "requirements-distribute.lock"


def locked(name: str) -> dict[str, str]:
    """The versions of a lock file, whose every line is a comment or of a pin with hashes."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines(keepends=True)
    text = "".join(line for line in lines if line[0] != "#")
    pins = list(PIN.finditer(text))
    assert "".join(pin[0] for pin in pins) == text
    return {canonicalize_name(pin[1]): pin[2] for pin in pins}


def declared(apart: bool) -> list[Requirement]:
    """What pyproject.toml asks for, to build the project, too; or what the extras apart do."""
    values = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras: dict[str, list[str]] = values["project"]["optional-dependencies"]
    if apart:
        return [Requirement(text) for name in APART for text in extras[name]]
    others = (texts for name, texts in extras.items() if name not in APART)
    asked = chain(values["build-system"]["requires"], values["project"]["dependencies"], *others)
    return [Requirement(text) for text in asked]


def check_what_is_needed(apart: bool) -> int:
    """Check that all that is needed is locked within its range; return how many that is.

    Packages must be installed: they know what they need.
    """
    versions = locked("requirements.lock") | locked("requirements-cuda.lock")
    if apart:
        versions |= locked(DISTRIBUTE)
    waiting, seen = [(asked.name, asked.extras) for asked in declared(apart)], set()
    while waiting:
        name, extras = waiting.pop()
        if (name, frozenset(extras)) in seen:
            continue
        seen.add((name, frozenset(extras)))
        for asked in map(Requirement, requires(name) or []):
            needed = [{"extra": extra} for extra in ("", *extras)]
            if asked.marker is None or any(asked.marker.evaluate(extra) for extra in needed):
                assert asked.specifier.contains(versions[canonicalize_name(asked.name)]), asked
                waiting.append((asked.name, asked.extras))
    return len(seen)
