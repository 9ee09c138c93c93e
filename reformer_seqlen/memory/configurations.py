"""Configurations changed for the memory study: positions, depth, first layers."""

from reformer_seqlen.models.configurations import Config, Positions
from reformer_seqlen.runtime.messages import memory as messages


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


def with_depth(config: Config, layers: int, positions: int) -> Config:
    """A copy of a configuration with another depth and number of positions.

    A Reformer repeats the pattern of its attention layers, and its positions are learned: in
    training, axial ones are made for one length.
    """
    changed = type(config).from_dict(config.to_dict())
    changed.num_hidden_layers = layers
    changed.max_position_embeddings = positions
    if config.model_type == "reformer":
        pattern = config.attn_layers
        changed.attn_layers = [pattern[index % len(pattern)] for index in range(layers)]
        changed.axial_pos_embds = False
    return changed


def first_layers(config: Config, layers: int) -> Config:
    """A copy of a configuration that ends after so many layers; those are as they were."""
    changed = type(config).from_dict(config.to_dict())
    changed.num_hidden_layers = min(layers, config.num_hidden_layers)
    if config.model_type == "reformer":
        changed.attn_layers = config.attn_layers[:layers]
    return changed
