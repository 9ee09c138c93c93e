"""Windows: where they begin, what they predict, what each policy keeps and drops."""

from itertools import chain
from pathlib import Path

import datasets
import numpy as np
import pytest

from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.text.chunking import contiguous, cut, kept, published, refuse_empty
from reformer_seqlen.text.windows import NO_TARGET, Windows, batch, load_windows, save_windows


def test_contiguous_windows_tile_the_targets_and_drop_only_the_tail() -> None:
    windows = contiguous(11, 4, every_token=False)
    assert windows.starts.tolist() == [0, 4]
    assert kept("contiguous", windows, 11, 4) == {"windows": 2, "kept": 9, "dropped": 2}


def test_a_split_that_fits_exactly_drops_nothing() -> None:
    windows = contiguous(9, 4, every_token=False)
    assert kept("contiguous", windows, 9, 4) == {"windows": 2, "kept": 9, "dropped": 0}


def test_evaluation_scores_the_tail_with_a_window_that_begins_early() -> None:
    windows = contiguous(11, 4, every_token=True)
    assert windows.starts.tolist() == [0, 4, 6]
    assert windows.context.tolist() == [0, 0, 2]
    assert kept("contiguous", windows, 11, 4) == {"windows": 3, "kept": 11, "dropped": 0}


@pytest.mark.parametrize("tokens", range(66, 200, 7))
def test_evaluation_scores_every_token_but_the_first_exactly_once(tokens: int) -> None:
    ids = np.arange(tokens, dtype=np.uint16)
    windows = contiguous(tokens, 64, every_token=True)
    _, targets = batch(ids, windows, slice(None), 64, "contiguous")
    assert targets[targets != NO_TARGET].tolist() == list(range(1, tokens))


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


def by_datasets_map(rows: list[list[int]], length: int) -> list[list[int]]:
    """The published study's chunking, written with `datasets` as its notebook does."""

    def group(examples: dict[str, list[list[int]]]) -> dict[str, list[list[int]]]:
        joined = list(chain.from_iterable(examples["ids"]))
        whole = len(joined) // length * length
        return {"ids": [joined[i : i + length] for i in range(0, whole, length)]}

    everything = datasets.Dataset.from_dict({"ids": rows})
    shards = [everything.shard(4, index, contiguous=True) for index in range(4)]
    mapped = [shard.map(group, batched=True, batch_size=1000) for shard in shards]
    return [ids for shard in mapped for ids in shard["ids"]]


@pytest.mark.parametrize(("rows", "length"), [(9001, 64), (4000, 64), (2503, 128), (7, 64)])
def test_published_policy_equals_datasets_map_on_the_same_rows(rows: int, length: int) -> None:
    generator = np.random.default_rng(rows)
    texts = [generator.integers(0, 320, size).tolist() for size in generator.integers(0, 60, rows)]
    flat = np.array(list(chain.from_iterable(texts)), dtype=np.uint16)
    begins = np.cumsum([0, *(len(text) for text in texts[:-1])])
    windows = published(begins, len(flat), length)
    inputs, _ = batch(flat, windows, slice(None), length, "published")
    expected = by_datasets_map(texts, length)
    assert inputs.tolist() == expected
    counts = kept("published", windows, len(flat), length)
    assert counts["kept"] == len(expected) * length
    assert counts["kept"] + counts["dropped"] == len(flat)


def test_windows_come_back_from_disk(tmp_path: Path) -> None:
    windows = cut("contiguous", np.array([0]), 300, 64, every_token=True)
    save_windows(tmp_path / "train.npy", windows)
    loaded = load_windows(tmp_path / "train.npy")
    assert loaded.starts.tolist() == windows.starts.tolist()
    assert loaded.context.tolist() == windows.context.tolist()


def test_a_split_too_small_for_one_window_is_refused() -> None:
    nothing = Windows(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
    with pytest.raises(StudyError, match=r"runs\.news-512: the test split has 100 tokens"):
        refuse_empty(nothing, "news-512", "test", 100, 512)
