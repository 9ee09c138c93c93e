"""What `make repro` says: its progress, told from the lines of `dvc repro`, and changed files."""

import hashlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reformer_seqlen.commands.repro import (
    Progress,
    changed_files,
    end,
    expected_seconds,
    stage_names,
)
from reformer_seqlen.parameters.study import load_study
from stages import download
from tests.small_study import SmallStudy

PIPELINE = {
    "stages": {
        "download": {"foreach": "${corpora}", "do": {}},
        "benchmark_memory": {"foreach": "${memory.rows}", "do": {}},
        "report": {"cmd": "..."},
    }
}
PARAMS = {"corpora": {"news": {}, "wiki": {}}, "memory": {"rows": {"small": {}}}}


def test_a_foreach_over_params_is_written_out() -> None:
    names = ["download@news", "download@wiki", "benchmark_memory@small", "report"]
    assert stage_names(PIPELINE, PARAMS) == names


def test_training_takes_what_it_took_last_time() -> None:
    timings = {"news-64": {"runtime_seconds": 20.0}, "pretrain-tiny": {"runtime_seconds": 50.0}}
    assert expected_seconds("finetune@news-64", timings) == 24
    assert expected_seconds("pretrain@tiny", timings) == 54
    assert expected_seconds("evaluate@news-64", timings) == 4
    assert expected_seconds("finetune@news-128", timings) == 4


def test_it_says_which_stage_runs_how_far_it_is_and_how_long_it_takes() -> None:
    progress = Progress({"a": 10.0, "b": 60.0, "c": 30.0})
    assert list(progress.lines("Stage 'a' didn't change, skipping", 0)) == []
    assert list(progress.lines("Running stage 'b':", 1)) == ["[2/3] b, about 1 min 30 s left"]
    assert list(progress.lines("> python -m stages.b", 1)) == []
    assert list(progress.lines("what b prints", 50)) == ["what b prints"]
    assert list(progress.lines("Updating lock file 'dvc.lock'", 121)) == []
    slower = list(progress.lines("Running stage 'c':", 121))
    assert slower == ["[3/3] c, about 1 min 00 s left"]  # b took twice as long as expected
    assert progress.ran == 2


@pytest.mark.parametrize(
    "line",
    [
        "Use `dvc push` to send your updates to remote storage.",
        "To enable auto staging, run:",
        "\tdvc config core.autostage true",
    ],
)
def test_what_dvc_says_of_remotes_and_staging_is_left_out(line: str) -> None:
    assert list(Progress({}).lines(line, 0)) == []


@pytest.mark.parametrize("declared", [False, True])
def test_a_file_that_changed_after_it_was_read_is_told_of(
    declared: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    study, mine = SmallStudy(), Path("mine.txt")
    if declared:
        study.corpus["files"]["all"]["sha256"] = hashlib.sha256(mine.read_bytes()).hexdigest()
    study.run(download.main, "news")
    assert list(changed_files(load_study().corpora)) == []
    mine.write_text("another text\n" * 10)
    digest = hashlib.sha256(mine.read_bytes()).hexdigest()
    assert list(changed_files(load_study().corpora)) == [
        "corpora.news.files.all: mine.txt has changed since it was read; "
        f"to read it again, declare `sha256: {digest}`"
    ]


IGNORES = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "
READY_AND_WAITS = "print('ready', flush=True); import time; time.sleep(60)"
STAGE = f"import signal; signal.signal(signal.SIGINT, signal.SIG_DFL); {READY_AND_WAITS}"
RUNS_A_STAGE = (
    f"{IGNORES} import subprocess, sys; "
    f"sys.exit(subprocess.run([sys.executable, '-c', {STAGE!r}]).returncode == -2 and 3)"
)


@pytest.mark.parametrize(
    ("code", "status"),
    [(RUNS_A_STAGE, 3), (IGNORES + READY_AND_WAITS, -signal.SIGTERM)],
    ids=["a stage that lost Ctrl-C", "one that ignores it"],
)
def test_what_stays_after_ctrl_c_is_told_again_and_then_terminated(code: str, status: int) -> None:
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        end(process, (0.1, 20.0 if status == 3 else 0.1, 20.0))
        assert process.returncode == status
