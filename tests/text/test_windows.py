"""Windows as they are read: inputs, targets, and their index on disk."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reformer_seqlen.text.chunking import contiguous, cut, published
from reformer_seqlen.text.windows import (
    NO_TARGET,
    Windows,
    batch,
    load_windows,
    save_windows,
    sliding,
)
from tests.properties import drawn


def test_contiguous_targets_are_the_next_token_at_every_position() -> None:
    ids = np.array([5, 6, 7, 8, 9], dtype=np.uint16)
    inputs, targets = batch(ids, contiguous(5, 2, every_token=False), slice(0, 2), 2, "contiguous")
    assert inputs.tolist() == [[5, 6], [7, 8]]
    assert targets.tolist() == [[6, 7], [8, 9]]


def test_a_published_block_predicts_nothing_beyond_itself() -> None:
    ids = np.array([5, 6, 7, 8], dtype=np.uint16)
    windows = published(np.array([0, 2]), 4, 2)
    inputs, targets = batch(ids, windows, slice(None), 2, "published")
    assert inputs.tolist() == [[5, 6], [7, 8]]
    assert targets.tolist() == [[6, NO_TARGET], [8, NO_TARGET]]


def targets_of(windows: Windows, length: int) -> list[int]:
    """The targets that are scored, by their place in the text."""
    return [
        start + offset + 1
        for start, context in zip(windows.starts.tolist(), windows.context.tolist(), strict=True)
        for offset in range(context, length)
    ]


@pytest.mark.parametrize("tokens", [65, 66, 129, 300, 451])
def test_targets_are_the_same_for_every_length_and_stride(tokens: int) -> None:
    for length in (16, 32, 64):
        assert targets_of(contiguous(tokens, length, every_token=True), length) == list(
            range(1, tokens)
        )
        for stride in (1, 7, 16, length):
            assert targets_of(sliding(tokens, length, min(stride, length)), length) == list(
                range(1, tokens)
            )


def test_a_stride_of_the_length_gives_windows_side_by_side() -> None:
    one, other = sliding(451, 64, 64), contiguous(451, 64, every_token=True)
    assert one.starts.tolist() == other.starts.tolist()
    assert one.context.tolist() == other.context.tolist()


def test_every_target_but_those_of_the_first_window_has_a_minimum_of_context() -> None:
    windows = sliding(300, 64, 16)
    assert windows.context[0] == 0
    assert windows.context[1:].min() >= 48
    assert len(sliding(64, 64, 16)) == 0


def test_windows_come_back_from_disk(tmp_path: Path) -> None:
    windows = cut("contiguous", np.array([0]), 300, 64, every_token=True)
    save_windows(tmp_path / "train.npy", windows)
    loaded = load_windows(tmp_path / "train.npy")
    assert loaded.starts.tolist() == windows.starts.tolist()
    assert loaded.context.tolist() == windows.context.tolist()


@drawn
@given(st.integers(2, 300), st.integers(1, 40), st.booleans())
def test_windows_side_by_side_tile_a_split(tokens: int, length: int, every_token: bool) -> None:
    """Each target is scored once; only a tail shorter than a window may be left out."""
    windows = contiguous(tokens, length, every_token=every_token)
    scored = scored_targets(windows, length)
    left = (tokens - 1) % length if not every_token or tokens - 1 < length else 0
    assert scored == list(range(1, tokens - left))


@drawn
@given(st.integers(2, 300), st.integers(1, 40), st.data())
def test_sliding_windows_tile_a_split_and_see_a_context(
    tokens: int, length: int, data: st.DataObject
) -> None:
    stride = data.draw(st.integers(1, length))
    windows = sliding(tokens, length, stride)
    whole = list(range(1, tokens)) if tokens > length else []
    assert scored_targets(windows, length) == whole
    assert (windows.context[1:] >= length - stride).all()


@drawn
@given(st.lists(st.integers(0, 30), min_size=1, max_size=40), st.integers(1, 20))
def test_published_blocks_are_of_whole_batches_and_do_not_overlap(
    sizes: list[int], length: int
) -> None:
    ends = np.cumsum(np.array(sizes, dtype=np.int64))
    windows = published(ends - sizes, int(ends[-1]), length)
    assert (np.diff(windows.starts) >= length).all()
    assert all(start + length <= ends[-1] for start in windows.starts)


def scored_targets(windows: Windows, length: int) -> list[int]:
    """The tokens that are scored, in the windows' order."""
    return [
        start + 1 + place
        for start, context in zip(windows.starts.tolist(), windows.context.tolist(), strict=True)
        for place in range(context, length)
    ]
