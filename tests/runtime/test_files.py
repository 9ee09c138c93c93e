"""Outputs: whole or not at all, and JSON without numbers that JSON does not have."""

import math
from pathlib import Path

import pytest

from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.files import (
    finite,
    parse_json,
    read_json,
    whole_file,
    whole_folder,
    write_json,
)


class BrokenOffError(Exception):
    """Something went wrong while an output was written."""


def test_a_folder_appears_when_all_of_it_is_there(tmp_path: Path) -> None:
    target = tmp_path / "new" / "results"
    with whole_folder(target) as folder:
        (folder / "a.txt").write_text("a")
        assert not target.exists()
    assert (target / "a.txt").read_text() == "a"
    assert list(target.parent.iterdir()) == [target]


def test_a_folder_replaces_the_one_before_it(tmp_path: Path) -> None:
    target = tmp_path / "results"
    for name in ("old", "new"):
        with whole_folder(target) as folder:
            (folder / name).touch()
    assert [path.name for path in target.iterdir()] == ["new"]


def test_a_folder_that_breaks_off_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "results"
    with whole_folder(target) as folder:
        (folder / "old").touch()
    with pytest.raises(BrokenOffError), whole_folder(target) as folder:  # noqa: PT012
        (folder / "new").touch()
        raise BrokenOffError
    assert [path.name for path in target.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [target]


def test_what_a_killed_process_left_is_not_taken_over(tmp_path: Path) -> None:
    target = tmp_path / "results"
    with whole_folder(target) as folder:
        left = folder  # named as that of the next attempt
    left.mkdir()
    (left / "half").touch()
    with whole_folder(target) as folder:
        assert list(folder.iterdir()) == []


def test_a_file_that_breaks_off_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "result.txt"
    with whole_file(target) as path:
        path.write_text("old")
    with pytest.raises(BrokenOffError), whole_file(target) as path:  # noqa: PT012
        path.write_text("new")
        assert target.read_text() == "old"
        raise BrokenOffError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_json_is_read_as_it_was_written(tmp_path: Path) -> None:
    value = {"b": [1, 2.5, None], "a": "ἀρχός"}
    write_json(tmp_path / "value.json", value)
    assert read_json(tmp_path / "value.json") == value
    assert list(read_json(tmp_path / "value.json")) == ["b", "a"]
    assert (tmp_path / "value.json").read_bytes().endswith(b"\n}\n")


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_refused(number: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "value.json", {"loss": number})
    assert list(tmp_path.iterdir()) == []
    assert finite(number) is None
    assert finite(2.5) == 2.5


@pytest.mark.parametrize("text", ["{", "", "[" * 100_000, "9" * 5000])
def test_a_text_that_is_no_json_is_named(text: str) -> None:
    with pytest.raises(
        StudyError, match=r"^a\.json is not JSON \(.*\): delete it and run `make rep"
    ):
        parse_json(text, "a.json")
