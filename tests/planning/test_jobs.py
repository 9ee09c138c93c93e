"""The trainings of a study: windows, updates, and how often what is scored."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reformer_seqlen.parameters.common.quantities import Policy
from reformer_seqlen.parameters.profiles import compose
from reformer_seqlen.parameters.study import Study, parse_study
from reformer_seqlen.planning.amounts import BYTES_PER_PIECE, Amount
from reformer_seqlen.planning.disk import disk_bytes
from reformer_seqlen.planning.jobs import Job, jobs, stage_tokens
from tests.conftest import CONF


def _job(paper: Study, policy: Policy, amount: Amount, length: int = 256) -> Job:
    """A run of the paper's, with other tokens."""
    return replace(jobs(paper, None)[0], policy=policy, amount=amount, sequence_length=length)


def test_contiguous_windows_are_those_that_the_stage_cuts(paper: Study) -> None:
    amount = Amount({"train": 1000, "validation": 1000}, {"train": 4})
    assert _job(paper, "contiguous", amount).windows("train") == 3
    assert _job(paper, "contiguous", amount).windows("validation") == 4
    # under the published policy there are at most so many while its rows are not known
    assert _job(paper, "published", Amount({"train": 1000})).windows("train") == 3


def test_rows_that_are_there_are_read(paper: Study, tmp_path: Path) -> None:
    # four batches of a row each: of 300, 200, 250 and 250 tokens, one of which holds 256
    np.save(tmp_path / "train.rows.npy", np.array([0, 300, 500, 750]))
    amount = Amount({"train": 1000}, {"train": 4}, token_set=tmp_path)
    assert _job(paper, "published", amount).windows("train") == 1
    assert _job(paper, "contiguous", amount).windows("train") == 3


def test_the_papers_longest_windows_are_planned_as_they_came_out(paper: Study) -> None:
    todo = {job.name: job for job in jobs(paper, None)}
    # of rows that are all alike, 3 windows would fit into each batch, and 5,070 updates be made
    assert todo["enwik8-16384"].updates() == pytest.approx(4260, rel=0.01)
    # the study's figures: 79.7 % of Penn Treebank's training tokens were kept
    ptb = todo["ptb-16384"]
    kept = (ptb.windows("train") or 0) * 16_384 / ptb.amount.tokens["train"]
    assert kept == pytest.approx(0.797, abs=0.05)


def test_stages_have_as_much_work_as_they_read_tokens() -> None:
    found = stage_tokens(parse_study(compose("quick", CONF), "quick"))
    updates = {128: 720, 512: 120, 2048: 160}  # of 2,048 tokens each
    assert found["pretrain@small"] == sum(updates.values()) * 2048
    assert found["finetune@wikipedia-128"] == 30 * 2048
    assert found["finetune@markup-2048"] == 140 * 2048
    # two hash draws of both rules on 56 % of 220,000 bytes
    tokens = 0.56 * 220_000 / BYTES_PER_PIECE
    assert found["evaluate@news-128"] == pytest.approx(4 * tokens / 3, rel=0.01)


def test_what_is_scored_in_more_ways_is_scored_more_often(paper: Study) -> None:
    def passes(**changes: Any) -> Any:
        evaluate = paper.evaluate.model_copy(update=changes)
        return jobs(paper.model_copy(update={"evaluate": evaluate}), None)[0].passes

    assert passes() == {"validation": 30 + 1, "test": 1}
    # of windows of 256 under the published policy; none of its layers is strict
    more = passes(contexts=[128, 256], hash_rounds=[2, 4], protocols=["published", "contiguous"])
    assert more == {"validation": 30 + 5, "test": 5}


def test_a_run_that_is_not_trained_is_only_scored(paper: Study) -> None:
    run = paper.runs["ptb-256"].model_copy(update={"train": "none"})
    study = paper.model_copy(update={"runs": {"ptb-256": run}})
    [job] = jobs(study, None)
    assert (job.updates(), job.tokens_read(), job.batch_size) == (0, 0, paper.evaluate.batch_size)
    assert job.passes == {"validation": 1, "test": 1}
    # two copies of the model, and no checkpoint of a training
    assert disk_bytes([job], {"ptb-256": 1000}, study) == disk_bytes([job], {}, study) + 2 * 4000
