"""Causal language models of transformers, from a configuration alone.

A configuration is what params.yaml or a config.json holds: `model_type` and the values of that
type's configuration class. Nothing is downloaded and no remote code is run.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from reformer_seqlen.runtime.messages import models as messages

Config = Any
"""A configuration of transformers (its package has no types)."""
Positions = Literal["axial", "learned", "own"]
UNDECLARED = {"attn_implementation", "use_cache", "head_dim"}
"""What may stand in a configuration although its class does not declare it: choices of a run, and
what models read all the same."""


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
            _refuse_unknown(model_type, given)
        return AutoConfig.for_model(model_type, **given)
    except Exception as error:
        raise messages.not_a_configuration(where, model_type, error) from error


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
    return max(int(reach) for reach in (limit, *_rotary_reaches(part, limit)))


def _rotary_reaches(part: Config, limit: int) -> Iterator[float]:
    """How far scaled rotary positions reach; kinds of layers may have some of their own."""
    given = getattr(part, "rope_parameters", None) or {}
    for rotary in (given, *(value for value in given.values() if isinstance(value, Mapping))):
        if rotary.get("factor") is not None:
            yield rotary["factor"] * (rotary.get("original_max_position_embeddings") or limit)


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


def build(config: Config, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Make the model with its language-modelling head, on the current default device.

    Raises:
        StudyError: transformers refuses the configuration.
    """
    try:
        model: nn.Module = AutoModelForCausalLM.from_config(config, dtype=dtype)
    except Exception as error:
        raise messages.not_built(config.model_type, error) from error
    return model


def _refuse_unknown(model_type: str, given: Mapping[str, Any]) -> None:
    default = AutoConfig.for_model(model_type)
    known = {*default.to_dict(), *default.attribute_map, *UNDECLARED}
    for name in given:
        if name not in known:
            raise ValueError(messages.unknown_value(name, known))
