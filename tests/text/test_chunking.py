"""Cutting windows under both policies."""

from itertools import chain

import datasets
import numpy as np
import pytest

from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.text.chunking import contiguous, kept, published, refuse_empty
from reformer_seqlen.text.windows import NO_TARGET, Windows, batch


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


@pytest.mark.slow
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


def test_a_split_too_small_for_one_window_is_refused() -> None:
    nothing = Windows(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
    with pytest.raises(StudyError, match=r"runs\.news-512: the test split has 100 tokens"):
        refuse_empty(nothing, "runs.news-512", "test", 100, 512)
