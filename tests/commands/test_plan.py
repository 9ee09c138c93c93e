"""The plan: its arithmetic, and that it prints for every profile and starts nothing."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from reformer_seqlen.commands import plan
from reformer_seqlen.parameters.chunking import Policy
from reformer_seqlen.parameters.model_options import ModelOptions
from reformer_seqlen.parameters.profiles import compose
from reformer_seqlen.parameters.sources import HubSource, PackageSource, PathSource, UrlSource
from reformer_seqlen.parameters.study import Study, parse_study
from reformer_seqlen.parameters.training import Training
from reformer_seqlen.planning import amounts, trial
from reformer_seqlen.planning.amounts import Amount, Job, count_windows, disk_bytes, jobs, raw_bytes
from reformer_seqlen.planning.trial import Pace, Trial, job_config, predicted_memory
from reformer_seqlen.reformer import activations
from reformer_seqlen.reporting.published import load_published
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.paths import TOKENS
from reformer_seqlen.training import determinism
from tests.conftest import CONF, ROOT
from tests.parameters.test_study import PROFILES

SUM = "0" * 64


@pytest.fixture(scope="module")
def paper() -> Study:
    return parse_study(compose("paper", CONF), "paper")


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """A plan sets torch's threads, as a training does."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


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
        options=ModelOptions(lsh_causality="published"),
        policy=policy,
        amount=Amount(
            {} if tokens is None else dict.fromkeys(splits, tokens),
            {} if rows is None else dict.fromkeys(splits, rows),
        ),
        passes={"validation": 31, "test": 1},
    )


def test_windows_are_those_that_the_stage_cuts() -> None:
    assert count_windows("contiguous", 1000, None, 256, "train") == 3
    assert count_windows("contiguous", 1000, None, 256, "validation") == 4
    assert count_windows("published", 1024, None, 256, "train") == 4
    # four batches of a row each, 250 tokens long, hold no block of 256
    assert count_windows("published", 1000, 4, 256, "train") == 0
    # the study's figures: 79.7 % of Penn Treebank's training tokens were kept at 16384
    kept = count_windows("published", 2_589_000, 42_068, 16384, "train") * 16384 / 2_589_000
    assert kept == pytest.approx(0.797, abs=0.05)


def test_updates_tokens_and_scored_windows() -> None:
    asked = job(256 * 100, epochs=30, batch_size=16, policy="published")
    assert asked.windows("train") == 100
    assert asked.updates() == 30 * 7
    assert asked.tokens_read() == 30 * 100 * 256
    assert asked.scored_windows() == 32 * 100
    expected = pytest.approx(2 * (210 + 3200 / 16 / 3))
    assert plan.expected_seconds(asked, Pace(2.0, 16)) == expected
    unknown = job(None)
    assert (unknown.updates(), unknown.tokens_read()) == (None, None)
    assert plan.expected_seconds(unknown, Pace(2.0, 16)) is None


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


def test_the_papers_updates_agree_with_the_published_speeds(paper: Study) -> None:
    """Facts of two kinds, bytes per piece and runtimes times speeds, give the same updates.

    The tolerances leave room for the published speeds, which are rounded the more the longer.
    """
    todo = {each.name: each for each in jobs(paper, None)}
    published = load_published()
    assert list(todo) == list(paper.runs)
    tolerances = {256: 0.015, 2048: 0.04, 16384: 0.12}
    for corpus, length in itertools.product(("wikitext-2", "ptb"), tolerances):
        job = todo[f"{corpus}-{length}"]
        expected = pytest.approx(plan.theirs(job, published), rel=tolerances[length])
        assert job.updates() == expected
    enwik8 = todo["enwik8-2048"]
    assert enwik8.updates() == pytest.approx(plan.theirs(enwik8, published), rel=0.04)
    assert plan.theirs(todo["enwik8-512"], published) is None  # no speed was printed


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


