"""What is said of how far a study is."""

from pathlib import Path

import pytest

from reformer_seqlen.pipeline.progress import Progress, last_runtimes, remember
from reformer_seqlen.runtime.files import write_json


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_a_line_says_what_is_finished_what_runs_and_how_long_the_rest_takes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = Clock()
    runtimes = {"finetune@a": 56.0, "finetune@b": 26.0}
    progress = Progress(["chunk@a", "finetune@a", "finetune@b"], runtimes, now=clock)
    progress.end("chunk@a")  # it was up to date
    progress.begin("finetune@a")
    clock.seconds = 120  # it took twice as long as the last time
    progress.end("finetune@a")
    progress.begin("finetune@b")
    progress.said("finetune@b", "what it prints")
    assert capsys.readouterr().out.splitlines() == [
        "[1/3] finetune@a, about 1 min 30 s left",
        "[2/3] finetune@b, about 1 min 00 s left",
        "what it prints",
    ]
    assert progress.seconds_left() == 60
    clock.seconds = 130
    assert progress.seconds_left() == 50


def test_side_by_side_all_that_run_are_named_and_lines_say_whose_they_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    progress = Progress(["finetune@a", "finetune@b"], {"finetune@a": 6.0}, jobs=2, now=Clock())
    progress.begin("finetune@a")
    progress.begin("finetune@b")  # expected to take as long as the other
    progress.said("finetune@b", "what it prints")
    progress.close()
    assert capsys.readouterr().out.splitlines() == [
        "[0/2] finetune@a, about 10 s left",
        "[0/2] finetune@a, finetune@b, about 10 s left",
        "finetune@b: what it prints",
    ]


def test_time_left_is_not_said_before_it_can_be_known(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    progress = Progress(["finetune@a", "finetune@b"], {}, now=clock)
    progress.begin("finetune@a")
    clock.seconds = 30
    progress.end("finetune@a")
    progress.begin("finetune@b")
    lines = ["[0/2] finetune@a", "[1/2] finetune@b, about 30 s left"]
    assert capsys.readouterr().out.splitlines() == lines


def test_a_run_that_is_not_trained_says_nothing_of_how_long_training_takes() -> None:
    runtimes = {"finetune@a": 56.0, "finetune@none": 0.5}
    progress = Progress(["finetune@b"], runtimes, untrained=["finetune@none"], now=Clock())
    assert progress.expected("finetune@b") == 60
    assert progress.expected("finetune@none") == 4.5
    assert Progress([], {}, untrained=["finetune@none"]).expected("finetune@none") == 4


def test_time_left_is_learnt_from_the_stages_that_were_seen() -> None:
    clock = Clock()
    amounts = {"pretrain@m": 1000.0, "finetune@a": 300.0, "finetune@b": 1400.0, "evaluate@a": 50.0}
    progress = Progress([*amounts, "chunk@a"], {}, amounts, now=clock)
    assert progress.seconds_left() is None
    progress.begin("pretrain@m")
    clock.seconds = 100
    progress.end("pretrain@m")  # 10 tokens a second, and so will the others
    assert progress.seconds_left() == 30 + 140 + 5 + 4
    progress.begin("finetune@a")
    clock.seconds = 160
    progress.end("finetune@a")  # half as fast as thought: so will the other be
    assert progress.expected("finetune@b") == 280
    progress.begin("chunk@a")
    clock.seconds = 170
    progress.end("chunk@a")
    assert progress.expected("chunk@b") == 10
    progress.begin("finetune@b")
    clock.seconds = 170 + 300  # longer than expected: nothing is taken off the others
    assert progress.seconds_left() == progress.expected("evaluate@a")


def test_runtimes_are_those_that_stages_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert last_runtimes() == {}
    write_json(Path("data/timings/finetune/news-64.json"), {"runtime_seconds": 20.0})
    write_json(Path("data/timings/pretrain/tiny.json"), {"runtime_seconds": 50.0})
    remember({"finetune@news-64": 25.0, "report": 16.04, "chunk@a": 1.0})
    remember({"report": 14.0})
    timed = {"finetune@news-64": 20.0, "pretrain@tiny": 50.0}
    assert last_runtimes() == {**timed, "report": 10.0, "chunk@a": 0.0}


@pytest.mark.parametrize("text", ["", "[]", "[1]", '{"a": "long"}', "<<<<<<< HEAD"])
def test_what_stages_took_may_be_lost(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("work").mkdir()
    Path("work/took.json").write_text(text)
    assert last_runtimes() == {}
    remember({"report": 14.0})
    assert last_runtimes()["report"] == 10.0


@pytest.mark.parametrize("text", ["", "[]", '{"runtime_seconds": "long"}', "{}", "<<<<<<< HEAD"])
def test_a_damaged_runtime_is_no_runtime(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_json(Path("data/timings/finetune/a.json"), {"runtime_seconds": 20.0})
    Path("data/timings/finetune/b.json").write_text(text)
    assert last_runtimes() == {"finetune@a": 20.0}
