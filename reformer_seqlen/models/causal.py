"""Causal language models of every kind: made, loaded, seeded and counted alike.

A Reformer is this project's; all others are transformers' own.
"""

import json
from collections.abc import Iterable, Mapping
from math import lcm
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, ReformerConfig

from reformer_seqlen.models.configurations import (
    Config,
    check_causal,
    check_length,
    position_limit,
)
from reformer_seqlen.parameters.common.architectures import refuse_past_any_machine
from reformer_seqlen.parameters.model_options import (
    AttentionOptions,
    ModelOptions,
    ReformerOptions,
    options_for,
)
from reformer_seqlen.reformer.draws import mixed_seed
from reformer_seqlen.reformer.model import Reformer, StockReformer, create_reformer, load_reformer
from reformer_seqlen.reformer.model import parameter_counts as reformer_counts
from reformer_seqlen.runtime.files import final_path
from reformer_seqlen.runtime.messages import models as messages
from reformer_seqlen.runtime.messages import parameters as parameter_messages

IMPLEMENTATIONS = {"flex": "flex_attention", "flash": "flash_attention_2"}
"""What transformers calls them, where it has another name."""


def create(config: Config, options: ModelOptions) -> PreTrainedModel:
    """A model with fresh weights, drawn from torch's global generator.

    Raises:
        StudyError: transformers refuses the configuration or the attention.
    """
    if isinstance(options, ReformerOptions):
        return create_reformer(config, options.implementation)
    try:
        return AutoModelForCausalLM.from_config(config, dtype=torch.float32, **_attention(options))
    except Exception as error:  # transformers' checks raise many kinds
        raise messages.not_built(config.model_type, error) from error


def load(
    folder: Path, *, sequence_length: int | None, options: Mapping[str, Any], key: str
) -> PreTrainedModel:
    """A checkpoint's model in float32, for texts of one length.

    Args:
        folder: holds config.json and weights as safetensors.
        sequence_length: of the texts, in tokens; None for any that the model reads.
        options: as params.yaml has them; the configuration says which there are.
        key: what has the length and the options in params.yaml, such as `runs.news-512`.

    Raises:
        StudyError: the folder holds no such checkpoint, it does not read texts of that length, or
            it lacks an option.
    """
    values = _configuration_values(folder)
    model_type = str(values["model_type"])
    chosen = options_for(model_type, options, f"{key}.options")
    if isinstance(chosen, ReformerOptions):
        length = _whole_chunks(ReformerConfig.from_dict(values), sequence_length, key)
        return load_reformer(folder, sequence_length=length, **chosen.model_dump())
    config = checkpoint_config(folder)
    if sequence_length is not None:
        check_length(config, sequence_length, key)
    try:
        model, loaded = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are named below
            **_attention(chosen),
        )
    except (OSError, ValueError, ImportError, RuntimeError, SafetensorError) as error:
        raise messages.not_loaded(folder, model_type, error) from error
    others = {name for name, *_ in loaded["mismatched_keys"]}
    if drawn := loaded["missing_keys"] | others:
        raise messages.lacks_weights(folder, model_type, sorted(drawn))
    return model


def check_ids(
    model: PreTrainedModel, texts: Iterable[NDArray[np.unsignedinteger]], name: str
) -> None:
    """Refuse tokens that a model has no embedding of.

    Args:
        model: of a run.
        texts: the ids, (tokens,), of each text that it is to read.
        name: its name in params.yaml.

    Raises:
        StudyError: the tokenizer has more ids than the model, and the text uses them.
    """
    known = len(model.get_input_embeddings().weight)
    largest = max((int(ids.max()) for ids in texts if len(ids)), default=0)
    if largest >= known:
        raise messages.no_embedding(name, largest, known)


def checkpoint_config(folder: Path) -> Config:
    """The configuration of a checkpoint's folder.

    Raises:
        StudyError: it holds none of a causal language model, or transformers refuses it.
    """
    values = _configuration_values(folder)
    model_type = str(values["model_type"])
    check_causal(model_type, str(final_path(folder) / "config.json"))
    try:
        refuse_past_any_machine(values)
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # transformers' checks raise many kinds
        raise messages.not_loaded(folder, model_type, error) from error


def _configuration_values(folder: Path) -> dict[str, Any]:
    """What config.json holds, a `model_type` among it, and no quantized weights."""
    try:
        values: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        values["model_type"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise messages.no_configuration(folder, error) from error
    if values.get("quantization_config"):
        raise messages.quantized_weights(folder)
    return values


def _whole_chunks(config: ReformerConfig, length: int | None, key: str) -> int:
    """The length, if it is one of whole chunks; the shortest such where none is given."""
    kinds = sorted(set(config.attn_layers))
    chunks = lcm(*(getattr(config, f"{kind}_attn_chunk_length") for kind in kinds))
    if length is not None and length % chunks:
        raise parameter_messages.no_whole_chunks(key, length, chunks)
    return length or chunks


def _attention(options: AttentionOptions) -> dict[str, str]:
    if options.attention is None:
        return {}
    return {"attn_implementation": IMPLEMENTATIONS.get(options.attention, options.attention)}


def set_draw(model: PreTrainedModel, seed: int, step: int = 0, stream: int = 0) -> None:
    """Make all that a model draws from here on a function of these numbers.

    A Reformer draws hashes and dropout from them, another model its dropout from torch's global
    generator. Hashes are the same in all streams, dropout is not: a stream is for each process.
    """
    if isinstance(model, Reformer | StockReformer):
        model.set_hash_draw(seed, step, stream)
    else:
        torch.manual_seed(mixed_seed(seed, step, *([stream] if stream else [])))


def draws_hashes(model: PreTrainedModel) -> bool:
    """Whether what a model predicts depends on a draw: it has layers that hash."""
    return isinstance(model, Reformer | StockReformer) and "lsh" in model.config.attn_layers


def parameter_counts(model: PreTrainedModel) -> dict[str, int]:
    """The number of all parameters, of position parameters, of embeddings, and of the others.

    Position parameters are tables with a row for each position; embeddings are those of pieces,
    with those of the output where they are not the same.
    """
    if isinstance(model, Reformer | StockReformer):
        counts = reformer_counts(model)
    else:
        total = sum(parameter.numel() for parameter in model.parameters())
        positions = sum(table.weight.numel() for table in _position_tables(model))
        counts = {
            "total": total, "position_table": positions, "without_positions": total - positions,
        }  # fmt: skip
    weights = (getattr(layer, "weight", None) for layer in _ends(model))
    tables = {id(weight): weight.numel() for weight in weights if weight is not None}
    return {**counts, "embeddings": sum(tables.values())}


def _ends(model: PreTrainedModel) -> tuple[nn.Module, nn.Module]:
    return model.get_input_embeddings(), model.get_output_embeddings()


def _position_tables(model: PreTrainedModel) -> list[nn.Embedding]:
    limit = position_limit(model.config)
    return [
        module
        for module in model.modules()
        if isinstance(module, nn.Embedding)
        and module not in _ends(model)
        and limit is not None
        and module.num_embeddings >= limit
    ]
