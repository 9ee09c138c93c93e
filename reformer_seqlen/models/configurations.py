"""Causal language models of transformers, from a configuration alone.

A configuration is what params.yaml or a config.json holds: `model_type` and the values of that
type's configuration class. Nothing is downloaded and no remote code is run.
"""

import math
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Literal

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from reformer_seqlen.parameters.common.architectures import refuse_past_any_machine
from reformer_seqlen.runtime.messages import models as messages

Config = Any
"""A configuration of transformers (its package has no types)."""
Positions = Literal["axial", "learned", "own"]
UNDECLARED = {"attn_implementation", "use_cache", "head_dim", "torch_dtype"}
"""What may stand in a configuration although its class does not declare it: choices of a run, what
models read all the same, and what a dtype was called before."""
OLDER_ROTARY = {"rope_scaling", "rope_theta"}
"""What rotary positions were said by before there were `rope_parameters`."""
BOTH_WAYS = {*MODEL_FOR_MASKED_LM_MAPPING_NAMES, "bert-generation"}
"""Model types that are encoders as well, and causal only if `is_decoder` says so."""
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
"""What models are made in."""


def configuration(values: Mapping[str, Any], where: str, strict: bool = True) -> Config:
    """Make a configuration.

    Args:
        values: `model_type` and values of its configuration class.
        where: what the message calls them: a key of params.yaml or a file.
        strict: refuse names that the configuration class does not have. Published config.json
            files hold more than that.

    Raises:
        StudyError: there is no such model type, it is no causal LM, or a value is refused.
    """
    model_type = str(values.get("model_type", ""))
    check_causal(model_type, where)
    given = {name: value for name, value in values.items() if name != "model_type"}
    try:
        if strict:
            _refuse_unknown(AutoConfig.for_model(model_type), given)
        config = AutoConfig.for_model(model_type, **given)
        check_values(config)
    except Exception as error:
        keys = given if strict else ()
        raise messages.not_a_configuration(where, model_type, error, keys) from error
    return config


def check_values(config: Config) -> None:
    """Refuse values that transformers takes as they come and that make no sense later.

    Raises:
        ValueError: a number makes no model on any machine, the model is an encoder, the dtype is
            none that models are made in, or a rotary factor is no number.
    """
    refuse_past_any_machine(config.to_dict())
    if config.model_type in BOTH_WAYS and _is_encoder(config):
        raise ValueError(messages.ENCODER)
    for dtype in (config.dtype, language_part(config).dtype):
        if dtype is not None and dtype not in DTYPES:
            raise ValueError(messages.unknown_dtype(dtype, DTYPES))
    for factor in _rotary(language_part(config), "factor"):
        if not isinstance(factor, int | float):
            raise ValueError(messages.no_factor(factor))


def _is_encoder(config: Config) -> bool:
    """Whether tokens see those after them; the decoder of a model that encodes too is made one."""
    return not config.is_encoder_decoder and getattr(config, "is_decoder", None) is False


def check_causal(model_type: str, where: str) -> None:
    """Refuse what is no causal language model of transformers.

    Raises:
        StudyError: it is no such model.
    """
    known = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    if model_type not in known:
        raise messages.not_causal(where, model_type, known, model_type in CONFIG_MAPPING_NAMES)


def positions_of(config: Config) -> Positions:
    """How a model knows where a token stands, as far as there is a choice."""
    if config.model_type != "reformer":
        return "own"
    return "axial" if config.axial_pos_embds else "learned"


def language_part(config: Config) -> Config:
    """The part of a configuration that is its language model's; the whole, if that is all it is.

    A model that sees or hears as well has a configuration for each of its parts.
    """
    try:
        part = config.get_text_config(decoder=True)
    except ValueError:  # there are several
        return config
    is_one = any(getattr(config, name, None) is part for name in config.sub_configs)
    return part if is_one else config  # elsewhere it is a copy


def position_limit(config: Config) -> int | None:
    """The longest sequence that a model has positions for, in tokens; None if none is known.

    Rotary positions that are scaled reach as far as their factor says.
    """
    if positions_of(config) == "axial":
        return math.prod(int(size) for size in config.axial_pos_shape)
    part = language_part(config)
    limit: int | None = getattr(part, "max_position_embeddings", None)
    if limit is None or limit <= 0:  # XLNet says -1
        return None
    original = max(_rotary(part, "original_max_position_embeddings"), default=limit)
    return max([limit, *(int(factor * original) for factor in _rotary(part, "factor"))])


def _rotary(part: Config, name: str) -> list[Any]:
    """What the settings of rotary positions say; each kind of layers may have some of its own."""
    given = getattr(part, "rope_parameters", None) or {}
    settings = (given, *(value for value in given.values() if isinstance(value, Mapping)))
    return [rotary[name] for rotary in settings if rotary.get(name) is not None]


def dtype_of(config: Config) -> torch.dtype | None:
    """What a configuration says of its weights' numbers; None if it says nothing."""
    dtype: torch.dtype | None = config.dtype or language_part(config).dtype
    return dtype


def check_length(config: Config, sequence_length: int, key: str = "") -> None:
    """Refuse a sequence that is longer than the model's positions.

    Tensors without data do not check bounds, so a run would not notice.

    Args:
        config: of the model.
        sequence_length: in tokens.
        key: what has the length in params.yaml, if that does.

    Raises:
        StudyError: it is longer.
    """
    limit = position_limit(config)
    if limit is not None and sequence_length > limit:
        raise messages.too_long(config.model_type, limit, sequence_length, key)


def build(config: Config, dtype: torch.dtype | None = None) -> nn.Module:
    """Make the model with its language-modelling head, on the current default device.

    Args:
        config: of any model.
        dtype: of its weights; the configuration's, or float32, unless given.

    Raises:
        StudyError: transformers refuses the configuration.
    """
    dtype = dtype or dtype_of(config) or torch.float32
    config = deepcopy(config)
    for name in config.sub_configs:  # a part's own dtype would go first
        if getattr(config, name, None) is not None:
            getattr(config, name).dtype = dtype
    try:
        model: nn.Module = AutoModelForCausalLM.from_config(config, dtype=dtype)
    except Exception as error:
        raise messages.not_built(config.model_type, error) from error
    return model


def _refuse_unknown(default: Config, given: Mapping[str, Any]) -> None:
    known = {*default.to_dict(), *default.attribute_map, *UNDECLARED}
    if "rope_parameters" in known:
        known |= OLDER_ROTARY
    for name, value in given.items():
        if name == "quantization_config":
            raise ValueError(messages.quantized())
        if name not in known:
            raise ValueError(messages.unknown_value(name, known))
        if name in default.sub_configs and isinstance(value, Mapping):
            _refuse_unknown(getattr(default, name), value)
