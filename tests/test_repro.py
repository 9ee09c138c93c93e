"""The progress of `make repro`, told from the lines of `dvc repro`."""

from stages.repro import Progress, expected_seconds, stage_names

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
