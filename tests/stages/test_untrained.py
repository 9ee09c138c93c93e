"""`train: none`: a base is scored as it is, also by other hash rounds and under other protocols.

And of a base that is made here: its runs begin from untrained weights.
"""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from ruamel.yaml import YAML

from reformer_seqlen.commands.continuation import continuation
from reformer_seqlen.models.causal import load
from reformer_seqlen.parameters.profiles import compose
from reformer_seqlen.parameters.study import load_study
from reformer_seqlen.reporting.records import History, Timing
from reformer_seqlen.reporting.results import read_record
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.files import read_json
from reformer_seqlen.runtime.paths import (
    BASES,
    EVALUATIONS,
    HISTORIES,
    MODELS,
    TIMINGS,
    TOKENS,
    WINDOWS,
)
from reformer_seqlen.scoring.loss import score
from reformer_seqlen.text.splits import load_split
from stages import chunk, download, evaluate, finetune, pretrain, tokenize
from tests.conftest import CONF
from tests.models_example import save_checkpoint

OWN = "own"
"""A checkpoint's folder, model and run."""
LENGTHS = {"base": 64, "rounds": 64, "blocks": 64, "table": 256, OWN: 100}
"""Of each run."""
INTERVAL = ("bits_per_byte", "low", "high")

pytestmark = pytest.mark.slow


