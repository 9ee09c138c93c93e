"""The pipeline under real DVC: what runs again, what does not, and that the bytes are the same."""

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from reformer_seqlen.runtime.console import INTERRUPTED
from reformer_seqlen.runtime.files import read_json
from tests.conftest import Project, copy_project, environment, stages_run

pytestmark = pytest.mark.slow

COMMAND = (sys.executable, "-m", "reformer_seqlen")
RUN_VERBS = ("chunk", "finetune", "evaluate")


def digests(root: Path, *folders: str) -> dict[str, str]:
    """A sha256 for every file below some folders."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders
        for path in sorted((root / folder).rglob("*"))
        if path.is_file()
    }


def test_the_smoke_study_reports_every_run(smoke: Project) -> None:
    quality = read_json(smoke.root / "metrics/quality.json")
    assert list(quality) == ["news-64", "news-256"]
    for run in quality.values():
        assert run["validation_perplexity"] < run["unigram_perplexity"]
        assert run["diverged"] is False
    training = read_json(smoke.root / "metrics/training.json")
    assert training["news-64"]["updates"] > training["news-256"]["updates"] > 0


def test_every_length_is_scored_on_the_same_tokens(smoke: Project) -> None:
    quality = read_json(smoke.root / "metrics/quality.json")
    assert len({run["validation_tokens"] for run in quality.values()}) == 1
    assert len({run["test_tokens"] for run in quality.values()}) == 1


def test_nothing_is_left_to_do_and_dvc_says_so(smoke: Project) -> None:
    smoke.dvc("status", "-q")
    assert smoke.would_run() == []


def test_splits_share_no_text(smoke: Project) -> None:
    text = smoke.root / "data/texts/news"
    lines = [
        line
        for split in ("train", "validation", "test")
        for line in (text / f"{split}.txt").read_bytes().splitlines()
    ]
    assert len(lines) == len(set(lines)) > 10


def test_a_model_loads_in_stock_transformers(smoke: Project) -> None:
    code = (
        "from transformers import AutoModelForCausalLM;"
        "m = AutoModelForCausalLM.from_pretrained('data/models/news-64');"
        "print(type(m).__name__, type(m).__module__)"
    )
    printed = smoke.run(sys.executable, "-c", code)
    assert "ReformerModelWithLMHead transformers." in printed


def test_computing_again_gives_the_same_bytes(own_smoke: Project) -> None:
    results = ("data/models/news-64", "data/histories", "data/evaluations", "data/windows")
    before = digests(own_smoke.root, *results)
    for stage in ("chunk@news-64", "finetune@news-64", "evaluate@news-64"):
        own_smoke.dvc("repro", "--force", "--single-item", stage)
    assert digests(own_smoke.root, *results) == before


def test_side_by_side_gives_the_same_bytes(own_smoke: Project) -> None:
    """Both runs are trained again, and as their models are the same, they are not scored again."""
    results = ("data/models", "data/histories", "data/evaluations")
    before = digests(own_smoke.root, *results)
    own_smoke.change_params(lambda values: values["train"].update(checkpoint_every_updates=6))
    printed = own_smoke.run(*COMMAND, "repro", "--jobs", "2")
    assert re.search(
        r"^\[0/5\] finetune@news-\d+, finetune@news-\d+, about ", printed, re.MULTILINE
    )
    assert "3 stages ran, the others are up to date" in printed
    assert digests(own_smoke.root, *results) == before
    assert "nothing to do: all stages are up to date" in own_smoke.run(*COMMAND, "repro")


def test_a_changed_run_runs_its_own_chain_and_the_report_again(own_smoke: Project) -> None:
    def change(values: Any) -> None:
        values["runs"]["news-64"]["train"] = {"epochs": 1}

    own_smoke.change_params(change)
    chain = [f"{verb}@news-64" for verb in RUN_VERBS]
    assert own_smoke.would_run() == [*chain, "report"]


def test_new_lines_in_params_run_their_own_chains_and_nothing_else(own_smoke: Project) -> None:
    def add(values: Any) -> None:
        values["corpora"]["other"] = {**values["corpora"]["news"], "first_bytes": 30000}
        values["models"]["small"] = dict(values["models"]["tiny"])
        values["tokens"]["other-small"] = {"corpus": "other", "model": "small"}
        values["runs"]["other-64"] = {"corpus": "other", "model": "small", "sequence_length": 64}
        values["runs"]["news-128"] = {"corpus": "news", "model": "tiny", "sequence_length": 128}
        row = dict(values["memory"]["rows"]["tiny-gpt2-2048"])
        values["memory"]["rows"]["shorter"] = {**row, "sequence_length": 64}

    own_smoke.change_params(add)
    chains = [f"{verb}@{run}" for run in ("other-64", "news-128") for verb in RUN_VERBS]
    assert set(stages_run(own_smoke.dvc("repro"))) == {
        "download@other",
        "pretrain@small",
        "tokenize@other-small",
        *chains,
        "benchmark_memory@shorter",
        "benchmark_cards",  # it may search for any of the rows
        "report",
    }
    assert list(read_json(own_smoke.root / "metrics/quality.json"))[-2:] == ["other-64", "news-128"]
    assert "shorter" in read_json(own_smoke.root / "metrics/memory.json")


def test_the_readmes_line_takes_back_an_experiment_with_a_new_corpus(own_smoke: Project) -> None:
    own_smoke.run("git", "add", "--all")
    own_smoke.run("git", "commit", "-qm", "smoke")
    own_smoke.change_params(lambda values: values["train"].update(epochs=1))
    for figure in ("figures/training_loss-novel.svg", "training_loss/novel.csv"):
        (own_smoke.root / "plots" / figure).write_text("of a corpus that is not committed")
    assert "plots" in own_smoke.dvc("status")
    readme = (own_smoke.root / "README.md").read_text(encoding="utf-8")
    [line] = [line for line in readme.splitlines() if line.startswith("git checkout . && ")]
    own_smoke.run("sh", "-c", line)
    assert own_smoke.run("git", "status", "--short") == ""
    own_smoke.dvc("status", "-q")


def test_a_killed_training_goes_on_and_ends_with_the_same_bytes(smoke: Project) -> None:
    before = digests(smoke.root, "data/models/news-64", "data/histories")
    process = subprocess.Popen(
        [sys.executable, "-m", "stages.finetune", "news-64"],
        cwd=smoke.root,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    work = smoke.root / "work/finetune/news-64"
    while process.poll() is None and not list(work.glob("checkpoint-*/complete.json")):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "training ended before it could be killed"
    assert "going on from update" in smoke.stage("finetune", "news-64")
    assert not work.exists()
    assert digests(smoke.root, "data/models/news-64", "data/histories") == before


def test_a_killed_study_does_not_redo_what_is_finished(smoke: Project, tmp_path: Path) -> None:
    """Kill the whole process group in the middle of a training, then type `dvc repro` again."""
    project = copy_project(tmp_path)
    (tmp_path / "params.yaml").write_bytes((smoke.root / "params.yaml").read_bytes())
    process = subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro", "chunk@news-64", "finetune@news-64"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    work = tmp_path / "work/finetune/news-64"
    while process.poll() is None and not list(work.glob("checkpoint-*")):
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    printed = project.dvc("repro", "finetune@news-64")
    assert "Stage 'download@news' didn't change, skipping" in printed
    assert "Stage 'pretrain@tiny' didn't change, skipping" in printed
    finished = digests(tmp_path, "data/models/news-64", "data/histories")
    assert finished.items() <= digests(smoke.root, "data/models", "data/histories").items()


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_interrupted_study_ends_with_its_stages(
    jobs: str, smoke: Project, tmp_path: Path
) -> None:
    """Ctrl-C goes to the whole group; typed again at once, nothing may hold DVC's lock."""
    copy_project(tmp_path)
    (tmp_path / "params.yaml").write_bytes((smoke.root / "params.yaml").read_bytes())
    process = subprocess.Popen(
        [*COMMAND, "repro", "--jobs", jobs, "pretrain", "download"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    while process.poll() is None and not (tmp_path / "work/pretrain/tiny").exists():
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)
    process.wait()
    assert read_json(tmp_path / ".dvc/tmp/rwlock") == {}
    assert "interrupted: run the same command again" in process.communicate()[0]
    assert process.returncode == INTERRUPTED


def test_a_wrong_study_is_refused_before_dvc_runs_anything(own_smoke: Project) -> None:
    def spoil(values: Any) -> None:
        values["train"]["learning_rate"] = -1

    own_smoke.change_params(spoil)
    printed = own_smoke.run(*COMMAND, "repro", succeed=False)
    assert printed.startswith("error: params.yaml is not a valid study:")
    assert "train.learning_rate" in printed
    assert "Traceback" not in printed


def test_a_text_is_continued_from_the_prompt(smoke: Project) -> None:
    command = [*COMMAND, "sample", "news-64", "The ", "--pieces", "20"]
    text = smoke.run(*command)
    assert text.strip().startswith("The")
    assert len(text.strip()) > len("The ")
    assert smoke.run(*command) == text
    assert smoke.run(*command, "--seed", "1") != text


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [
        ("--pieces", "0", "at least 1"),
        ("--seed", "-1", "from 0"),
        ("--seed", "4294967296", "to 4"),
    ],
)
def test_a_number_out_of_range_is_refused(
    smoke: Project, option: str, value: str, allowed: str
) -> None:
    command = [*COMMAND, "sample", "news-64", "The ", option, value]
    printed = smoke.run(*command, succeed=False)
    assert printed.startswith(f"error: {option} is {value}: give a number")
    assert allowed in printed
