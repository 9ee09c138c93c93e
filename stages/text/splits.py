"""A split of a run: its tokens with its windows over them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from stages.study.layout import TOKENS, WINDOWS
from stages.text.tokens import Tokens, load_tokens
from stages.text.windows import Windows, batch, load_windows

if TYPE_CHECKING:
    from stages.study.params import Params, Policy


@dataclass(frozen=True)
class Split:
    """What there is to read of a split, and how."""

    tokens: Tokens
    windows: Windows
    length: int
    policy: "Policy"

    def batch(self, chosen: slice) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs and targets of some windows, both (chosen, length) int64; -100 is no target."""
        inputs, targets = batch(self.tokens.ids, self.windows, chosen, self.length, self.policy)
        return torch.from_numpy(inputs), torch.from_numpy(targets)

    def scored_positions(self) -> NDArray[np.int64]:
        """Which tokens are scored as targets, (targets,) in the order of the windows."""
        targets = self.length - 1 if self.policy == "published" else self.length
        offsets = np.arange(targets)
        positions = self.windows.starts[:, None] + offsets + 1  # (windows, targets)
        scored: NDArray[np.int64] = positions[offsets >= self.windows.context[:, None]]
        return scored


def load_split(run: str, params: "Params", split: str) -> Split:
    """A split of a run's corpus with the run's windows over it."""
    item = params.runs[run]
    return Split(
        tokens=load_tokens(TOKENS / f"{item.corpus}-{item.model}", split),
        windows=load_windows(WINDOWS / run / f"{split}.npy"),
        length=item.sequence_length,
        policy=params.training(run).policy,
    )
