"""Lines in another order."""

import random
from pathlib import Path

import numpy as np
import pytest

from reformer_seqlen.text import shuffling
from reformer_seqlen.text.shuffling import shuffle_lines, shuffled
from reformer_seqlen.text.stored import write_text

LINES = [b"%d\n" % line for line in range(100)]


def by_random(lines: list[bytes], seed: int) -> list[bytes]:
    """As Python shuffles a list."""
    order = [*lines]
    random.Random(seed).shuffle(order)
    return order


def shuffled_text(lines: list[bytes], seed: int, folder: Path) -> bytes:
    write_text(folder, "whole", [b"".join(lines)], "corpora.x")
    shuffle_lines(folder, "whole", seed, "shuffled")
    return (folder / "shuffled.txt").read_bytes()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 64, 65, 1000])
def test_the_order_is_that_of_pythons_shuffle(count: int) -> None:
    expected = list(range(count))
    random.Random(count).shuffle(expected)
    assert shuffled(count, count).tolist() == expected


@pytest.mark.parametrize("stretch", [1, 40, 1 << 20])
def test_a_seed_gives_the_same_order_however_the_lines_are_distributed(
    tmp_path: Path, stretch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shuffling, "STRETCH_BYTES", stretch)
    for seed in (1, 2):
        assert shuffled_text(LINES, seed, tmp_path) == b"".join(by_random(LINES, seed))


def test_each_line_is_a_document(tmp_path: Path) -> None:
    text = shuffled_text(LINES, 1, tmp_path)
    begins = [0, *(place + 1 for place, byte in enumerate(text) if byte == ord("\n"))]
    assert np.load(tmp_path / "shuffled.documents.npy").tolist() == begins[:-1]


def test_a_last_line_without_a_newline_stays_a_line_of_its_own(tmp_path: Path) -> None:
    lines = [*LINES[:8], LINES[8][:-1]]
    for seed in range(9):
        assert shuffled_text(lines, seed, tmp_path) == b"".join(by_random(LINES[:9], seed))


def test_a_carriage_return_ends_no_line(tmp_path: Path) -> None:
    lines = [b"a\rb\n", b"c\r\n"]
    assert shuffled_text(lines, 0, tmp_path) == b"".join(by_random(lines, 0))
