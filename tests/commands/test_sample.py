"""Continuing a text with a run's model."""

import sys
from argparse import Namespace

import pytest

from reformer_seqlen.commands import sample
from reformer_seqlen.runtime.errors import StudyError
from tests.conftest import Project


@pytest.mark.slow
def test_a_text_is_continued_from_the_prompt(smoke: Project) -> None:
    command = [sys.executable, "-m", "reformer_seqlen", "sample", "news-64", "The "]
    text = smoke.run(*command, "--pieces", "20")
    assert text.strip().startswith("The")
    assert len(text.strip()) > len("The ")
    assert smoke.run(*command, "--pieces", "20") == text
    assert smoke.run(*command, "--pieces", "20", "--seed", "1") != text


@pytest.mark.parametrize(
    ("pieces", "seed", "refusal"),
    [
        (0, 42, "--pieces is 0: give a number of at least 1"),
        (20, -1, "--seed is -1: give a number from 0 to 4294967295"),
        (20, 2**32, "--seed is 4294967296: give a number from 0 to 4294967295"),
    ],
)
def test_a_number_out_of_range_is_refused(pieces: int, seed: int, refusal: str) -> None:
    given = Namespace(run="news-512", prompt="The ", pieces=pieces, seed=seed)
    with pytest.raises(StudyError, match=refusal):
        sample.run(given)
