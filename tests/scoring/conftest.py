"""A split to score."""

import numpy as np
import pytest

from reformer_seqlen.text.chunking import contiguous
from reformer_seqlen.text.splits import Split
from reformer_seqlen.text.tokens import Tokens

LENGTH = 64


@pytest.fixture(scope="module")
def split() -> Split:
    """450 tokens, so that the last window overlaps the one before it."""
    generator = np.random.default_rng(1)
    ids = generator.integers(0, 40, 450).astype(np.uint8)
    piece_bytes = generator.integers(1, 5, 450).astype(np.uint8)
    begins = np.arange(0, 450, 10)
    windows = contiguous(450, LENGTH, every_token=True)
    return Split(Tokens(ids, piece_bytes, begins, begins[:1]), windows, LENGTH, "contiguous")
