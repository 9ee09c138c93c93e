"""What stages hand on carries its checksums: what is damaged is named, and not computed from."""

from pathlib import Path

import pytest

from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.files import whole_folder
from reformer_seqlen.runtime.stored import CACHE, SUMS, check_stored

ABC = "900150983cd24fb0d6963f7d28e17f72"
"""The md5 of `abc`, from RFC 1321."""


@pytest.fixture
def tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two files that a stage has written."""
    monkeypatch.chdir(tmp_path)
    target = Path("data/tokens/news")
    with whole_folder(target) as folder:
        (folder / "train.ids.npy").write_text("abc")
        (folder / "empty").touch()
    return target


def test_a_folder_of_data_has_the_sums_of_its_files(tokens: Path) -> None:
    empty = "d41d8cd98f00b204e9800998ecf8427e"
    _, lines = (tokens / SUMS).read_text().split("\n", 1)
    assert lines == f"{empty}  empty\n{ABC}  train.ids.npy\n"
    check_stored(Path("data"))


def test_a_folder_elsewhere_has_none(tokens: Path) -> None:
    with whole_folder(Path("results")) as folder:
        (folder / "a").touch()
    assert [path.name for path in Path("results").iterdir()] == ["a"]
    check_stored(Path("results"))


@pytest.mark.parametrize("bytes_left", [b"abd", b"ab", b"", b"abc\0"])
def test_a_damaged_file_is_named_with_what_to_do(tokens: Path, bytes_left: bytes) -> None:
    (tokens / "train.ids.npy").write_bytes(bytes_left)
    with pytest.raises(StudyError) as raised:
        check_stored(Path("data"))
    assert str(raised.value) == (
        "data/tokens/news/train.ids.npy is damaged: its bytes are not those that were stored; "
        "nothing was computed from it. Remove data/tokens/news and run `make repro`, which makes "
        "it again"
    )


def test_a_damaged_copy_in_the_cache_is_named_too(tokens: Path) -> None:
    copy = CACHE / ABC[:2] / ABC[2:]
    copy.parent.mkdir(parents=True)
    for path in (copy, tokens / "train.ids.npy"):
        path.write_text("abd")
    with pytest.raises(StudyError, match=f"Remove data/tokens/news and {copy}, DVC's copy"):
        check_stored(tokens)


def test_a_missing_file_is_named(tokens: Path) -> None:
    (tokens / "train.ids.npy").unlink()
    with pytest.raises(StudyError, match="npy is damaged: it is missing"):
        check_stored(tokens)


@pytest.mark.parametrize("lines", [0, 1, 2])
def test_sums_that_are_cut_off_are_named(tokens: Path, lines: int) -> None:
    whole = (tokens / SUMS).read_text().splitlines(keepends=True)
    (tokens / SUMS).write_text("".join(whole[:lines]))
    with pytest.raises(StudyError, match="MD5SUMS is damaged: it is no whole list of checksums"):
        check_stored(tokens)
