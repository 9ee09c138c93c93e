"""Which files are no longer what was read."""

import hashlib
from pathlib import Path

import pytest

from reformer_seqlen.parameters.study import load_study
from reformer_seqlen.pipeline.changed_files import changed_files
from stages import download, pretrain
from tests.small_study import SmallStudy


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


@pytest.mark.slow
@pytest.mark.parametrize("declared", [False, True])
def test_a_bases_text_that_changed_after_it_was_read_is_told_of(
    declared: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    study, text = SmallStudy(), Path("base.txt")
    text.write_text("a text of these words\n" * 50)
    source = {"kind": "path", "path": "base.txt", "licence": "mine"}
    if declared:
        source["sha256"] = hashlib.sha256(text.read_bytes()).hexdigest()
    study.values["counts"] = {}
    recipe = study.values["models"]["tiny"]["pretraining"]
    recipe |= {"format": "lines", "pieces": 110, "train": "none", "file": source}
    study.run(download.main, "news")
    text.write_text("another text of these words\n" * 50)
    assert list(changed_files(load_study())) == []  # nothing was read yet
    text.write_text("a text of these words\n" * 50)
    study.run(pretrain.main, "tiny")
    assert list(changed_files(load_study())) == []
    text.write_text("another text\n")
    digest = hashlib.sha256(text.read_bytes()).hexdigest()
    assert list(changed_files(load_study())) == [
        "models.tiny.pretraining.file: base.txt has changed since it was read; "
        f"to read it again, declare `sha256: {digest}`"
    ]
    for damaged in ("", "[]", "{}", '{"pretraining": null}'):
        Path("data/bases/tiny/card.json").write_text(damaged)
        assert list(changed_files(load_study())) == []


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
