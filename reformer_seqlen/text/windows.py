"""Windows of a sequence length over a split's tokens: an index of starts, no copy of the tokens.

The inputs of a window are the `length` tokens from its start. Under `contiguous` its targets are
the next token at every position, so the windows' targets tile the split. Under `published` a window
is a block of its own: its first token is no target, and its last position has none.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reformer_seqlen.parameters.common.quantities import Policy

NO_TARGET = -100


@dataclass(frozen=True)
class Windows:
    """Where the windows of a split begin, and how many of their first targets are not scored.

    Attributes:
        starts: (windows,) the token each begins at.
        context: (windows,) targets at a window's beginning that an earlier window scored.
    """

    starts: NDArray[np.int64]
    context: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts)


def sliding(tokens: int, length: int, stride: int) -> Windows:
    """Overlapping windows, a stride apart: each scores the targets that none before it has.

    So every target but the first `length` has at least `length - stride` tokens of context, and
    the targets are the same for every length. A stride of `length` gives windows side by side.

    Args:
        tokens: how many the split has.
        length: of a window, in tokens.
        stride: from 1 to `length`.
    """
    targets = tokens - 1
    if targets < length:
        return Windows(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
    starts = np.arange(0, targets - length + 1, stride, dtype=np.int64)
    if starts[-1] + length < targets:
        starts = np.append(starts, targets - length)
    ends = starts + length  # the number of targets that are scored by now
    context = np.append(0, length - np.diff(ends))
    return Windows(starts, context)


def batch(
    ids: NDArray[np.unsignedinteger], windows: Windows, chosen: slice, length: int, policy: Policy
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Inputs and targets of some windows.

    Returns:
        inputs (chosen, length) and targets (chosen, length); a target that is not scored is -100.
    """
    starts = windows.starts[chosen]
    offsets = np.arange(length)
    inputs = ids[starts[:, None] + offsets].astype(np.int64)
    if policy == "published":
        targets = np.full_like(inputs, NO_TARGET)
        targets[:, :-1] = inputs[:, 1:]
    else:
        targets = ids[starts[:, None] + offsets + 1].astype(np.int64)
    targets[offsets < windows.context[chosen][:, None]] = NO_TARGET
    return inputs, targets


def save_windows(path: Path, windows: Windows) -> None:
    """Write windows as one (windows, 2) int64 array: start and context."""
    np.save(path, np.stack([windows.starts, windows.context], axis=1))


def load_windows(path: Path) -> Windows:
    """Read what `save_windows` wrote."""
    array = np.load(path, allow_pickle=False)
    return Windows(array[:, 0], array[:, 1])
