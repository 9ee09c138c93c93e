"""A small DVC repository, whose stages take no time."""

import json
from pathlib import Path

from tests.conftest import Project

PIPELINE = """
stages:
  write:
    foreach: ${texts}
    do:
      cmd: printf '%s' '${item}' > ${key}.txt
      params: ["texts.${key}"]
      outs: ["${key}.txt"]
  check:
    foreach: ${texts}
    do:
      cmd: grep -v fail ${key}.txt > ${key}.checked
      deps: ["${key}.txt"]
      outs: ["${key}.checked"]
  join:
    cmd: cat a.checked b.checked > joined.txt
    deps: [a.checked, b.checked]
    outs: [joined.txt]
"""
NEEDS = {
    "write@a": set[str](),
    "write@b": set[str](),
    "check@a": {"write@a"},
    "check@b": {"write@b"},
    "join": {"check@a", "check@b"},
}


def dvc_repository(root: Path, **texts: str) -> Project:
    """Make it in a folder, or change its texts: by default `x` and `y` are written and joined.

    The text `fail` fails its stage `check`.
    """
    project = Project(root)
    (root / "dvc.yaml").write_text(PIPELINE)
    (root / "params.yaml").write_text(json.dumps({"texts": {"a": "x", "b": "y", **texts}}))
    (root / ".dvc").mkdir(exist_ok=True)
    (root / ".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    return project
