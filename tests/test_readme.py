"""The README's commands that take seconds and change nothing run as they stand there."""

import json
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT, Project, copy_project, environment
from tests.memory_example import REFORMER_CP


def _commands(text: str, word: str) -> list[list[str]]:
    """The lines of a text that are a command with this word in it, as lists of arguments."""
    lines = text.replace("`", "\n").splitlines()
    return [
        shlex.split(line, comments=True)
        for line in lines
        if line.startswith(("python ", "dvc ")) and word in line
    ]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project, committed and not run."""
    return copy_project(tmp_path_factory.mktemp("project"))


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("report --show", "Evaluation perplexity"),
        ("exp show", "test_perplexity"),
        ("metrics diff", ""),  # nothing differs
    ],
)
def test_looking_at_results_changes_nothing(project: Project, word: str, shown: str) -> None:
    command, *_ = _commands((ROOT / "README.md").read_text(encoding="utf-8"), word)
    assert shown in project.run(*command)
    assert project.run("git", "status", "--short") == ""


def test_the_memory_of_a_model_of_ones_own_is_printed_as_the_readme_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy2(ROOT / "params.yaml", tmp_path)
    # as transformers writes it: with names that no configuration class has
    config = {
        **REFORMER_CP,
        "architectures": ["ReformerModelWithLMHead"],
        "transformers_version": "4",
    }
    Path("config.json").write_text(json.dumps(config))
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    [command] = _commands(text, "stages.benchmark_memory --config")
    done = subprocess.run(
        command,
        env=environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "reformer, 16 x 16384 tokens, float32, inference" in done.stdout
    reserved = next(line for line in done.stdout.splitlines() if line.startswith("peak reserved"))
    # the published row cp-axial-16384 is this and 919 MiB of CUDA context
    assert reserved.split()[-1] == "5,138.0"
    card = next(line for line in done.stdout.splitlines() if line.startswith("T4"))
    assert card.split()[:4] == ["T4", "15360", "512", "yes"]
