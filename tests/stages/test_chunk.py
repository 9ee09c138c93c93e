"""The stage `chunk`: where the windows of a run begin, and what each policy keeps."""

from pathlib import Path

import numpy as np
import pytest

from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.files import read_json
from reformer_seqlen.runtime.paths import TOKENS, WINDOWS
from reformer_seqlen.text.windows import load_windows
from stages.chunk import main
from tests.small_study import SmallStudy

NEWS = WINDOWS / "news-64"


def write_split(split: str, tokens: int, row: int = 50) -> None:
    """Write a split of so many tokens, in rows of `row`."""
    folder = TOKENS / "news-tiny"
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{split}.ids.npy", np.zeros(tokens, dtype=np.uint8))
    np.save(folder / f"{split}.bytes.npy", np.ones(tokens, dtype=np.uint8))
    np.save(folder / f"{split}.rows.npy", np.arange(0, tokens, row, dtype=np.int64))
    np.save(folder / f"{split}.documents.npy", np.zeros(1, dtype=np.int64))
    np.save(folder / f"{split}.context.npy", np.empty(0, dtype=np.int64))
    np.save(folder / f"{split}.long.npy", np.empty((0, 2), dtype=np.int64))


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallStudy:
    """A study with its tokens there."""
    monkeypatch.chdir(tmp_path)
    for split, tokens in (("train", 200), ("validation", 150), ("test", 129)):
        write_split(split, tokens)
    return SmallStudy()


def test_training_drops_the_tail_and_scoring_does_not(study: SmallStudy) -> None:
    study.run(main, "news-64")
    windows = {split: load_windows(NEWS / f"{split}.npy") for split in ("train", "validation")}
    assert windows["train"].starts.tolist() == [0, 64, 128]
    assert windows["validation"].starts.tolist() == [0, 64, 85]  # the last begins early
    assert windows["validation"].context.tolist() == [0, 0, 43]


def test_the_report_says_what_each_policy_keeps(study: SmallStudy) -> None:
    study.run(main, "news-64")
    report = read_json(NEWS / "report.json")
    assert (report["run"], report["policy"], report["sequence_length"]) == (
        "news-64",
        "contiguous",
        64,
    )
    assert report["train"] == {
        "tokens": 200,
        "contiguous": {"windows": 3, "kept": 193, "dropped": 7},
        # of four shards of one row, 50 tokens each, none holds a window
        "published": {"windows": 0, "kept": 0, "dropped": 200},
    }
    assert report["test"]["contiguous"] == {"windows": 2, "kept": 129, "dropped": 0}


def test_a_run_may_cut_its_windows_as_the_study_did(study: SmallStudy) -> None:
    for split in ("train", "validation", "test"):
        write_split(split, 400, row=100)
    study.values["runs"]["news-64"]["chunk"] = {"policy": "published"}
    study.run(main, "news-64")
    assert load_windows(NEWS / "train.npy").starts.tolist() == [0, 100, 200, 300]


def test_a_split_without_a_window_leaves_nothing(study: SmallStudy) -> None:
    write_split("test", 64)
    complaint = r"runs\.news-64: the test split has 64 tokens, too few for one window"
    with pytest.raises(StudyError, match=complaint):
        study.run(main, "news-64")
    assert list(WINDOWS.iterdir()) == []


def test_a_run_that_is_not_trained_needs_no_text_to_train_on(study: SmallStudy) -> None:
    write_split("train", 30)
    with pytest.raises(StudyError, match=r"runs\.news-64: the train split has 30 tokens, too few"):
        study.run(main, "news-64")
    study.values["runs"]["news-64"]["train"] = "none"
    study.run(main, "news-64")
    assert len(load_windows(NEWS / "train.npy")) == 0
    assert read_json(NEWS / "report.json")["train"]["contiguous"] == {
        "windows": 0,
        "kept": 0,
        "dropped": 30,
    }
    write_split("test", 64)
    with pytest.raises(StudyError, match=r"runs\.news-64: the test split has 64 tokens, too few"):
        study.run(main, "news-64")


def test_a_run_that_is_not_declared_is_named(study: SmallStudy) -> None:
    with pytest.raises(StudyError, match=r"runs\.news-128: not in params\.yaml, which has news-64"):
        study.run(main, "news-128")
