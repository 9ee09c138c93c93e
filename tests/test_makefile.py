"""What `make` hands on to the command."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, environment

SAMPLE = ["-m", "reformer_seqlen", "sample", "--"]
INPUTS = ("Makefile", "requirements.lock", "requirements-cuda.lock", "pyproject.toml")
SHOW_ARGUMENTS = f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the Makefile, set up, whose python shows what it is called with."""
    for name in INPUTS:
        shutil.copy2(ROOT / name, tmp_path)
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(SHOW_ARGUMENTS)
    python.chmod(0o755)
    (tmp_path / ".venv/installed").touch()
    return tmp_path


def _made(folder: Path, *words: str, target: str = "sample", **variables: str) -> list[str]:
    """What python gets from `make`."""
    command = ["make", "--silent", target, *words]
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


def test_a_prompt_without_a_run_is_not_taken_for_one(folder: Path) -> None:
    done = subprocess.run(
        ["make", "sample", "PROMPT=The "],
        cwd=folder, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert 'error: which run? make sample RUN=news-512 PROMPT="The "' in done.stdout


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        (["repro"], ["repro"]),
        (["repro", "JOBS=3"], ["repro", "--jobs", "3"]),
        (["repro", "PROFILE=paper"], ["repro", "--profile", "paper"]),
        (["plan"], ["plan"]),
        (["plan", "PROFILE=paper"], ["plan", "paper"]),
        (["show"], ["show"]),
        (["check"], ["check"]),
    ],
)
def test_a_target_is_the_command_of_its_name(
    words: list[str], arguments: list[str], folder: Path
) -> None:
    target, *others = words
    assert _made(folder, *others, target=target) == ["-m", "reformer_seqlen", *arguments]


def test_help_says_every_target_and_how_long_the_tests_take() -> None:
    printed = subprocess.check_output(["make", "--silent", "help"], cwd=ROOT, text=True)
    said = dict(line.split(maxsplit=1) for line in printed.splitlines())
    [phony] = re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(said) == set(phony.split())
    assert "minutes" in said["test"]
    assert "minute" in said["test-fast"]


def test_a_folder_that_path_cannot_hold_is_refused(folder: Path) -> None:
    odd = folder / "with:colon"
    odd.mkdir()
    shutil.copy2(ROOT / "Makefile", odd)
    done = subprocess.run(
        ["make", "help"], cwd=odd, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "with:colon has a colon in its name, which PATH can't hold: rename the folder" in (
        done.stderr
    )


def test_a_python_that_keeps_away_from_the_working_folder_finds_the_stages(folder: Path) -> None:
    python = folder / ".venv/bin/python"
    python.write_text(f"#!{sys.executable}\nimport os, json\nprint(json.dumps([*os.environ]))\n")
    assert "PYTHONSAFEPATH" not in _made(folder, target="show", PYTHONSAFEPATH="1")