def test_disk_counts_models_twice_and_the_largest_checkpoints(paper: Study) -> None:
    todo = jobs(paper, None)
    none = disk_bytes(todo, {}, paper)
    assert disk_bytes(todo, {"ptb-256": 1000}, paper) == none + 2 * 4000 + 2 * 4000


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
    parameters = trial.parameter_count(config, asked.options)
    assert parameters == pytest.approx(136.7e6, rel=1e-3)
    assert predicted_memory(config, asked).weights == pytest.approx(4 * parameters, rel=0.01)


def test_a_job_is_planned_with_the_buckets_that_it_trains_with(paper: Study) -> None:
    asked = jobs(paper, None)[0]
    base = trial.base_config(asked.model, paper.models[asked.model])
    assert base is not None
    attention = ModelOptions(
        implementation="transformers",
        lsh_causality="published",
        positions="published",
        num_buckets=4,
    )
    assert job_config(base, replace(asked, options=attention)).num_buckets == [4]


def test_what_cannot_fit_is_named_and_not_tried(
    monkeypatch: pytest.MonkeyPatch, paper: Study
) -> None:
    monkeypatch.setattr(activations, "memory_bytes", lambda _: 4 << 30)
    tried: list[str] = []

    def pace(self: Trial, config: object, job: Job) -> Pace:
        tried.append(job.name)
        return Pace(1.0, 16)

    monkeypatch.setattr(Trial, "pace", pace)
    monkeypatch.setattr(plan, "load_profile", lambda name: paper)
    printed = plan.plan("paper")
    assert "CANNOT RUN HERE: ptb-16384: needs about" in printed
    assert "CANNOT RUN HERE: ptb-2048" not in printed
    assert tried
    assert not any(name.endswith("16384") for name in tried)


def test_a_model_that_cannot_train_at_a_runs_length_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = compose("quick", CONF)
    model = next(iter(values["models"].values()))
    model |= {"implementation": "transformers", "positions": "axial", "lsh_causality": "published"}
    params = parse_study(values, "quick")
    monkeypatch.setattr(plan, "load_profile", lambda name: params)
    monkeypatch.setattr(Trial, "pace", lambda self, config, job: Pace(0.5, 2))
    printed = plan.plan("quick")
    assert "to download: 0 MiB of corpora\n" in printed  # and no checkpoint
    assert "CANNOT RUN HERE: news-512: the model does not run on 4 x 512 tokens" in printed
    assert "CANNOT RUN HERE: news-2048" not in printed  # as long as its tables


def test_what_is_not_known_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    values = compose("paper", CONF)
    for source in values["corpora"]["wikitext-2"]["files"].values():
        del source["size"]
    values["models"]["reformer-crime-and-punishment"]["checkpoint"]["repository"] = "someone/other"
    params = parse_study(values, "paper")
    monkeypatch.setattr(plan, "load_profile", lambda name: params)
    printed = plan.plan("paper")
    assert "unknown until downloaded: how much text there is in wikitext-2." in printed
    assert "MiB of corpora, and the checkpoints\n" in printed
    [row] = [line for line in printed.splitlines() if line.startswith("wikitext-2-256")]
    assert row.split()[1:] == ["unknown"] * 3 + ["~", "43,191"] + ["unknown"] * 4


@pytest.mark.parametrize("profile", PROFILES)
def test_it_prints_for_every_profile_and_leaves_nothing_behind(
    profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    if profile != "smoke":  # its updates are tried for real, the others take seconds
        monkeypatch.setattr(Trial, "pace", lambda self, config, job: Pace(0.5, 2))
    before = sorted(path.name for path in ROOT.iterdir())
    params, printed = plan.load_profile(profile), plan.plan(profile)
    for run in params.runs:
        assert any(line.startswith(f"{run} ") for line in printed.splitlines())
    assert f"{len(params.runs)} runs" in printed
    assert "disk: up to" in printed
    assert (
        "CANNOT RUN HERE" not in printed
        or activations.memory_bytes(determinism.device()) < 16 << 30
    )
    assert sorted(path.name for path in ROOT.iterdir()) == before


def test_an_unknown_profile_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(StudyError, match=r"no profile `papr`: choose one of paper, quick, smoke"):
        plan.load_profile("papr")
