"""What only transformers knows of a study's models, asked before anything runs."""

import torch

from reformer_seqlen.memory.configurations import with_depth
from reformer_seqlen.models.configurations import build, check_length, configuration
from reformer_seqlen.parameters.model_options import REFORMER
from reformer_seqlen.parameters.study import Study
from reformer_seqlen.planning.trial import base_config
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.messages import models as model_messages
from reformer_seqlen.runtime.messages import parameters as messages


def check_models(params: Study) -> None:
    """Refuse architectures that make no model, and runs that want of a model what it has not.

    That is more positions, or other numbers of hash rounds of one whose layers do not hash.

    A Reformer's tables are checked with params.yaml. What a checkpoint is like is not known before
    it is fetched; its runs say so themselves.

    Raises:
        StudyError: the message names the key in params.yaml.
    """
    configs = {name: base_config(name, model) for name, model in params.models.items()}
    for name, run in params.runs.items():
        config = configs[run.model]
        if config is None:
            continue
        if config.model_type != REFORMER:
            check_length(config, run.sequence_length, f"runs.{name}")
        hashes = config.model_type == REFORMER and "lsh" in config.attn_layers
        if params.evaluation(name).hash_rounds and not hashes:
            raise messages.nothing_hashes(name, run.model)


def check_memory_models(params: Study) -> None:
    """Refuse configurations of `memory.models` that make no model, or none of the depths asked for.

    Raises:
        StudyError: the message names the key in params.yaml.
    """
    study, configs = params.memory, {}
    for name, values in study.models.items():
        where = f"memory.models.{name}"
        configs[name] = configuration(values, where)
        try:
            with torch.device("meta"):  # without memory: only whether it can be built
                build(configs[name])
        except StudyError as error:
            raise model_messages.no_model(where, error) from error
    for model in {curve.model for curve in study.training.curves.values()}:
        for layers in study.training.layers:
            length = max(study.training.sequence_lengths)
            with_depth(configs[model], layers, length, f"memory.models.{model}")
