"""Arrays that are written and read part by part."""

from pathlib import Path

import numpy as np
import pytest

from reformer_seqlen.text import arrays
from reformer_seqlen.text.arrays import SortedReader, array_parts, growing_array


@pytest.mark.parametrize("count", [0, 1, 1000])
def test_the_file_is_the_one_that_numpy_saves(tmp_path: Path, count: int) -> None:
    values = np.arange(count) % 251
    with growing_array(tmp_path / "grown.npy", np.uint8) as writer:
        for part in np.array_split(values, 3):
            writer.append(part)
        assert len(writer) == count
    np.save(tmp_path / "saved.npy", values.astype(np.uint8))
    assert (tmp_path / "grown.npy").read_bytes() == (tmp_path / "saved.npy").read_bytes()


def test_a_value_can_be_replaced(tmp_path: Path) -> None:
    with growing_array(tmp_path / "grown.npy", np.int64) as writer:
        writer.append(np.array([1, 2, 3]))
        writer.replace(1, 20)
        writer.append(np.array([4]))
    assert np.load(tmp_path / "grown.npy").tolist() == [1, 20, 3, 4]


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), growing_array(tmp_path / "grown.npy", np.int64):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_an_array_is_read_as_far_as_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "PART", 2)
    np.save(tmp_path / "a.npy", np.array([0, 3, 3, 7, 9]))
    assert [part.tolist() for part in array_parts(tmp_path / "a.npy")] == [[0, 3], [3, 7], [9]]
    reader = SortedReader(tmp_path / "a.npy")
    assert [reader.up_to(value).tolist() for value in (2, 3, 4, np.inf, np.inf)] == [
        [0], [3, 3], [], [7, 9], [],
    ]  # fmt: skip
