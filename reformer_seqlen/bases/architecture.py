"""A fresh base model's configuration, from params.yaml."""

from typing import Any

import torch
from transformers import ReformerConfig

from reformer_seqlen.models.causal import create
from reformer_seqlen.models.configurations import Config, check_length, configuration
from reformer_seqlen.parameters.model_options import (
    AttentionOptions,
    ReformerOptions,
    options_for,
)
from reformer_seqlen.parameters.models import Model, Pretraining
from reformer_seqlen.reformer.crime_and_punishment import CRIME_AND_PUNISHMENT
from reformer_seqlen.reformer.model import configured, create_reformer
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.messages import models as messages

SPECIAL = ("bos_token_id", "eos_token_id", "pad_token_id")
"""Configuration classes number the pieces of a published tokenizer; a tokenizer made here has none
of them."""

ELSEWHERE = {
    "vocab_size": "pretraining.pieces",
    "attn_implementation": "options.attention",
    "axial_pos_embds": "options.positions",
}
"""Settings of a configuration that have a place of their own in params.yaml."""
PADDING = {"sentencepiece": 2, "bytes": 0}
"""Ids that a text has at most where it spells them, by tokenizer: `</s>`, and the first of the
special ones. As published, 0 would be `<unk>`, and transformers takes a prompt's pieces of that id
for padding."""


def architecture(name: str, model: Model, recipe: Pretraining) -> Config:
    """The configuration of a base model that is made here.

    Raises:
        StudyError: the recipe's `architecture` has an unknown name, no model can be built, or its
            positions end before the texts that it is trained on.
    """
    key = f"models.{name}.pretraining.architecture"
    for setting, place in ELSEWHERE.items():
        if setting in recipe.architecture:
            raise messages.said_elsewhere(key, setting, place)
    options = options_for(model.model_type, model.options, f"models.{name}.options")
    config = (
        _reformer(key, options, recipe, PADDING[model.tokenizer])
        if isinstance(options, ReformerOptions)
        else _another(key, options, recipe)
    )
    for length, _ in recipe.trainings():
        check_length(config, length, f"models.{name}.pretraining")
    return config


def _reformer(
    key: str, options: ReformerOptions, recipe: Pretraining, padding: int
) -> ReformerConfig:
    """The published architecture, overridden by the recipe and the model's options.

    It reads texts of every phase: a learned table reaches the longest, and under the strict rule
    each length hashes into as many buckets as it recommends.
    """
    lengths = [length for length, _ in recipe.trainings()]
    given = {name: value for name, value in recipe.architecture.items() if name != "model_type"}
    unknown = given.keys() - ReformerConfig().to_dict().keys()
    if unknown:
        raise messages.unknown_settings(key, sorted(unknown), CRIME_AND_PUNISHMENT)
    try:
        config = configured(
            ReformerConfig(
                **{**CRIME_AND_PUNISHMENT, "pad_token_id": padding, **given},
                vocab_size=recipe.pieces,
                axial_pos_embds=options.positions == "axial",
            ),
            key,
            sequence_length=max(lengths, default=recipe.sequence_length),
            **options.model_dump(),
        )
        if options.num_buckets is None and options.lsh_causality == "strict":
            config.lsh_num_buckets = None
        with torch.device("meta"):  # without memory: only whether it can be built
            create_reformer(config, options.implementation)
    except Exception as error:  # transformers' checks raise many kinds
        raise messages.no_reformer(key, error, given) from error
    return config


def _another(key: str, options: AttentionOptions, recipe: Pretraining) -> Config:
    """The defaults of a configuration class, overridden by the recipe."""
    values: dict[str, Any] = {**dict.fromkeys(SPECIAL), **recipe.architecture}
    config = configuration({**values, "vocab_size": recipe.pieces}, key)
    try:
        with torch.device("meta"):
            create(config, options)
    except StudyError as error:
        raise messages.no_model(key, error) from error
    return config
