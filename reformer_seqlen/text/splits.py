"""A split of a corpus with a run's windows over its tokens."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from reformer_seqlen.parameters.chunking import Policy
from reformer_seqlen.runtime.files import read_json
from reformer_seqlen.text.tokens import Tokens, load_tokens
from reformer_seqlen.text.windows import NO_TARGET, Windows, batch, load_windows


@dataclass(frozen=True)
class Split:
    """A split's tokens, and the windows that cut them into sequences."""

    tokens: Tokens
    windows: Windows
    length: int
    policy: Policy

    def batch(self, chosen: slice) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs and targets of some windows, both (chosen, length) int64; -100 is no target."""
        inputs, targets = batch(self.tokens.ids, self.windows, chosen, self.length, self.policy)
        positions = self.windows.starts[chosen][:, None] + np.arange(1, self.length + 1)
        targets[self.tokens.is_context(positions)] = NO_TARGET
        return torch.from_numpy(inputs), torch.from_numpy(targets)

    def scored_positions(self) -> NDArray[np.int64]:
        """Which tokens are scored as targets, (targets,) in the order of the windows."""
        targets = self.length - 1 if self.policy == "published" else self.length
        offsets = np.arange(targets)
        positions = self.windows.starts[:, None] + offsets + 1  # (windows, targets)
        scored: NDArray[np.int64] = positions[offsets >= self.windows.context[:, None]]
        return scored[~self.tokens.is_context(scored)]


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
