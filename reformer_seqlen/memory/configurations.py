"""Configurations changed for the memory study: positions, depth, first layers."""

from typing import Any

from transformers import PreTrainedConfig

from reformer_seqlen.models.configurations import Config, Positions, language_part
from reformer_seqlen.runtime.messages import memory as messages

DECODER_DEPTHS = {"decoder_layers", "num_decoder_layers"}
"""How models that encode as well call the depth of the part that is a language model."""


def with_positions(config: Config, positions: Positions, where: str) -> Config:
    """A copy of a Reformer's configuration with axial or learned positions.

    Args:
        config: of any model.
        positions: `own` leaves the configuration as it is.
        where: what the message calls it.

    Raises:
        StudyError: the model is no Reformer, so it has no choice.
    """
    if positions == "own":
        return config
    if config.model_type != "reformer":
        raise messages.positions_of_another(where, positions, config.model_type)
    values = config.to_dict() | {"axial_pos_embds": positions == "axial"}
    return type(config).from_dict(values)


def with_depth(config: Config, layers: int, positions: int, where: str = "") -> Config:
    """A copy of a configuration with another depth and number of positions.

    What is listed layer by layer repeats its pattern, or is what its class derives from the depth.
    A Reformer's positions are learned: in training, axial ones are made for one length.

    Args:
        config: of any model.
        layers: of the copy.
        positions: of the copy; a model without a limit stays so.
        where: what the message calls it.

    Raises:
        StudyError: the model has no such depth.
    """
    limit = getattr(language_part(config), "max_position_embeddings", None)
    changes = {} if limit is None or limit <= 0 else {"max_position_embeddings": positions}
    if config.model_type == "reformer":
        changes |= {"axial_pos_embds": False}
    try:
        return _of_depth(config, layers, changes)
    except Exception as error:
        raise messages.no_such_depth(where, config.model_type, layers, error) from error


def first_layers(config: Config, layers: int) -> Config:
    """A copy of a configuration that ends after so many layers; those are as they were."""
    depth: int = language_part(config).num_hidden_layers
    return _of_depth(config, min(layers, depth), {})


def _of_depth(config: Config, layers: int, changes: dict[str, Any]) -> Config:
    """A copy with that many layers and some other values of its language model."""
    values, part = config.to_dict(), language_part(config)
    own = values if part is config else values[_name_of(config, part)]
    for name, listed in _per_layer(part, layers).items():
        own[name] = listed
        if listed is None:
            del own[name]
    for name, value in {**changes, "num_hidden_layers": layers}.items():
        own[part.attribute_map.get(name, name)] = value
    for name in DECODER_DEPTHS & own.keys():
        own[name] = layers
    changed = type(config).from_dict(values)
    if language_part(changed).num_hidden_layers != layers:
        raise ValueError(messages.depth_stays(language_part(changed).num_hidden_layers))
    changed._attn_implementation = config._attn_implementation
    return changed


def _name_of(config: Config, part: Config) -> str:
    names: list[str] = list(config.sub_configs)
    return next(name for name in names if getattr(config, name) is part)


def _per_layer(part: Config, layers: int) -> dict[str, Any]:
    """What a configuration says layer by layer, for another depth; None for its class to derive."""
    values, shared = part.to_dict(), PreTrainedConfig().to_dict()
    depth: int = part.num_hidden_layers
    names = [
        name for name, value in values.items() if name not in shared and _is_of_layers(value, depth)
    ]
    if _are_derived(part, names, layers):  # one may decide another
        return dict.fromkeys(names)
    changed: dict[str, Any] = {}
    for name in names:
        if _are_derived(part, [name], layers):
            changed[name] = None
        elif isinstance(values[name], list):
            changed[name] = _repeated(values[name], layers)
    if "attention_types" in values:  # GPT-Neo's, with how often each pattern comes
        kinds = _repeated(part.attention_layers, layers)
        changed |= {"attention_types": [[kinds, 1]], "attention_layers": kinds}
    return changed


def _repeated(listed: list[Any], layers: int) -> list[Any]:
    return [listed[index % len(listed)] for index in range(layers)]


def _is_of_layers(value: object, layers: int) -> bool:
    """Whether a value is a list of something of each layer, or names some layers by number."""
    if isinstance(value, dict):
        return all(str(name).isdigit() and int(name) < layers for name in value)
    return isinstance(value, list) and len(value) == layers


def _are_derived(part: Config, names: list[str], layers: int) -> bool:
    """Whether a class derives what is listed from the depth, and so does for another depth."""
    values = {name: value for name, value in part.to_dict().items() if name not in names}
    depth = part.attribute_map.get("num_hidden_layers", "num_hidden_layers")
    try:
        same, other = (
            type(part).from_dict(values | {depth: number})
            for number in (part.num_hidden_layers, layers)
        )
    except Exception:  # a class that wants the list
        return False
    return all(
        getattr(same, name) == getattr(part, name) and _is_of_layers(getattr(other, name), layers)
        for name in names
    )
