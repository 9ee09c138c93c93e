"""What is taken of a checkpoint: no code, no pickle, every tensor under its own name."""

import io
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from reformer_seqlen.parameters.sources import Source
from tests.declared import declared, got, refused


def pickled(value: object) -> bytes:
    content = io.BytesIO()
    torch.save(value, content)
    return content.getvalue()


def checkpoint(**files: bytes) -> Source:
    """A checkpoint in the folder `mine`, with two names for one bias as the published one has."""
    Path("mine").mkdir()
    for name, content in {"config.json": b"{}", "spiece.model": b"pieces", "code.py": b""}.items():
        Path("mine", name).write_bytes(content)
    for name, content in files.items():
        Path("mine", name.replace("__", ".")).write_bytes(content)
    return declared(kind="path", path="mine")


def names() -> set[str]:
    return {path.name for path in Path("raw").iterdir()}


def test_safetensors_are_taken_as_they_are_and_code_and_pickles_left() -> None:
    got(checkpoint(model__safetensors=b"weights", pytorch_model__bin=b"pickle"))
    assert names() == {"config.json", "spiece.model", "model.safetensors"}
    assert Path("raw/model.safetensors").read_bytes() == b"weights"


def test_pickled_weights_become_safetensors_and_lose_no_name() -> None:
    bias = torch.arange(4.0)
    weights = {"embeddings": torch.ones(4, 3).t(), "bias": bias, "decoder.bias": bias}
    got(checkpoint(pytorch_model__bin=pickled(weights)))
    assert names() == {"config.json", "spiece.model", "model.safetensors"}
    loaded = load_file("raw/model.safetensors")
    assert loaded.keys() == weights.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in weights.items())


class Malice:
    """What a pickle may hold: a call that is made when it is opened."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("owned",)


@pytest.mark.parametrize(
    "content",
    [
        pickled({"a": Malice()}),
        pickle.dumps(Malice(), protocol=2),
        pickled([1]),
        pickled({"a": 1}),
        b"",
        b"x",
    ],
    ids=["torch", "pickle", "list", "number", "empty", "nonsense"],
)
def test_a_pickle_of_more_than_tensors_is_refused_unopened(content: bytes) -> None:
    message = refused(checkpoint(pytorch_model__bin=content))
    assert message.startswith("pytorch_model.bin of mine is refused")
    assert not Path("owned").exists()


def test_a_checkpoint_without_weights_is_named() -> None:
    assert refused(checkpoint()) == (
        "mine has no weights: neither *.safetensors nor pytorch_model.bin"
    )
