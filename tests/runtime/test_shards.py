"""Shards: what was finished is not made again, and the parts are the same."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from reformer_seqlen.runtime import shards
from reformer_seqlen.runtime.shards import Part, going_on

ITEMS = range(5)


@pytest.fixture(autouse=True)
def _each_part_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SHARD_SECONDS", 0.0)


class Squares:
    """Makes an array of each number, and of none a second time."""

    def __init__(self, ends_at: int | None = None) -> None:
        self.made: list[int] = []
        self.ends_at = ends_at

    def __call__(self, numbers: Iterator[int]) -> Iterator[Part]:
        for number in numbers:
            if number == self.ends_at:
                raise KeyboardInterrupt
            self.made.append(number)
            yield np.full(number, number, dtype=np.uint8), np.array(number**2)


def values(parts: Iterator[Part]) -> list[tuple[list[int], int]]:
    return [(run.tolist(), int(square)) for run, square in parts]


WHOLE = [([], 0), ([1], 1), ([2, 2], 4), ([3, 3, 3], 9), ([4, 4, 4, 4], 16)]


def interrupted(folder: Path, at: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        list(going_on(folder, ITEMS, Squares(ends_at=at)))


def test_it_goes_on_from_what_is_finished(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted(tmp_path, at=2)
    interrupted(tmp_path, at=4)
    rest = Squares()
    assert values(going_on(tmp_path, ITEMS, rest)) == WHOLE
    assert rest.made == [4]
    assert "going on after 4 finished parts" in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["cut off", "flipped", "empty"])
def test_a_damaged_shard_is_made_again(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted(tmp_path, at=4)
    path = tmp_path / "2.npz"
    held = bytearray(path.read_bytes())
    if damage == "flipped":
        held[held.index(b"\2\2")] = 3
    path.write_bytes(bytes({"cut off": held[:100], "empty": b""}.get(damage, held)))
    rest = Squares()
    assert values(going_on(tmp_path, ITEMS, rest)) == WHOLE
    assert rest.made == [2, 3, 4]
    assert f"{path} is damaged" in capsys.readouterr().out


def test_quick_work_stores_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SHARD_SECONDS", 60.0)
    assert values(going_on(tmp_path, ITEMS, Squares())) == WHOLE
    assert list(tmp_path.iterdir()) == []
    assert values(going_on(None, ITEMS, Squares())) == WHOLE
