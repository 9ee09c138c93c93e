"""The pipeline under real DVC: what runs again, what does not, and that the bytes are the same."""

import json
import re
import sys
from typing import Any

import pytest

from reformer_seqlen.runtime.files import read_json
from tests.conftest import Project, digests

pytestmark = pytest.mark.slow

COMMAND = (sys.executable, "-m", "reformer_seqlen")
RUN_VERBS = ("chunk", "finetune", "evaluate")


def test_the_smoke_study_reports_every_run(smoke: Project) -> None:
    for split in ("validation", "test"):
        metrics = {
            path.stem: read_json(path) for path in (smoke.root / "metrics" / split).iterdir()
        }
        assert set(metrics) == {"news-64", "news-256", "news-3gram", "news-3gram-all"}
        for run in metrics.values():
            assert run["perplexity"] > 1
            assert run["bits_per_byte"] > 0
    training = read_json(smoke.root / "metrics/details/training.json")
    assert training["news-64"]["updates"] > training["news-256"]["updates"] > 0


def test_a_run_beats_the_entropy_of_its_pieces(smoke: Project) -> None:
    for run in read_json(smoke.root / "metrics/details/scores.json").values():
        for split in ("validation", "test"):
            assert run[split]["perplexity"] < run[split]["unigram_perplexity"]


def test_every_length_is_scored_on_the_same_tokens(smoke: Project) -> None:
    scores = read_json(smoke.root / "metrics/details/scores.json").values()
    for split in ("validation", "test"):
        assert len({run[split]["tokens"] for run in scores}) == 1


def test_nothing_is_left_to_do_and_dvc_says_so(smoke: Project) -> None:
    smoke.dvc("status", "-q")
    assert smoke.would_run() == []


def test_splits_share_no_text(smoke: Project) -> None:
    text = smoke.root / "data/texts/news"
    lines = [
        line
        for split in ("train", "validation", "test")
        for line in (text / f"{split}.txt").read_bytes().splitlines()
    ]
    assert len(lines) == len(set(lines)) > 10


def test_a_model_loads_in_stock_transformers(smoke: Project) -> None:
    code = (
        "from transformers import AutoModelForCausalLM;"
        "m = AutoModelForCausalLM.from_pretrained('data/models/news-64');"
        "print(type(m).__name__, type(m).__module__)"
    )
    printed = smoke.run(sys.executable, "-c", code)
    assert "ReformerModelWithLMHead transformers." in printed


def test_computing_again_gives_the_same_bytes(own_smoke: Project) -> None:
    results = ("data/models/news-64", "data/histories", "data/evaluations", "data/windows")
    before = digests(own_smoke.root, *results)
    own_smoke.dvc("repro", "--force", "--single-item", *(f"{verb}@news-64" for verb in RUN_VERBS))
    assert digests(own_smoke.root, *results) == before


def test_side_by_side_gives_the_same_bytes(own_smoke: Project) -> None:
    """Both runs are trained again, and as their models are the same, they are not scored again."""
    results = ("data/models", "data/histories", "data/evaluations")
    before = digests(own_smoke.root, *results)
    own_smoke.change_params(lambda values: values["train"].update(checkpoint_every_updates=6))
    printed = own_smoke.run(*COMMAND, "repro", "--jobs", "2")
    assert re.search(
        r"^\[0/5\] finetune@news-\d+, finetune@news-\d+, about ", printed, re.MULTILINE
    )
    assert "3 stages ran, the others are up to date" in printed
    assert digests(own_smoke.root, *results) == before
    assert "nothing to do: all stages are up to date" in own_smoke.run(*COMMAND, "repro")


def test_a_profile_is_run_as_an_experiment_would_run_it(own_smoke: Project) -> None:
    path = own_smoke.root / "params.yaml"
    of_smoke = path.read_bytes()
    own_smoke.run("git", "checkout", "--quiet", "params.yaml")
    printed = own_smoke.run(*COMMAND, "repro", "--profile", "smoke")
    assert "nothing to do: all stages are up to date" in printed
    assert path.read_bytes() == of_smoke
    own_smoke.change_params(lambda values: values["train"].update(seed=9))
    refused = own_smoke.run(*COMMAND, "repro", "--profile", "smoke", succeed=False)
    assert refused.startswith("error: params.yaml has lines that would be lost")


