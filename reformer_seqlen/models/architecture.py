"""A fresh base model's configuration, from params.yaml."""

import torch
from transformers import ReformerConfig

from reformer_seqlen.parameters.models import Model, Pretraining
from reformer_seqlen.reformer.model import configured, create_reformer
from reformer_seqlen.reformer.published import PUBLISHED_ARCHITECTURE
from reformer_seqlen.runtime.errors import StudyError


def architecture(name: str, model: Model, recipe: Pretraining) -> ReformerConfig:
    """The published architecture, with what the recipe and the model's options say over it.

    Raises:
        StudyError: the recipe's `architecture` has an unknown name or makes no Reformer.
    """
    key = f"models.{name}.pretraining.architecture"
    unknown = recipe.architecture.keys() - ReformerConfig().to_dict().keys()
    if unknown:
        raise StudyError(
            f"{key}: a Reformer's configuration has no {', '.join(sorted(unknown))};"
            f" published is {', '.join(PUBLISHED_ARCHITECTURE)}"
        )
    try:
        published = {**PUBLISHED_ARCHITECTURE, **recipe.architecture}
        config = configured(
            ReformerConfig(
                **published,
                vocab_size=recipe.pieces,
                axial_pos_embds=model.positions == "axial",
            ),
            key,
            sequence_length=recipe.sequence_length,
            **model.options(),
        )
        with torch.device("meta"):  # only to see whether it builds
            create_reformer(config, model.implementation)
    except Exception as error:  # transformers' checks raise many kinds
        raise StudyError(f"{key} makes no Reformer: {' '.join(str(error).split())}") from error
    return config
