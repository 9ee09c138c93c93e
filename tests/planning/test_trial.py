"""What an update takes: memory as predicted, time extrapolated from the updates that were timed."""

from dataclasses import replace
from typing import Any

import pytest

from reformer_seqlen.models.causal import parameter_counts
from reformer_seqlen.parameters.study import Study
from reformer_seqlen.parameters.training import Training
from reformer_seqlen.planning import trial
from reformer_seqlen.planning.jobs import jobs
from reformer_seqlen.planning.trial import Trial, job_config, predicted_memory
from tests.models_example import KINDS, configured, made


def a_trial(cost: Any, monkeypatch: pytest.MonkeyPatch) -> Trial:
    made = Trial()
    monkeypatch.setattr(made, "_step", lambda config, job, batch, length: cost(batch * length))
    return made


@pytest.mark.parametrize(("length", "timed"), [(256, 16), (2048, 2), (16384, 1)])
def test_a_pace_goes_on_in_a_straight_line(
    paper: Study, length: int, timed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = next(each for each in jobs(paper, None) if each.sequence_length == length)
    base = trial.base_config(asked.model, paper.models[asked.model])
    assert base is not None
    config = job_config(base, asked)
    pace = a_trial(lambda tokens: 1.5 + tokens / 4000, monkeypatch).pace(config, asked)
    assert pace.seconds == pytest.approx(1.5 + 16 * length / 4000)
    assert pace.batch_size == timed


def test_the_papers_model_is_the_published_one(paper: Study) -> None:
    model = paper.models["reformer-crime-and-punishment"]
    base = trial.base_config("reformer-crime-and-punishment", model)
    assert base is not None
    asked = jobs(paper, None)[0]
    config = job_config(base, asked)
    parameters = trial.counted_parameters(config, asked)["total"]
    assert parameters == pytest.approx(136.7e6, rel=1e-3)
    assert predicted_memory(config, asked).weights == pytest.approx(4 * parameters, rel=0.01)


def test_a_job_is_planned_with_the_buckets_that_it_trains_with(paper: Study) -> None:
    asked = jobs(paper, None)[0]
    base = trial.base_config(asked.model, paper.models[asked.model])
    assert base is not None
    attention = {
        "implementation": "transformers",
        "lsh_causality": "published",
        "positions": "published",
        "num_buckets": 4,
    }
    assert job_config(base, replace(asked, options=attention)).num_buckets == [4]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_memory_and_parameters_of_every_kind_are_known_before_it_is_made(
    kind: str, paper: Study
) -> None:
    config = configured(kind)
    asked = replace(
        jobs(paper, None)[0],
        options={},
        sequence_length=128,
        training=Training(batch_size=4, optimizer="adamw"),
    )
    counts = trial.counted_parameters(config, asked)
    assert counts == parameter_counts(made(kind))
    found = predicted_memory(config, asked)
    parameters = 4 * counts["total"]
    assert parameters <= found.weights < 1.25 * parameters  # small tensors are rounded up
    assert found.allocated > 3 * parameters  # gradients, and two states of AdamW
