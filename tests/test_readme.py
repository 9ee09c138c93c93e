"""The README's commands that take seconds and change nothing run as they stand there."""

import json
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from reformer_seqlen.parameters.profiles import compose
from reformer_seqlen.parameters.study import Study
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "profile", "learning_rate", "epochs"),
    [
        ("dvc exp run -S profile=smoke", "smoke", 0.01, 2),
        ("dvc exp run -S profile=smoke -S train.learning_rate=5e-4", "smoke", 0.0005, 2),
        ("dvc exp run --no-hydra -S train.learning_rate=5e-4", "quick", 0.0005, 9),
    ],
)
def test_an_experiment_composes_params_anew_unless_it_is_told_not_to(
    command: str, profile: str, learning_rate: float, epochs: int, tmp_path: Path
) -> None:
    words = shlex.split(command)
    assert words in _commands((ROOT / "README.md").read_text(encoding="utf-8"), "exp run")
    project = copy_project(tmp_path)
    project.change_params(lambda values: values["train"].update(epochs=9))
    project.run(*words, "download@news")
    values = YAML(typ="safe").load(tmp_path / "params.yaml")
    train = values["train"]
    assert (values["profile"], train["learning_rate"], train["epochs"]) == (
        profile,
        learning_rate,
        epochs,
    )


def test_the_lines_of_the_readme_are_a_study() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    yaml = YAML(typ="safe")
    lines = yaml.load(text.split("```yaml\n")[1].split("```")[0])
    values = yaml.load(ROOT / "params.yaml")
    for part, added in lines.items():
        values[part] |= added
    params = Study.model_validate(values)
    assert set(lines["runs"]) < set(params.runs)


def test_a_copied_profile_is_a_profile_of_ones_own(tmp_path: Path) -> None:
    conf = shutil.copytree(ROOT / "conf", tmp_path / "conf")
    quick = (conf / "profile/quick.yaml").read_text(encoding="utf-8")
    assert quick.startswith("# @package _global_\n")
    mine = quick.replace("profile: quick", "profile: mine")
    (conf / "profile/mine.yaml").write_text(mine, encoding="utf-8")
    assert compose("mine", conf) == compose("quick", conf) | {"profile": "mine"}


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
