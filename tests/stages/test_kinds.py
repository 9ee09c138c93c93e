"""Every kind of model goes through the stages: trained, stopped and resumed, scored, sampled."""

import contextlib
import csv
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML

from reformer_seqlen.commands.continuation import continuation
from reformer_seqlen.models.causal import load, set_draw
from reformer_seqlen.parameters.profiles import compose
from reformer_seqlen.parameters.study import load_study
from reformer_seqlen.runtime.files import read_json, sha256_of
from reformer_seqlen.runtime.paths import (
    BASE_TOKENS,
    BASES,
    EVALUATIONS,
    GPU_RESULTS,
    HISTORIES,
    MODELS,
    PLOTS,
    README,
    REPORT,
    TOKENS,
    WINDOWS,
)
from reformer_seqlen.text.splits import load_split
from reformer_seqlen.text.tokenizers import load_tokenizer
from reformer_seqlen.text.tokens import load_tokens
from stages import (
    benchmark_memory,
    chunk,
    download,
    evaluate,
    finetune,
    pretrain,
    report,
    tokenize,
)
from tests.conftest import CONF, ROOT
from tests.interrupts import interrupted_after
from tests.models_example import KINDS, save_checkpoint

LENGTH = 64
OWN = "own"
"""A checkpoint's folder, model and run."""
NAMES = [*KINDS, OWN]

pytestmark = pytest.mark.slow


