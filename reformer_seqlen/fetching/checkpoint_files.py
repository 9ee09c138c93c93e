"""The files of a checkpoint that are wanted: configuration, safetensors, tokenizer; no pickle."""

import shutil
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from reformer_seqlen.runtime.messages import fetching as messages

CONFIG = "config.json"
PICKLED = "pytorch_model.bin"
CHECKPOINT_FILES = (
    CONFIG,
    "generation_config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
)


def take_checkpoint(files: Mapping[str, Path], target: Path, what: str) -> None:
    """Copy a checkpoint's files, its weights as safetensors whatever they were.

    Args:
        files: where its files are, by name; those that no pattern names are left out.
        target: an empty folder.
        what: what the checkpoint is, for messages.

    Raises:
        StudyError: there is no config.json or there are no weights, or they hold more than tensors.
    """
    if CONFIG not in files:
        raise messages.no_checkpoint(what, CONFIG)
    for name, path in files.items():
        if any(fnmatch(name, pattern) for pattern in CHECKPOINT_FILES):
            shutil.copyfile(path, target / name)
    if not any(target.glob("*.safetensors")):
        if PICKLED not in files:
            raise messages.no_weights(what, PICKLED)
        _convert(files[PICKLED], target / "model.safetensors", what)


def _convert(pickled: Path, target: Path, what: str) -> None:
    """Write PyTorch's weights as safetensors: every tensor, under its own name."""
    # torch takes seconds to import, and a checkpoint that has safetensors needs none of it.
    import pickle

    import torch
    from safetensors.torch import save_file

    try:
        weights: dict[str, Any] = torch.load(pickled, map_location="cpu", weights_only=True)
        # Clones, because safetensors refuses tensors that share memory, as tied weights do.
        tensors = {name: tensor.clone().contiguous() for name, tensor in weights.items()}
    except (pickle.UnpicklingError, RuntimeError, EOFError, AttributeError) as error:
        raise messages.unsafe_weights(what, PICKLED, error) from error
    save_file(tensors, target, metadata={"format": "pt"})
