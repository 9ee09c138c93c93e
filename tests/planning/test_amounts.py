"""The amounts of a study: arithmetic on what is declared, counted or published."""

import json
from pathlib import Path
from typing import Any

import pytest

from reformer_seqlen.parameters.sources import HubSource, PackageSource, PathSource, UrlSource
from reformer_seqlen.parameters.study import Study
from reformer_seqlen.planning import amounts
from reformer_seqlen.planning.amounts import count_windows, disk_bytes, jobs, raw_bytes
from reformer_seqlen.runtime.paths import TOKENS
from tests.conftest import ROOT

SUM = "0" * 64


def test_windows_are_those_that_the_stage_cuts() -> None:
    assert count_windows("contiguous", 1000, None, 256, "train") == 3
    assert count_windows("contiguous", 1000, None, 256, "validation") == 4
    assert count_windows("published", 1024, None, 256, "train") == 4
    # four batches of a row each, 250 tokens long, hold no block of 256
    assert count_windows("published", 1000, 4, 256, "train") == 0
    # the study's figures: 79.7 % of Penn Treebank's training tokens were kept at 16384
    kept = count_windows("published", 2_589_000, 42_068, 16384, "train") * 16384 / 2_589_000
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
    names = ("ptb", "reformer-crime-and-punishment")
    assert amounts.amount_of(*names, paper, paper).tokens["train"] == 7
    assert amounts.amount_of(*names, paper, None).tokens["train"] > 2_000_000
    for section in ("corpora", "tokens"):
        other = paper.model_copy(update={section: {}})
        assert not amounts.amount_of(*names, paper, other).counted


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
