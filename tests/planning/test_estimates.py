"""What trainings take: the arithmetic of updates, scored windows and seconds."""

from dataclasses import replace
from typing import Any

import pytest

from reformer_seqlen.parameters.common.quantities import Policy
from reformer_seqlen.parameters.training import Training
from reformer_seqlen.planning.amounts import Amount
from reformer_seqlen.planning.estimates import expected_seconds
from reformer_seqlen.planning.jobs import Job
from reformer_seqlen.planning.trial import Pace


def job(
    tokens: int | None, rows: int | None = None, policy: Policy = "contiguous", **training: Any
) -> Job:
    splits = ("train", "validation", "test")
    return Job(
        name="a",
        model="m",
        corpus="c",
        sequence_length=256,
        training=Training(**training),
        options={"lsh_causality": "published"},
        policy=policy,
        amount=Amount(
            {} if tokens is None else dict.fromkeys(splits, tokens),
            {} if rows is None else dict.fromkeys(splits, rows),
        ),
        passes={"validation": 31, "test": 1},
    )


def test_updates_tokens_and_scored_windows() -> None:
    asked = job(256 * 100, epochs=30, batch_size=16, policy="published")
    assert asked.windows("train") == 100
    assert asked.updates() == 30 * 7
    assert asked.tokens_read() == 30 * 100 * 256
    assert asked.scored_windows() == 32 * 100
    expected = pytest.approx(2 * (210 + 3200 / 16 / 3))
    assert expected_seconds(asked, Pace(2.0, 16)) == expected
    unknown = job(None)
    assert (unknown.updates(), unknown.tokens_read()) == (None, None)
    assert expected_seconds(unknown, Pace(2.0, 16)) is None


def test_scoring_alone_takes_a_batch_after_another() -> None:
    asked = replace(job(256 * 100, policy="published"), training=None)
    assert expected_seconds(asked, Pace(2.0, 16)) == pytest.approx(2 * 3200 / 16)