def declared() -> Any:
    """The smoke study on a text of words, of which next to nothing is left to train on."""
    values = compose("smoke", CONF)
    source = {"kind": "path", "path": "mine.txt", "licence": "my own"}
    values["corpora"]["news"] |= {"files": {"all": source}, "first_bytes": None, "words": True}
    values["corpora"]["news"]["split"] |= {"validation": 0.49, "test": 0.49}
    recipe = values["models"]["tiny"]["pretraining"]
    recipe |= {"first_bytes": 20000, "validation": 0.1, "train": {**recipe["train"], "epochs": 1}}
    values["models"][OWN] = {"options": {}, "tokenizer": "transformers"}
    values["models"][OWN]["checkpoint"] = {"kind": "path", "path": OWN, "licence": "my own"}
    values["tokens"][f"news-{OWN}"] = {"corpus": "news", "model": OWN}
    own: dict[str, Any] = {
        "base": {"evaluate": {"hash_rounds": [2], "protocols": ["published", "contiguous"]}},
        "rounds": {"options": {"num_hashes": 2}},
        "blocks": {"chunk": {"policy": "published"}},
        "table": {"options": {"positions": "learned"}},
        OWN: {},
    }
    values["runs"] = {
        name: {
            "corpus": "news",
            "model": OWN if name == OWN else "tiny",
            "sequence_length": LENGTHS[name],
            "train": "none",
            **changes,
        }
        for name, changes in own.items()
    }
    return values | {"counts": {}}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The study, with its stages run in this process, in the working folder."""
    with contextlib.chdir(tmp_path_factory.mktemp("untrained")):
        lines = (f"The {n}th day was as bright as the {n + 1}th.\n" for n in range(300))
        Path("mine.txt").write_text("".join(lines))
        YAML().dump(declared(), Path("params.yaml"))
        save_checkpoint(Path(OWN))
        download.main("news")
        for model in ("tiny", OWN):
            pretrain.main(model)
            tokenize.main(f"news-{model}")
        for name in LENGTHS:
            chunk.main(name)
            finetune.main(name)
            evaluate.main(name)
        yield


def scores(name: str, split: str = "test") -> Any:
    return read_json(EVALUATIONS / name / "scores.json")[split]


def loaded(folder: Path, name: str) -> Any:
    options = load_study().given_options(name)
    return load(folder, sequence_length=LENGTHS[name], options=options, key=f"runs.{name}")


@pytest.mark.parametrize("name", LENGTHS)
@pytest.mark.usefixtures("study")
def test_the_model_is_the_base(name: str) -> None:
    base, model = (
        loaded(folder, name).state_dict()
        for folder in (BASES / load_study().runs[name].model, MODELS / name)
    )
    assert base.keys() == model.keys()
    drawn = {key for key in base if not torch.equal(base[key], model[key])}
    # the base has no table of positions, so a fresh one is drawn
    table = {"reformer.embeddings.position_embeddings.embedding.weight"}
    assert drawn == (table if name == "table" else set())


@pytest.mark.parametrize("name", LENGTHS)
@pytest.mark.usefixtures("study")
def test_its_history_has_no_update_and_its_timings_no_speed(name: str) -> None:
    history = read_json(HISTORIES / f"{name}.json")
    assert {key: history[key] for key in ("updates", "epochs", "tokens_seen")} == {
        "updates": 0,
        "epochs": 0,
        "tokens_seen": 0,
    }
    assert (history["steps"], history["evaluations"]) == ([], [])
    assert (history["hash_buckets"] is None) == (name == OWN)
    assert read_record(HISTORIES / f"{name}.json", History).parameters.total > 0
    timing = read_record(TIMINGS / "finetune" / f"{name}.json", Timing)
    assert (timing.steps_per_second, timing.tokens_per_second) == (None, None)
    assert timing.runtime_seconds > 0


@pytest.mark.usefixtures("study")
def test_the_score_is_the_bases() -> None:
    split = load_split(TOKENS / f"news-{OWN}", WINDOWS / OWN, "test")
    found = score(loaded(BASES / OWN, OWN), split, batch_size=16, precision="float32", hash_seed=42)
    assert scores(OWN)["loss_nats"] == found.mean_nats


@pytest.mark.usefixtures("study")
def test_a_run_needs_no_text_to_train_on() -> None:
    split = load_split(TOKENS / "news-tiny", WINDOWS / "table", "train")
    assert len(split.windows) == 0


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.usefixtures("study")
def test_other_ways_of_scoring_give_what_a_run_of_that_way_gives(split: str) -> None:
    base, rounds, blocks = (scores(name, split) for name in ("base", "rounds", "blocks"))
    ours = base["hash_rounds"].pop("2")
    assert base["hash_rounds"] == {}
    above = ours.pop("difference")
    assert ours == {key: rounds[key] for key in INTERVAL}
    bits = rounds["bits_per_byte"] - base["bits_per_byte"]
    assert above["bits_per_byte"] == pytest.approx(bits, abs=1e-12)
    keys = (*INTERVAL, "perplexity", "tokens")
    assert base["protocols"] == {"published": {key: blocks[key] for key in keys}}
    assert rounds["bits_per_byte"] != base["bits_per_byte"] != blocks["bits_per_byte"]
    assert "hash_rounds" not in rounds
    assert "protocols" not in blocks


@pytest.mark.usefixtures("study")
def test_words_cost_more_than_pieces() -> None:
    """Nine words a line and its end, of which the published blocks leave out some."""
    splits = read_json(TOKENS / "news-tiny/tokens.json")["splits"]
    for name in ("base", "blocks"):
        said, test = scores(name), splits["test"]
        assert test["words"] == 10 * test["rows"]
        words = test["words"] * said["bytes"] / test["bytes"]
        pieces_a_word = said["tokens"] / words
        assert said["word_perplexity"] == pytest.approx(said["perplexity"] ** pieces_a_word)


@pytest.mark.parametrize("name", LENGTHS)
@pytest.mark.usefixtures("study")
def test_a_text_is_continued(name: str) -> None:
    text = continuation(name, MODELS / name, load_study(), "The ", 8, seed=1)
    assert len(text) > len("The ")


@pytest.mark.usefixtures("study")
def test_a_checkpoint_whose_layers_do_not_hash_is_refused_where_it_is_scored() -> None:
    values = declared()
    values["runs"][OWN]["evaluate"] = {"hash_rounds": [2]}
    before = Path("params.yaml").read_bytes()
    YAML().dump(values, Path("params.yaml"))
    try:
        with pytest.raises(
            StudyError, match=r"runs\.own\.evaluate\.hash_rounds: models\.own has no"
        ):
            evaluate.main(OWN)
    finally:
        Path("params.yaml").write_bytes(before)


def test_an_untrained_base_has_a_tokenizer_and_random_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    values = compose("smoke", CONF)
    recipe = values["models"]["tiny"]["pretraining"]
    recipe |= {"first_bytes": 20000, "validation": 0.1, "train": "none"}
    values["counts"], values["runs"] = {}, {"news-64": values["runs"]["news-64"]}
    values["train"] |= {"epochs": 1}
    YAML().dump(values, Path("params.yaml"))
    download.main("news")
    pretrain.main("tiny")
    card = read_json(BASES / "tiny/card.json")
    assert card["pretraining"]["tokens_seen"] == 0
    assert card["pretraining"]["text"]["licence"] == recipe["file"]["licence"]
    assert read_json(BASES / "tiny/history.json") == {"phases": []}
    timing = read_record(TIMINGS / "pretrain/tiny.json", Timing)
    assert timing.tokens_per_second is None
    tokenize.main("news-tiny")
    chunk.main("news-64")
    finetune.main("news-64")
    history = read_json(HISTORIES / "news-64.json")
    pieces = recipe["pieces"]
    assert history["steps"][0]["training_loss"] == pytest.approx(math.log(pieces), rel=0.05)
    assert history["steps"][-1]["training_loss"] < history["steps"][0]["training_loss"]
