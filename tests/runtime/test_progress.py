"""How progress is told."""

import pytest

from reformer_seqlen.runtime.progress import duration


@pytest.mark.parametrize(
    ("value", "said"),
    [(7.2, "7 s"), (184, "3 min 04 s"), (7384, "2 h 03 min"), (90000, "1 d 01 h")],
)
def test_durations_are_readable(value: float, said: str) -> None:
    assert duration(value) == said
