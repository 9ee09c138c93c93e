"""How texts are stored: a split's lines, and the byte at which each document begins."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reformer_seqlen.runtime.files import whole_file
from reformer_seqlen.runtime.messages import text as messages


def write_text(folder: Path, split: str, parts: Iterable[bytes], key: str) -> dict[str, int]:
    """Write `SPLIT.txt` and `SPLIT.documents.npy`, where each document begins (int64 bytes).

    Returns:
        How many bytes and documents were written.

    Raises:
        StudyError: the split is empty; the message names `key`, the text's place in params.yaml.
    """
    starts = [0]
    with whole_file(folder / f"{split}.txt") as path, path.open("wb") as file:
        for part in parts:
            file.write(part)
            starts.append(starts[-1] + len(part))
        if starts[-1] == 0:
            raise messages.empty_text(key, split)
    np.save(folder / f"{split}.documents.npy", np.array(starts[:-1], dtype=np.int64))
    return {"bytes": starts[-1], "documents": len(starts) - 1}


def read_rows(folder: Path, split: str) -> Iterator[bytes]:
    """The lines of a split, in order, each with its newline."""
    with (folder / f"{split}.txt").open("rb") as file:
        yield from file


def document_starts(folder: Path, split: str) -> NDArray[np.int64]:
    """The byte at which each document of a split begins."""
    starts: NDArray[np.int64] = np.load(folder / f"{split}.documents.npy", allow_pickle=False)
    return starts
