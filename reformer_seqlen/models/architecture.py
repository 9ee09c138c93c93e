"""A fresh base model's configuration, from params.yaml."""

import torch
from transformers import ReformerConfig

from reformer_seqlen.parameters.models import Model, Pretraining
from reformer_seqlen.reformer.crime_and_punishment import CRIME_AND_PUNISHMENT
from reformer_seqlen.reformer.model import configured, create_reformer
from reformer_seqlen.runtime.messages import models as messages


def architecture(name: str, model: Model, recipe: Pretraining) -> ReformerConfig:
    """The default architecture, overridden by the recipe and the model's options.

    Raises:
        StudyError: the recipe's `architecture` has an unknown name, or no Reformer can be built.
    """
    key = f"models.{name}.pretraining.architecture"
    unknown = recipe.architecture.keys() - ReformerConfig().to_dict().keys()
    if unknown:
        raise messages.unknown_settings(key, sorted(unknown), CRIME_AND_PUNISHMENT)
    try:
        settings = {**CRIME_AND_PUNISHMENT, **recipe.architecture}
        config = configured(
            ReformerConfig(
                **settings,
                vocab_size=recipe.pieces,
                axial_pos_embds=model.options.positions == "axial",
            ),
            key,
            sequence_length=recipe.sequence_length,
            **model.options.model_dump(),
        )
        with torch.device("meta"):  # without memory: only whether it can be built
            create_reformer(config, model.options.implementation)
    except Exception as error:  # transformers' checks raise many kinds
        raise messages.no_reformer(key, error) from error
    return config
