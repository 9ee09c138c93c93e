"""Muon for matrices (Jordan et al. 2024, torch.optim.Muon), AdamW for everything else."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

BETAS = (0.9, 0.95)
"""Of AdamW beside Muon, as its author uses it."""


class Both(torch.optim.Optimizer):
    """Two optimizers as one: the groups of both follow one schedule and are saved together."""

    def __init__(self, matrices: torch.optim.Optimizer, others: torch.optim.Optimizer) -> None:
        self.parts = (matrices, others)
        # The parts hold the state. This holds their groups, whose learning rates a schedule sets.
        super().__init__([group for part in self.parts for group in part.param_groups], {})
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update all parameters."""
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """The states of both."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Put back what `state_dict` gave."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]


def muon(
    model: nn.Module, matrix_learning_rate: float, learning_rate: float, weight_decay: float
) -> Both:
    """An optimizer for a model: Muon for the matrices inside its layers, AdamW for the rest.

    Args:
        model: its embeddings, position tables and output are no matrices in this sense: each row
            stands for itself.
        matrix_learning_rate: of Muon.
        learning_rate: of AdamW.
        weight_decay: of both.
    """
    tables, turned = _tables(model), _turned(model)
    matrices: dict[float, list[nn.Parameter]] = {}
    others: list[nn.Parameter] = []
    for parameter in model.parameters():
        if parameter.ndim == 2 and id(parameter) not in tables:
            matrices.setdefault(turned.get(id(parameter), 1.0), []).append(parameter)
        else:
            others.append(parameter)
    # A step of decay is the rate times the decay, and stays what was asked for.
    groups = [
        {"params": found, "lr": matrix_learning_rate * scale, "weight_decay": weight_decay / scale}
        for scale, found in matrices.items()
    ]
    return Both(
        torch.optim.Muon(groups, lr=matrix_learning_rate, weight_decay=weight_decay),
        torch.optim.AdamW(others, lr=learning_rate, weight_decay=weight_decay, betas=BETAS),
    )


def _turned(model: nn.Module) -> dict[int, float]:
    """What the rate of a matrix that is stored as (inputs, outputs) must be multiplied by.

    torch multiplies a rate by sqrt(max(1, rows / columns)), and takes rows for outputs. GPT-2's
    matrices are the other way round. Turned, the factors' ratio is sqrt(outputs / inputs).
    """
    found: dict[int, float] = {}
    for module in model.modules():
        if isinstance(module, Conv1D):
            inputs, outputs = module.weight.shape
            found[id(module.weight)] = math.sqrt(outputs / inputs)
    return found


def _tables(model: nn.Module) -> set[int]:
    """The parameters of embeddings of any kind, and of the output."""
    found = [module for module in model.modules() if "Embedding" in type(module).__name__]
    output = getattr(model, "get_output_embeddings", lambda: None)()
    modules: list[nn.Module] = found if output is None else [*found, output]
    return {id(parameter) for module in modules for parameter in module.parameters()}
