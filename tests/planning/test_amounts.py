"""The sizes of texts: arithmetic on what is declared, counted or published."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reformer_seqlen.parameters.sources import HubSource, PackageSource, PathSource, UrlSource
from reformer_seqlen.parameters.study import Study
from reformer_seqlen.planning import amounts
from reformer_seqlen.planning.amounts import raw_bytes
from reformer_seqlen.runtime.paths import TOKENS
from tests.conftest import ROOT

SUM = "0" * 64


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