def declared() -> Any:
    """The smoke study, shortened, with a model and a run of every kind."""
    values = compose("smoke", CONF)
    recipe = values["models"]["tiny"]["pretraining"]
    recipe |= {"first_bytes": 20000, "validation": 0.1, "train": {**recipe["train"], "epochs": 1}}
    values |= {"models": {}, "tokens": {}, "counts": {}, "runs": {}}
    for kind, architecture in KINDS.items():
        made = {**recipe, "architecture": {"model_type": kind, **architecture}}
        values["models"][kind] = {"options": {}, "pretraining": made}
        values["tokens"][f"news-{kind}"] = {"corpus": "news", "model": kind}
        values["runs"][kind] = {"corpus": "news", "model": kind, "sequence_length": LENGTH}
    source = {"kind": "path", "path": OWN, "licence": "my own"}
    values["models"][OWN] = {"options": {}, "tokenizer": "transformers", "checkpoint": source}
    values["tokens"][f"news-{OWN}"] = {"corpus": "news", "model": OWN}
    values["runs"][OWN] = {"corpus": "news", "model": OWN, "sequence_length": 100}
    phases = [{"sequence_length": 128, "train": {"updates": 3}}]
    values["models"]["gpt2"]["pretraining"]["phases"] = phases
    for row in values["memory"]["rows"].values():
        row["measure"] = False
    values["evaluate"]["contexts"] = [32]
    values["train"] |= {"epochs": 1, "checkpoint_every_updates": 5}
    return values


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The study, with all its stages run in this process, in the working folder."""
    root = tmp_path_factory.mktemp("kinds")
    with contextlib.chdir(root):
        YAML().dump(declared(), Path("params.yaml"))
        save_checkpoint(Path(OWN))
        download.main("news")
        for kind in NAMES:
            pretrain.main(kind)
            tokenize.main(f"news-{kind}")
            chunk.main(kind)
            finetune.main(kind)
            evaluate.main(kind)
        benchmark_memory.main()
        shutil.copy(ROOT / "README.md", README)
        shutil.copytree(ROOT / "results/controlled", "results/controlled")  # README.md shows it
        GPU_RESULTS.mkdir(parents=True)
        report.main()
        yield root


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.usefixtures("study")
def test_the_score_is_the_models_own_loss(kind: str) -> None:
    """Transformers shifts labels itself, so a window goes in with the token that follows it."""
    length = 100 if kind == OWN else LENGTH
    model = load(MODELS / kind, sequence_length=length, options={}, key="").eval()
    split = load_split(TOKENS / f"news-{kind}", WINDOWS / kind, "test")
    set_draw(model, 42)
    total, count = 0.0, 0
    for start, context in zip(split.windows.starts, split.windows.context, strict=True):
        ids = torch.from_numpy(split.tokens.ids[start : start + length + 1].astype(np.int64))[None]
        labels = ids.clone()
        labels[:, : context + 1] = -100
        targets = int((labels != -100).sum())
        with torch.no_grad():
            total += model(ids, labels=labels, use_cache=False).loss.item() * targets
        count += targets
    scored = read_json(EVALUATIONS / kind / "scores.json")["test"]
    assert count == scored["tokens"]
    if kind != "reformer":  # whose score is a mean over two draws of its hashes
        assert scored["hash_draws"] == 1
        assert scored["loss_nats"] == pytest.approx(total / count, rel=1e-5)
    assert scored["loss_nats"] == pytest.approx(total / count, rel=0.01)


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.usefixtures("study")
def test_it_learns_and_says_what_it_is(kind: str) -> None:
    history, card = read_json(HISTORIES / f"{kind}.json"), read_json(BASES / kind / "card.json")
    assert history["steps"][-1]["training_loss"] < history["steps"][0]["training_loss"]
    assert (history["hash_buckets"] is None) == (kind != "reformer")
    assert card["model_type"] == ("llama" if kind == OWN else kind)
    assert card["parameters"] == history["parameters"]
    scores = read_json(EVALUATIONS / kind / "scores.json")["test"]
    assert scores["low"] < scores["bits_per_byte"] < scores["high"] < 8
    assert 0 < scores["accuracy"] < 1
    assert sum(each["tokens"] for each in scores["by_position"]) == scores["tokens"]
    shorter = scores["contexts"]["32"]
    assert shorter["low"] < shorter["bits_per_byte"] < shorter["high"]
    assert shorter["bits_per_byte"] == pytest.approx(scores["bits_per_byte"], rel=0.05)


@pytest.mark.usefixtures("study")
def test_the_text_that_a_base_was_trained_on_is_kept_as_tokens() -> None:
    splits = {split: load_tokens(BASE_TOKENS / "gpt2", split) for split in ("train", "validation")}
    text = load_tokenizer(BASES / "gpt2").decode(splits["train"].ids.tolist())
    assert "In the beginning God created the heaven and the earth." in text
    sizes = [int(tokens.piece_bytes.sum()) for tokens in splits.values()]
    assert sizes[0] == len(text.encode())
    assert sum(sizes) == pytest.approx(20000, abs=1000)  # first_bytes, in whole lines
    counts = {split: {"tokens": len(tokens)} for split, tokens in splits.items()}
    assert read_json(BASE_TOKENS / "gpt2/tokens.json") == {"model": "gpt2", "splits": counts}


@pytest.mark.usefixtures("study")
def test_a_base_is_trained_in_phases() -> None:
    phases = read_json(BASES / "gpt2/history.json")["phases"]
    assert [phase["updates"] for phase in phases] == [phases[0]["updates"], 3]
    seen = read_json(BASES / "gpt2/card.json")["pretraining"]["tokens_seen"]
    assert seen == sum(phase["tokens_seen"] for phase in phases)
    assert phases[1]["tokens_seen"] == 3 * 16 * 128


@pytest.mark.usefixtures("study")
def test_all_stand_in_the_tables_and_curves() -> None:
    page = REPORT.read_text()
    for name in NAMES:
        assert re.search(rf"^\| {name} +\|", page, re.MULTILINE), name
    for curve in ("answer", "training_loss", "validation_loss", "cost"):
        with (PLOTS / f"{curve}.csv").open() as file:
            assert {row["model"] for row in csv.DictReader(file)} == set(NAMES)


@pytest.mark.usefixtures("study")
def test_a_training_that_is_stopped_goes_on_to_the_same_bytes() -> None:
    """gpt2 has dropout: it must be drawn as if nothing had happened."""
    weights = MODELS / "gpt2/model.safetensors"
    before = sha256_of(weights)
    weights.unlink()
    with interrupted_after(7):
        finetune.main("gpt2")
    assert Path("work/finetune/gpt2/checkpoint-5/complete.json").exists()
    finetune.main("gpt2")
    assert sha256_of(weights) == before


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.usefixtures("study")
def test_a_text_is_continued(kind: str) -> None:
    texts = [continuation(kind, MODELS / kind, load_study(), "The ", 8, seed) for seed in (1, 1, 2)]
    assert texts[0].startswith("The ")
    assert len(texts[0]) > len("The ")
    assert texts[0] == texts[1]