def test_what_is_asked_for_is_a_stage_and_what_stays_stale_is_told(own_smoke: Project) -> None:
    refused = own_smoke.run(*COMMAND, "repro", "news-64", succeed=False)
    assert "error: there is no stage `news-64`: choose from download@news, " in refused
    own_smoke.change_params(lambda values: values["evaluate"].update(batch_size=8))
    stale = "3 that were not asked for are stale: `make repro` runs them, too"
    for command in (["repro"], ["distribute", "--engine", "ray", "--workers", "1"]):
        printed = own_smoke.run(*COMMAND, *command, "finetune@news-64")
        assert f"nothing to do: what was asked for is up to date, {stale}" in printed
    printed = own_smoke.run(*COMMAND, "repro", "evaluate@news-64")
    assert "1 stage ran, 2 that were not asked for are stale" in printed


def test_a_changed_run_runs_its_own_chain_and_the_report_again(own_smoke: Project) -> None:
    def change(values: Any) -> None:
        values["runs"]["news-64"]["train"] = {"epochs": 1}

    own_smoke.change_params(change)
    chain = [f"{verb}@news-64" for verb in RUN_VERBS]
    assert own_smoke.would_run() == [*chain, "report"]


def test_new_lines_in_params_run_their_own_chains_and_nothing_else(own_smoke: Project) -> None:
    def add(values: Any) -> None:
        values["corpora"]["other"] = {**values["corpora"]["news"], "first_bytes": 30000}
        values["models"]["small"] = dict(values["models"]["tiny"])
        values["tokens"]["other-small"] = {"corpus": "other", "model": "small"}
        values["runs"]["other-64"] = {"corpus": "other", "model": "small", "sequence_length": 64}
        values["runs"]["news-128"] = {"corpus": "news", "model": "tiny", "sequence_length": 128}
        row = dict(values["memory"]["rows"]["tiny-gpt2-2048"])
        values["memory"]["rows"]["shorter"] = {**row, "sequence_length": 64}

    own_smoke.change_params(add)
    chains = [f"{verb}@{run}" for run in ("other-64", "news-128") for verb in RUN_VERBS]
    assert set(json.loads(own_smoke.dvc("status", "--json"))) == {
        "download@other",
        "pretrain@small",
        "tokenize@other-small",
        *chains,
        "benchmark_memory",
        "report",
    }


def test_the_readmes_line_takes_back_an_experiment_with_a_new_corpus(own_smoke: Project) -> None:
    own_smoke.run("git", "add", "--all")
    own_smoke.run("git", "commit", "-qm", "smoke")
    own_smoke.change_params(lambda values: values["train"].update(epochs=1))
    for file in ("metrics/test/novel-64.json", "plots/novel.csv", "results/figures/novel.svg"):
        (own_smoke.root / file).write_text("of a corpus that is not committed")
    assert "plots" in own_smoke.dvc("status")
    readme = (own_smoke.root / "README.md").read_text(encoding="utf-8")
    [line] = [line for line in readme.splitlines() if line.startswith("git checkout . && ")]
    own_smoke.run("sh", "-c", line)
    assert own_smoke.run("git", "status", "--short") == ""
    own_smoke.dvc("status", "-q")


def test_a_wrong_study_is_refused_before_dvc_runs_anything(own_smoke: Project) -> None:
    def spoil(values: Any) -> None:
        values["train"]["learning_rate"] = -1

    own_smoke.change_params(spoil)
    printed = own_smoke.run(*COMMAND, "repro", succeed=False)
    assert printed.startswith("error: params.yaml is not a valid study: train.learning_rate: ")
    assert "Traceback" not in printed
