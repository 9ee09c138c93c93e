"""`make sample` hands a prompt on as it was typed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, environment

SAMPLE = ["-m", "reformer_seqlen.commands.sample", "--"]
SHOW_ARGUMENTS = f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the Makefile, set up, whose python shows what it is called with."""
    for name in ("Makefile", "requirements.lock"):
        shutil.copy2(ROOT / name, tmp_path)
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(SHOW_ARGUMENTS)
    python.chmod(0o755)
    (tmp_path / ".venv/installed").touch()
    return tmp_path


def _made(folder: Path, *words: str, **variables: str) -> list[str]:
    """What python gets from `make sample`."""
    command = ["make", "--silent", "sample", *words]
    printed = subprocess.check_output(command, cwd=folder, env=environment(**variables), text=True)
    arguments: list[str] = json.loads(printed)
    return arguments


@pytest.mark.parametrize(
    "prompt",
    ["The ", "It costs $5, or $(HOME)", '"It\'s" `x` # \\ ${y}', "-foo", "--help", "two\nlines"],
)
def test_a_prompt_arrives_as_it_was_typed(prompt: str, folder: Path) -> None:
    words = [*SAMPLE, "news-512", prompt]
    assert _made(folder, "RUN=news-512", f"PROMPT={prompt}") == words
    assert _made(folder, RUN="news-512", PROMPT=prompt) == words


def test_what_is_not_given_is_left_to_the_command_to_ask_for(folder: Path) -> None:
    assert _made(folder, "RUN=news-512") == [*SAMPLE, "news-512"]
    assert _made(folder) == SAMPLE
