"""`make repro`: what runs, side by side and one after another, and which files have changed."""

import hashlib
from pathlib import Path

import pytest

from reformer_seqlen.commands import repro
from reformer_seqlen.commands.repro import (
    DvcProgress,
    default_jobs,
    last,
    one_after_another,
    side_by_side,
)
from reformer_seqlen.parameters.study import load_study
from reformer_seqlen.pipeline.changed_files import changed_files
from stages import download
from tests.conftest import environment
from tests.dvc_example import NEEDS, dvc_repository
from tests.small_study import SmallStudy


def _run(progress: DvcProgress) -> list[str]:
    """Run the small repository's stages; return those that failed."""
    if progress.jobs > 1:
        return side_by_side(NEEDS, progress, environment())
    return one_after_another(NEEDS, progress, environment())


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_failed_stage_stops_what_needs_it_and_nothing_else(
    jobs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    dvc_repository(tmp_path, a="fail")
    progress = DvcProgress(NEEDS, {}, {}, jobs)
    assert _run(progress) == ["check@a"]
    assert sorted(progress.ran) == ["check@a", "check@b", "write@a", "write@b"]
    assert Path("b.checked").read_text() == "y\n"
    dvc_repository(tmp_path, a="mended")
    progress = DvcProgress(NEEDS, {}, {}, jobs)
    assert _run(progress) == []
    assert progress.ran == ["write@a", "check@a", "join"]
    assert Path("joined.txt").read_text() == "mended\ny\n"


def test_dvc_is_asked_for_the_last_stages_only() -> None:
    assert last(NEEDS, NEEDS) == ["join"]
    assert last({"write@a", "write@b", "check@b"}, NEEDS) == ["write@a", "check@b"]


def test_the_end_says_what_failed_and_what_was_not_run() -> None:
    assert repro.failure(["check@a"], NEEDS).splitlines() == [
        "failed: check@a; the messages above say why",
        "not run, since they need it: join",
        "what is finished stays finished: run `make repro` again to go on",
    ]
    assert "not run" not in repro.failure(["join"], NEEDS)


def test_jobs_fit_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repro, "cores", lambda: 8)
    monkeypatch.setattr(repro, "FIRST_GPU", Path("/dev/no-such-gpu"))
    assert [default_jobs(threads) for threads in (1, 2, 3, 16)] == [8, 4, 2, 1]
    monkeypatch.setattr(repro, "FIRST_GPU", Path("/dev/null"))
    assert default_jobs(1) == 1


@pytest.mark.parametrize(
    "line",
    [
        "> python -m stages.chunk news-64",
        "Updating lock file 'dvc.lock'",
        "Stage 'chunk@news-64' didn't change, skipping",
        "Use `dvc push` to send your updates to remote storage.",
        "To enable auto staging, run:",
        "\tdvc config core.autostage true",
        "Pulling data for stage: 'chunk@news-64'",
        "Unable to pull data for stage: 'chunk@news-64'",
    ],
)
def test_what_dvc_says_of_itself_is_left_out(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    DvcProgress([], {}, {}).said("chunk@news-64", line)
    DvcProgress([], {}, {}).said("chunk@news-64", "what a stage prints")
    assert capsys.readouterr().out == "what a stage prints\n"


@pytest.mark.parametrize("declared", [False, True])
def test_a_file_that_changed_after_it_was_read_is_told_of(
    declared: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    study, mine = SmallStudy(), Path("mine.txt")
    if declared:
        study.corpus["files"]["all"]["sha256"] = hashlib.sha256(mine.read_bytes()).hexdigest()
    study.run(download.main, "news")
    assert list(changed_files(load_study())) == []
    mine.write_text("another text\n" * 10)
    digest = hashlib.sha256(mine.read_bytes()).hexdigest()
    assert list(changed_files(load_study())) == [
        "corpora.news.files.all: mine.txt has changed since it was read; "
        f"to read it again, declare `sha256: {digest}`"
    ]


def test_a_bases_text_that_changed_after_it_was_read_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    study, text = SmallStudy(), Path("base.txt")
    text.write_text("a text\n")
    recipe = study.values["models"]["tiny"]["pretraining"]
    recipe |= {"format": "lines", "file": {"kind": "path", "path": "base.txt", "licence": "mine"}}
    study.run(download.main, "news")
    digest = hashlib.sha256(text.read_bytes()).hexdigest()
    undeclared = f"models.tiny.pretraining.file: no sha256 is declared, it is {digest} now; "
    assert [line[: len(undeclared)] for line in changed_files(load_study())] == [undeclared]
    recipe["file"]["sha256"] = digest
    study.run(download.main, "news")
    assert list(changed_files(load_study())) == []
    text.write_text("another text\n")
    assert list(changed_files(load_study())) == []  # which the stage refuses to read
    Path("data/bases/tiny").mkdir(parents=True)
    digest = hashlib.sha256(text.read_bytes()).hexdigest()
    assert list(changed_files(load_study())) == [
        "models.tiny.pretraining.file: base.txt has changed since it was read; "
        f"to read it again, declare `sha256: {digest}`"
    ]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"sources": [1]}', "<<<<<<< HEAD"])
def test_a_damaged_record_of_what_was_read_is_left_to_dvc(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its stage runs again: the record is not what DVC stored."""
    monkeypatch.chdir(tmp_path)
    study = SmallStudy()
    study.run(download.main, "news")
    Path("data/texts/news/source.json").write_text(text)
    assert list(changed_files(load_study())) == []
