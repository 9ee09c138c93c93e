"""The default study: its texts do not overlap, and its lengths are treated alike."""

import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from reformer_seqlen.fetching.fetch import fetch
from reformer_seqlen.parameters.profiles import compose
from reformer_seqlen.parameters.study import Study, parse_study
from reformer_seqlen.reporting.metrics import Metrics
from reformer_seqlen.reporting.metrics_files import read_metrics
from reformer_seqlen.text.documents import documents
from reformer_seqlen.text.splitting import after, first
from tests.conftest import CONF, ROOT

SPLITS = ("validation", "test")
CORPORA = ("wikipedia", "news", "markup")


@pytest.fixture(scope="module")
def study() -> Study:
    return parse_study(compose("quick", CONF), "quick")


@pytest.fixture(scope="module")
def metrics() -> Metrics:
    """What is committed."""
    return read_metrics(ROOT / "metrics")


def fair(study: Study, corpus: str) -> list[str]:
    """The runs of a corpus that are compared; the published way stands beside them."""
    trained = {
        name: study.training(name) for name, run in study.runs.items() if run.corpus == corpus
    }
    return [name for name, settings in trained.items() if settings and settings.tokens_per_update]


@pytest.mark.parametrize("corpus", CORPORA)
def test_every_length_is_trained_alike(study: Study, corpus: str) -> None:
    """The same tokens in every update, the same updates, rates, positions and rules."""
    names = fair(study, corpus)
    assert [study.runs[name].sequence_length for name in names] == [128, 512, 2048]
    settings = {str((study.training(name), study.options(name))) for name in names}
    scoring = {str((study.evaluation(name), study.chunking(name))) for name in names}
    assert (len(settings), len(scoring)) == (1, 1)
    assert study.chunking(names[0]).policy == "contiguous"


@pytest.mark.parametrize("corpus", CORPORA)
@pytest.mark.parametrize("split", SPLITS)
def test_counting_is_beaten(study: Study, metrics: Metrics, corpus: str, split: str) -> None:
    """Every run is below the trigram of its own training text, and the best below the 5-gram."""
    scores = metrics[split]
    perplexities = [scores[name]["perplexity"] for name in fair(study, corpus)]
    assert max(perplexities) < scores[f"{corpus}-3gram"]["perplexity"]
    assert min(perplexities) < scores[f"{corpus}-5gram"]["perplexity"]


def test_the_base_has_seen_every_length_that_is_compared(study: Study) -> None:
    [recipe] = [model.pretraining for model in study.models.values()]
    assert recipe is not None
    assert [length for length, _ in recipe.trainings()] == sorted(
        {run.sequence_length for run in study.runs.values()}
    )


@pytest.mark.slow
def test_no_text_of_a_corpus_is_in_the_base_text(study: Study, tmp_path: Path) -> None:
    """Articles are known by their titles, which are the first line of each document."""
    [recipe] = [model.pretraining for model in study.models.values()]
    assert recipe is not None
    assert study.corpora["wikipedia"].files["all"] == recipe.file
    assert study.corpora["markup"].files["all"] == recipe.file
    assert study.corpora["news"].files["all"] != recipe.file
    raw = tmp_path / "raw"
    key = "models.small.pretraining.file"
    fetch(recipe.file, raw, key)

    def titles(parts: Any) -> list[bytes]:
        return [part.split(b"\n", 1)[0] for part in parts]

    of_corpus = titles(
        first(documents(raw, "wikipedia_prose", key), study.corpora["wikipedia"].first_bytes)
    )
    beginning = itertools.islice(documents(raw, "wikipedia_prose", key), len(of_corpus) + 3)
    of_base = titles(after(beginning, recipe.skip_bytes))
    assert of_base
    assert not set(of_base) & set(of_corpus)
    markup = b"".join(first(documents(raw, "bytes", key), study.corpora["markup"].first_bytes))
    of_markup = re.findall(rb"<title>(.*?)</title>", markup)
    assert of_markup
    assert not set(of_markup) & set(of_base)
    with raw.open("rb") as dump:
        later = dump.read().find(b"<title>" + of_base[0] + b"</title>")
    assert later > len(markup)  # and those after it come later still


def test_splits_are_large_enough_to_tell_lengths_apart(metrics: Metrics) -> None:
    for corpus, text in metrics["details"]["texts"]["corpora"].items():
        for split in SPLITS:
            assert text["splits"][split]["bytes"] >= 55_000, (corpus, split)
