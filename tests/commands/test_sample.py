"""Continuing a text with a run's model."""

import sys
from argparse import Namespace
from typing import Any

import pytest

from reformer_seqlen.commands import sample
from reformer_seqlen.runtime.errors import StudyError
from tests.conftest import Project


@pytest.mark.slow
def test_a_text_is_continued_from_the_prompt(
    smoke: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [sys.executable, "-m", "reformer_seqlen", "sample", "news-64", "The "]
    text = smoke.run(*command, "--pieces", "20")
    assert text.strip().startswith("The")
    assert len(text.strip()) > len("The ")
    monkeypatch.chdir(smoke.root)
    for seed, same in ((42, True), (1, False)):
        sample.run(Namespace(run="news-64", prompt="The ", pieces=20, seed=seed))
        assert (capsys.readouterr().out == text) is same


@pytest.mark.slow
def test_a_model_of_other_parameters_is_said_to_be_one(own_smoke: Project) -> None:
    def other_draws(values: Any) -> None:
        values["evaluate"]["hash_draws"] = 3

    def other_updates(values: Any) -> None:
        values["runs"]["news-64"]["train"] = {"updates": 3}

    command = [sys.executable, "-m", "reformer_seqlen", "sample", "news-64", "The "]
    own_smoke.change_params(other_draws)
    assert "warning" not in own_smoke.run(*command)  # the model is the same
    own_smoke.change_params(other_updates)
    assert "warning: runs.news-64: params.yaml, the code or a file" in own_smoke.run(*command)


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
