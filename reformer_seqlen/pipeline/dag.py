"""The stages of dvc.yaml as DVC sees them: which there are, what they need, which are stale."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from reformer_seqlen.pipeline.mending import mended
from reformer_seqlen.runtime.errors import StudyError

DVC = (sys.executable, "-u", "-m", "dvc")
DOT_LINE = re.compile(r'^"(?P<name>.+?)"(?: -> "(?P<needed_by>.+?)")?;$', re.MULTILINE)
NO_REPOSITORY = (
    "this folder is not a git repository, and DVC needs one: `git clone` the project instead of "
    "unpacking a .zip of it, or make one of the folder: "
    "`git init --quiet && git add --all && git commit --quiet --message study`"
)

Needs = dict[str, set[str]]
"""Stages, and the stages that each one needs."""


def environment() -> dict[str, str]:
    """Of DVC and its stages: this Python is their `python`, and lines are printed at once.

    Stages are modules of the working folder, where PYTHONSAFEPATH would keep Python from looking.
    What a terminal's encoding lacks must not end DVC.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    own = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    return {"PYTHONIOENCODING": ":replace", **own, "PATH": path, "PYTHONUNBUFFERED": "1"}


def ask(*arguments: str) -> str:
    """What DVC answers.

    Raises:
        StudyError: it can't read dvc.yaml or its other files, or runs already.
    """
    done = subprocess.run(
        [*DVC, *arguments],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env=environment(),
    )
    if "is not a git repository" in done.stderr:
        raise StudyError(NO_REPOSITORY)
    if done.returncode:
        raise StudyError(f"`dvc {' '.join(arguments)}` failed:\n{done.stderr.strip()}")
    return done.stdout


def stale_stages(*names: str) -> set[str]:
    """The stages whose code, parameters, dependencies or outs are not those of their last run.

    Of all stages, or of those that are named and what they need.
    """
    among_these = ["--with-deps", *names] if names else []

    def status(wait: bool) -> str:
        waiting = ["--wait-for-lock"] if wait else []
        return ask(*waiting, "status", "--json", *among_these)

    stale: dict[str, Any] = json.loads(mended(status))
    return set(stale)


def all_needs() -> Needs:
    """Every stage, in the order in which DVC lists them."""
    needs: Needs = {}
    for line in DOT_LINE.finditer(ask("dag", "--full", "--dot")):
        needs.setdefault(line["name"], set())
        if line["needed_by"]:
            needs.setdefault(line["needed_by"], set()).add(line["name"])
    return needs


def selected(targets: Iterable[str], needs: Mapping[str, Collection[str]]) -> set[str]:
    """The stages that are asked for, and all that these need.

    Args:
        targets: names of stages, or what stands before the @ of several.
        needs: of all stages.

    Raises:
        StudyError: there is no such stage.
    """
    found: set[str] = set()
    for target in targets:
        named = {name for name in needs if target in (name, name.partition("@")[0])}
        if not named:
            raise StudyError(f"there is no stage `{target}`: choose from {', '.join(needs)}")
        found |= named
    waiting = list(found)
    while waiting:
        new = set(needs[waiting.pop()]) - found
        found |= new
        waiting += new
    return found


def with_dependents(names: Collection[str], needs: Mapping[str, Collection[str]]) -> set[str]:
    """Stages, and all that need one of them, directly or not."""
    found = set(names)
    size = 0
    while size < len(found):
        size = len(found)
        found |= {name for name, needed in needs.items() if not found.isdisjoint(needed)}
    return found


def among(needs: Needs, names: set[str]) -> Needs:
    """Of some stages, what they need of each other."""
    return {name: needs[name] & names for name in needs if name in names}
