"""A split of a corpus with a run's windows over its tokens."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from reformer_seqlen.parameters.common.quantities import Policy
from reformer_seqlen.runtime.files import read_json
from reformer_seqlen.text.tokens import Tokens, load_tokens
from reformer_seqlen.text.windows import NO_TARGET, Windows, batch, load_windows

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Split:
    """A split's tokens, and the windows that cut them into sequences."""

    tokens: Tokens
    windows: Windows
    length: int
    policy: Policy

    def batch(self, chosen: slice) -> "tuple[torch.Tensor, torch.Tensor]":
        """Inputs and targets of some windows, both (chosen, length) int64; -100 is no target."""
        import torch  # takes a second, and who only counts needs none of it

        inputs, targets = batch(self.tokens.ids, self.windows, chosen, self.length, self.policy)
        positions = self.windows.starts[chosen][:, None] + np.arange(1, self.length + 1)
        targets[self.tokens.is_context(positions)] = NO_TARGET
        return torch.from_numpy(inputs), torch.from_numpy(targets)

    def scored_positions(self) -> NDArray[np.int64]:
        """Which tokens are scored as targets, (targets,) in the order of the windows."""
        offsets, scored = self._offsets()
        positions: NDArray[np.int64] = (self.windows.starts[:, None] + offsets + 1)[scored]
        return positions

    def scored_contexts(self) -> NDArray[np.int64]:
        """How many tokens of its window come before each scored target, (targets,)."""
        offsets, scored = self._offsets()
        contexts: NDArray[np.int64] = np.broadcast_to(offsets + 1, scored.shape)[scored]
        return contexts

    def _offsets(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The targets' places in a window, (targets,), and which are scored, (windows, targets)."""
        targets = self.length - 1 if self.policy == "published" else self.length
        offsets = np.arange(targets)
        scored = offsets >= self.windows.context[:, None]
        scored &= ~self.tokens.is_context(self.windows.starts[:, None] + offsets + 1)
        return offsets, scored


def load_split(tokens: Path, windows: Path, split: str) -> Split:
    """A split of a corpus with a run's windows over it.

    Args:
        tokens: the folder of a token set.
        windows: the folder of a run's windows; its report.json says how they were cut.
        split: `train`, `validation` or `test`.
    """
    report = read_json(windows / "report.json")
    return Split(
        tokens=load_tokens(tokens, split),
        windows=load_windows(windows / f"{split}.npy"),
        length=report["sequence_length"],
        policy=report["policy"],
    )
