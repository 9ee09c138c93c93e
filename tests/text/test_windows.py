"""Windows as they are read: inputs, targets, and their index on disk."""

from pathlib import Path

import numpy as np

from reformer_seqlen.text.chunking import contiguous, cut, published
from reformer_seqlen.text.windows import NO_TARGET, batch, load_windows, save_windows


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


def test_windows_come_back_from_disk(tmp_path: Path) -> None:
    windows = cut("contiguous", np.array([0]), 300, 64, every_token=True)
    save_windows(tmp_path / "train.npy", windows)
    loaded = load_windows(tmp_path / "train.npy")
    assert loaded.starts.tolist() == windows.starts.tolist()
    assert loaded.context.tolist() == windows.context.tolist()
