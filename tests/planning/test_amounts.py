"""The amounts of a study: arithmetic on what is declared, counted or published."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reformer_seqlen.parameters.common.quantities import Policy
from reformer_seqlen.parameters.profiles import compose
from reformer_seqlen.parameters.sources import HubSource, PackageSource, PathSource, UrlSource
from reformer_seqlen.parameters.study import Study, parse_study
from reformer_seqlen.planning import amounts
from reformer_seqlen.planning.amounts import (
    Amount,
    Job,
    disk_bytes,
    expected_blocks,
    jobs,
    raw_bytes,
    stage_tokens,
)
from reformer_seqlen.runtime.paths import TOKENS
from reformer_seqlen.text.chunking import published
from tests.conftest import CONF, ROOT

SUM = "0" * 64


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


def test_rows_that_are_not_there_are_taken_to_differ() -> None:
    # 4 shards of 2 batches of 1000 rows, 3.0 blocks in the mean: half of the batches lack a token
    assert expected_blocks(8 * 3 * 16_000, 8000, 1.0, 16_000) == 8 * 5 // 2
    # all alike and a few tokens more than 3 blocks, or a few less
    assert expected_blocks(8 * 48_100, 8000, 0.0, 16_000) == 8 * 3
    assert expected_blocks(8 * 47_900, 8000, 0.0, 16_000) == 8 * 2
    # short blocks: each batch drops half of one in the mean
    assert expected_blocks(8 * 48_000, 8000, 1.0, 256) == round(8 * (48_000 / 256 - 0.5))
    # what is left of a shard is a batch, too: 3 of 1 row, one of 2, which hold a block of 150
    assert expected_blocks(500, 5, 0.0, 150) == 1


def test_expected_blocks_are_the_mean_of_those_of_drawn_rows() -> None:
    """Rows of the spread of enwik8's, cut as the stage cuts them."""
    draw = np.random.default_rng(0)
    counts = []
    for _ in range(20):
        lengths = draw.gamma(1 / 2.5**2, 50 * 2.5**2, 40_000)
        begins = np.append(0, np.cumsum(lengths)[:-1]) * (2_000_000 / lengths.sum())
        counts.append(len(published(begins.astype(np.int64), 2_000_000, 16_384)))
    expected = expected_blocks(2_000_000, 40_000, 2.5, 16_384)
    assert expected == pytest.approx(np.mean(counts), rel=0.02)


def test_the_papers_longest_windows_are_planned_as_they_came_out(paper: Study) -> None:
    todo = {job.name: job for job in jobs(paper, None)}
    # of rows that are all alike, 3 windows would fit into each batch, and 5,070 updates be made
    assert todo["enwik8-16384"].updates() == pytest.approx(4260, rel=0.01)
    # the study's figures: 79.7 % of Penn Treebank's training tokens were kept
    ptb = todo["ptb-16384"]
    kept = (ptb.windows("train") or 0) * 16_384 / ptb.amount.tokens["train"]
    assert kept == pytest.approx(0.797, abs=0.05)


@pytest.mark.parametrize(
    ("source", "size"),
    [
        (UrlSource(kind="url", url="http://a/b.txt", sha256=SUM, size=5, licence="x"), 5),
        (UrlSource(kind="url", url="http://a/b.gz", sha256=SUM, size=5, licence="x"), None),
        (
            UrlSource(
                kind="url",
                url="http://a/b.zip",
                sha256=SUM,
                size=5,
                member="b",
                unpacked_size=9,
                licence="x",
            ),
            9,
        ),
        (
            HubSource(kind="hub", dataset="a/b", revision="0" * 40, split="train", licence="x"),
            None,
        ),
        (PathSource(kind="path", path=str(ROOT / "missing"), licence="x"), None),
        (
            PathSource(kind="path", path=str(ROOT / "Makefile"), licence="x"),
            (ROOT / "Makefile").stat().st_size,
        ),
        (PackageSource(kind="package", package="none", file="a", sha256=SUM, licence="x"), None),
    ],
)
def test_a_size_is_what_is_declared_or_seen_here_or_unknown(source: Any, size: int | None) -> None:
    assert raw_bytes(source) == size


def test_a_cut_down_corpus_is_planned_as_small_as_it_is(paper: Study) -> None:
    wikitext = paper.corpora["wikitext-2"]
    few = amounts.text_bytes("wikitext-2", wikitext.model_copy(update={"first_rows": 4000}))
    assert few["train"] == round(4000 * 10_940_747 / 36_718)
    assert few["validation"] == raw_bytes(wikitext.files["validation"])  # it has 3,760 rows
    both = {"first_rows": 4000, "first_bytes": 5000}
    assert amounts.text_bytes("ptb", paper.corpora["ptb"].model_copy(update=both))["test"] == 5000


def test_counts_of_an_earlier_run_are_used_if_it_declared_the_same(
    paper: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = TOKENS / "ptb-reformer-crime-and-punishment"
    folder.mkdir(parents=True)
    counts = {split: {"tokens": 7, "rows": 3} for split in ("train", "validation", "test")}
    (folder / "tokens.json").write_text(json.dumps({"splits": counts}))
    for split in counts:
        np.save(folder / f"{split}.rows.npy", np.array([0, 2, 4]))
    names = ("ptb", "reformer-crime-and-punishment")
    assert amounts.amount_of(*names, paper, paper).tokens["train"] == 7
    assert amounts.amount_of(*names, paper, None).tokens["train"] > 2_000_000
    for section in ("corpora", "tokens"):
        other = paper.model_copy(update={section: {}})
        assert not amounts.amount_of(*names, paper, other).counted


def test_stages_have_as_much_work_as_they_read_tokens() -> None:
    found = stage_tokens(parse_study(compose("quick", CONF), "quick"))
    updates = {128: 720, 512: 120, 2048: 160}  # of 2,048 tokens each
    assert found["pretrain@small"] == sum(updates.values()) * 2048
    assert found["finetune@wikipedia-128"] == 30 * 2048
    assert found["finetune@markup-2048"] == 140 * 2048
    # two hash draws of both rules on 56 % of 220,000 bytes
    tokens = 0.56 * 220_000 / amounts.BYTES_PER_PIECE
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


def test_disk_counts_models_twice_and_the_largest_checkpoints(paper: Study) -> None:
    todo = jobs(paper, None)
    none = disk_bytes(todo, {}, paper)
    assert disk_bytes(todo, {"ptb-256": 1000}, paper) == none + 2 * 4000 + 2 * 4000
