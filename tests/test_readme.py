"""The README: short, and every command in it runs."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from reformer_seqlen.parameters.profiles import compose
from reformer_seqlen.parameters.study import parse_study
from reformer_seqlen.runtime.files import read_json, sha256_of
from reformer_seqlen.runtime.paths import BASES, EVALUATIONS
from stages import chunk, download, evaluate, finetune, pretrain, tokenize
from tests.conftest import ROOT, Project, copy_project, environment
from tests.memory_example import REFORMER_CP

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
LONGEST = 220


def blocks(language: str) -> list[str]:
    """What stands between fences of a language."""
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def commands(program: str) -> list[list[str]]:
    """The lines of the README's shell blocks that run a program, as lists of arguments."""
    lines = "".join(blocks("sh")).splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith(f"{program} ")]


def test_it_is_short() -> None:
    assert len(TEXT.splitlines()) <= LONGEST


def test_every_file_that_it_links_is_there() -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", TEXT)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_make_command_is_a_target_with_a_help_text() -> None:
    listed = subprocess.check_output(["make", "--silent", "help"], cwd=ROOT, text=True)
    helped = {line.split()[0] for line in listed.splitlines() if line.strip()}
    named = {words[1] for words in commands("make")} | set(re.findall(r"`make ([\w-]+)", TEXT))
    assert named - {"help"} <= helped


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project, committed and not run."""
    return copy_project(tmp_path_factory.mktemp("project"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [w for w in commands("dvc") if w[1] in ("metrics", "plots")], ids=" ".join
)
def test_looking_at_results_changes_nothing(project: Project, words: list[str]) -> None:
    project.run(*words)
    assert project.run("git", "status", "--short") == ""


@pytest.mark.slow
def test_metrics_fit_a_terminal(project: Project) -> None:
    printed = project.dvc("metrics", "show")
    assert max(map(len, printed.splitlines())) <= 120
    assert "bits_per_byte" in printed


EXPERIMENTS = {
    "dvc exp run -S profile=smoke -S train.learning_rate=5e-4": ("smoke", 0.0005, 42),
    "dvc exp run --no-hydra -S train.learning_rate=5e-4": ("quick", 0.0005, 9),
}
"""What each leaves in params.yaml: profile, learning rate, seed."""


@pytest.mark.slow
@pytest.mark.parametrize("command", EXPERIMENTS)
def test_an_experiment_composes_params_anew_unless_it_is_told_not_to(
    command: str, tmp_path: Path
) -> None:
    words = shlex.split(command)
    assert words in commands("dvc")
    project = copy_project(tmp_path)
    project.change_params(lambda values: values["train"].update(seed=9))
    project.run(*words, "download@news")
    values = YAML(typ="safe").load(tmp_path / "params.yaml")
    train = values["train"]
    assert (values["profile"], train["learning_rate"], train["seed"]) == EXPERIMENTS[command]


def test_the_lines_of_a_study_of_ones_own_are_valid() -> None:
    study = parse_study(with_own_lines(), "the README")
    assert {"novel-512", "novel-1024", "novel-plain-128"} < set(study.runs)


def with_own_lines() -> Any:
    """params.yaml with the README's lines for a corpus and a model of one's own."""
    yaml = YAML(typ="safe")
    values = yaml.load(ROOT / "params.yaml")
    for lines in map(yaml.load, blocks("yaml")):
        for part, added in lines.items():
            values[part] |= added
    return values


@pytest.mark.slow
def test_a_model_of_ones_own_is_trained_and_scored_by_its_lines_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    novel = "".join(f"The {n}th day was as bright as the {n + 1}th.\n" for n in range(900))
    Path("novel.txt").write_text(novel)
    values = with_own_lines()
    for source in (
        values["corpora"]["novel"]["files"]["all"],
        values["models"]["plain"]["pretraining"]["file"],
    ):
        source |= {"path": "novel.txt", "sha256": sha256_of(Path("novel.txt"))}
    recipe = values["models"]["plain"]["pretraining"]
    recipe |= {"pieces": 110, "validation": 0.1}  # a text of so few words has no more pieces
    values["train"] |= {"updates": 5, "tokens_per_update": 512}
    YAML().dump(values, Path("params.yaml"))
    download.main("novel")
    pretrain.main("plain")
    tokenize.main("novel-plain")
    for stage in (chunk, finetune, evaluate):
        stage.main("novel-plain-128")
    scores = read_json(EVALUATIONS / "novel-plain-128/scores.json")["test"]
    assert scores["low"] <= scores["bits_per_byte"] <= scores["high"] < 6
    assert read_json(BASES / "plain/card.json")["model_type"] == "gpt2"


def test_a_copied_profile_is_a_profile_of_ones_own(tmp_path: Path) -> None:
    conf = shutil.copytree(ROOT / "conf", tmp_path / "conf")
    quick = (conf / "profile/quick.yaml").read_text(encoding="utf-8")
    assert quick.startswith("# @package _global_\n")
    mine = quick.replace("profile: quick", "profile: mine")
    (conf / "profile/mine.yaml").write_text(mine, encoding="utf-8")
    assert compose("mine", conf) == compose("quick", conf) | {"profile": "mine"}


@pytest.mark.slow
def test_the_memory_of_a_model_of_ones_own_is_printed(tmp_path: Path) -> None:
    # as transformers writes it: with names that no configuration class has
    config = {
        **REFORMER_CP,
        "architectures": ["ReformerModelWithLMHead"],
        "transformers_version": "4",
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    [[_, *words]] = [words for words in commands("reformer-seqlen") if words[1] == "memory"]
    done = subprocess.run(
        [sys.executable, "-m", "reformer_seqlen", *words],
        cwd=tmp_path,
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
    gpu = next(line for line in done.stdout.splitlines() if line.startswith("T4"))
    assert gpu.split()[:5] == ["T4", "15360", "512", "9.1", "yes"]


@pytest.mark.slow
def test_a_remote_can_be_added(project: Project, tmp_path: Path) -> None:
    [line] = re.findall(r"`(dvc remote add --default storage )\S+`", TEXT)
    shutil.copytree(project.root / ".dvc", tmp_path / ".dvc")
    (tmp_path / "here").mkdir()
    own = Project(tmp_path)
    own.run("git", "init", "-q")
    own.run(*shlex.split(line), str(tmp_path / "here"))
    assert "storage" in own.dvc("remote", "list")
