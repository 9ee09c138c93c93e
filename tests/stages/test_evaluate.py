"""Scoring a run's model."""

import pytest

from reformer_seqlen.runtime.errors import StudyError
from stages.evaluate import check_unknown


def _record(unknown: int) -> dict[str, object]:
    known = {"tokens": 100, "unknown": 0, "unknown_characters": {}}
    test = {"tokens": 100, "unknown": unknown, "unknown_characters": {"é": unknown}}
    return {"splits": {"train": test, "validation": known, "test": test}}


def test_a_text_that_the_tokenizer_does_not_know_is_not_scored() -> None:
    with pytest.raises(StudyError) as refused:
        check_unknown("mine-128", _record(6), 0.05)
    message = str(refused.value)
    assert message.startswith("runs.mine-128: 6.00% of the pieces of test are unknown")
    assert "'é' (LATIN SMALL LETTER E WITH ACUTE) 6 times" in message
    assert "more than evaluate.unknown_limit, 5.00%" in message
    assert "runs.mine-128.evaluate.unknown_limit" in message


def test_as_many_as_the_limit_are_scored() -> None:
    check_unknown("mine-128", _record(5), 0.05)
