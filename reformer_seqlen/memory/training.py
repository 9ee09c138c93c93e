"""Training memory of the curves of `memory.training`, at every depth and length."""

from functools import partial
from typing import Any

from torch import nn

from reformer_seqlen.memory.configurations import with_depth
from reformer_seqlen.memory.pool import Task
from reformer_seqlen.memory.prediction import Builder, predict, stock_reformer, trace_training
from reformer_seqlen.memory.rounding import mib, parts
from reformer_seqlen.models.configurations import Config, build, configuration
from reformer_seqlen.parameters.memory import Curve, MemoryStudy
from reformer_seqlen.runtime.messages import memory as messages


def training_tasks(study: MemoryStudy) -> dict[str, Task[dict[str, Any]]]:
    """The prediction of every point: curve by curve, then by depth, then by length."""
    return {
        f"{name}, {layers} layers, length {length}": partial(
            training_point, study, name, layers, length
        )
        for name in study.training.curves
        for layers in study.training.layers
        for length in study.training.sequence_lengths
    }


def training_point(study: MemoryStudy, name: str, layers: int, length: int) -> dict[str, Any]:
    """What training takes.

    Args:
        study: the memory section of params.yaml.
        name: of the curve.
        layers: of the model.
        length: of a sequence, in tokens.

    Raises:
        StudyError: the model cannot be trained so.
    """
    training = study.training
    curve = training.curves[name]
    trace = trace_training(
        _builder(study, curve, layers, length),
        training.batch_size,
        length,
        training.optimizer,
        curve.checkpointing,
    )
    prediction = predict(trace)
    return {
        "curve": name,
        "model": curve.model,
        "layers": layers,
        "batch_size": training.batch_size,
        "sequence_length": length,
        "optimizer": training.optimizer,
        "weights_mib": mib(prediction.weights),
        "predicted_allocated_mib": mib(prediction.allocated),
        "predicted_reserved_mib": mib(prediction.reserved),
        "composition": parts(prediction.kinds),
    }


def _builder(study: MemoryStudy, curve: Curve, layers: int, length: int) -> Builder:
    where = f"memory.models.{curve.model}"
    config = with_depth(configuration(study.models[curve.model], where), layers, length, where)
    if config.model_type == "reformer":
        return partial(stock_reformer, config, curve.reversible)
    return partial(_build_of_depth, config, layers, where)


def _build_of_depth(config: Config, layers: int, where: str) -> nn.Module:
    """Make the model, which has a list of so many layers.

    Raises:
        StudyError: it does not heed its configuration's depth.
    """
    model = build(config)
    lists = (module for module in model.modules() if isinstance(module, nn.ModuleList))
    if all(len(module) != layers for module in lists):
        raise messages.depth_not_heeded(where, config.model_type, layers)
    return model
