"""The plan: its arithmetic, and that it prints for every profile and starts nothing."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from ruamel.yaml import YAML

from reformer_seqlen.commands import plan
from reformer_seqlen.parameters.profiles import compose, load_profile
from reformer_seqlen.parameters.study import Study, parse_study
from reformer_seqlen.planning.jobs import Job, jobs
from reformer_seqlen.planning.trial import Pace, Trial
from reformer_seqlen.reformer import activations
from reformer_seqlen.reporting.published import load_published
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.training import determinism
from tests.conftest import CONF, ROOT
from tests.parameters.test_study import PROFILES


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """A plan sets torch's threads, as a training does."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
def test_a_run_that_is_not_trained_is_planned_as_scoring(monkeypatch: pytest.MonkeyPatch) -> None:
    values = compose("smoke", CONF)
    values["runs"]["news-64"]["train"] = "none"
    params = parse_study(values, "smoke")
    monkeypatch.setattr(plan, "load_profile", lambda name: params)
    printed = plan.plan("smoke")
    rows = {line.split()[0]: line.split() for line in printed.splitlines() if "news-" in line}
    untrained, trained = rows["news-64"], rows["news-256"]
    # tokens, windows, updates, tokens read, MiB and the time: no seconds of an update
    assert untrained[5:7] == ["0", "0"]
    assert float(untrained[7]) < float(trained[9])
    assert "by `train: none` the base is scored as it is" in printed


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


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_model_that_cannot_train_at_a_runs_length_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = compose("quick", CONF)
    model = next(iter(values["models"].values()))
    model["options"] = {"implementation": "transformers", "lsh_causality": "published"}
    params = parse_study(values, "quick")
    monkeypatch.setattr(plan, "load_profile", lambda name: params)
    monkeypatch.setattr(Trial, "pace", lambda self, config, job: Pace(0.5, 2))
    printed = plan.plan("quick")
    assert "to download: 0 MiB of corpora\n" in printed  # and no checkpoint
    assert "CANNOT RUN HERE: news-512: the model does not run on 4 x 512 tokens" in printed
    assert "CANNOT RUN HERE: news-2048" not in printed  # as long as its tables


@pytest.mark.slow
def test_updates_that_are_declared_are_exact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # nothing has been counted there
    values = compose("smoke", CONF)
    values["runs"]["news-64"]["train"] = {"updates": 2}
    params = parse_study(values, "smoke")
    monkeypatch.setattr(plan, "load_profile", lambda name: params)
    monkeypatch.setattr(Trial, "pace", lambda self, config, job: Pace(0.5, 2))
    printed = plan.plan("smoke")
    rows = {line.split()[0]: line.split() for line in printed.splitlines() if "news-" in line}
    assert rows["news-64"][5:7] == ["2", "~"]  # updates, and about so many tokens read
    assert rows["news-256"][5] == "~"
    assert "of a run exact after the stage `tokenize` has run" in printed


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
    assert "updates in all: ~ " in printed
    assert "; tokens read: ~ " in printed
    [row] = [line for line in printed.splitlines() if line.startswith("wikitext-2-256")]
    assert row.split()[1:] == ["unknown"] * 3 + ["~", "43,191"] + ["unknown"] * 4


@pytest.mark.slow
@pytest.mark.parametrize("profile", PROFILES)
def test_it_prints_for_every_profile_and_leaves_nothing_behind(
    profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    if profile != "smoke":  # its updates are tried for real, the others take seconds
        monkeypatch.setattr(Trial, "pace", lambda self, config, job: Pace(0.5, 2))
    before = sorted(path.name for path in ROOT.iterdir())
    params, printed = load_profile(profile), plan.plan(profile)
    for run in params.runs:
        assert any(line.startswith(f"{run} ") for line in printed.splitlines())
    assert f"{len(params.runs)} runs" in printed
    assert "disk: up to" in printed
    assert (
        "CANNOT RUN HERE" not in printed
        or activations.memory_bytes(determinism.device()) < 16 << 30
    )
    assert sorted(path.name for path in ROOT.iterdir()) == before


@pytest.mark.slow
def test_without_a_profile_it_is_of_params_yaml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person's own lines stand in it."""
    values = compose("smoke", CONF)
    values["runs"]["mine"] = values["runs"]["news-64"]
    YAML().dump(values, tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Trial, "pace", lambda self, config, job: Pace(0.5, 2))
    printed = plan.plan()
    assert printed.startswith("params.yaml, profile smoke: ")
    assert any(line.startswith("mine ") for line in printed.splitlines())


def test_outside_of_the_repository_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StudyError, match=r"and no other in conf/profile: run this in the repo"):
        load_profile("quick")


def test_an_unknown_profile_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    there = "controlled, controlled-large, paper, quick, smoke"
    with pytest.raises(StudyError, match=f"no profile `papr`: choose one of {there}"):
        load_profile("papr")
