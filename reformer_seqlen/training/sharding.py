"""A model whose weights, gradients and optimizer states are spread over processes (FSDP2).

Each process holds a part of every tensor. What is saved and loaded are whole tensors, as of a model
that is not spread.
"""

import warnings
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.utils._pytree import tree_map
from transformers import PreTrainedModel

from reformer_seqlen.reformer.model import Reformer, StockReformer
from reformer_seqlen.runtime import ranks
from reformer_seqlen.training.determinism import device


def spread(model: PreTrainedModel) -> PreTrainedModel:
    """A copy of a model, spread over all processes.

    The weights of a layer are put together while it computes. A Reformer computes layers without
    calling them, so that its weights are put together for the whole of an update.
    """
    # The loss changes no logits in place, which is what this warns of.
    warnings.filterwarnings("ignore", "FSDP2-wrapped module", UserWarning)
    copy = deepcopy(model)
    mesh = init_device_mesh(device().type, (ranks.size(),))
    layers = () if isinstance(model, Reformer | StockReformer) else model._no_split_modules or ()
    for module in list(copy.modules()):
        if type(module).__name__ in layers:
            fully_shard(module, mesh=mesh)
    fully_shard(copy, mesh=mesh)
    return copy


def whole(values: Any) -> Any:
    """A state, or anything else that holds tensors, with whole ones; each process has to ask."""
    return tree_map(_whole_tensor, values)


def _whole_tensor(value: Any) -> Any:
    return value.full_tensor().cpu() if isinstance(value, DTensor) else value


def whole_weights(model: nn.Module) -> dict[str, Tensor]:
    """A model's state with whole tensors, of which tied ones are one; each process has to ask."""
    made: dict[Any, Tensor] = {}
    owners = {name: id(each) for name, each in model.named_parameters(remove_duplicate=False)}
    for name, value in model.state_dict().items():
        owner = owners.get(name, name)
        if owner not in made:  # the same ones, in the same order, in all processes
            made[owner] = _whole_tensor(value)
    return {name: made[owners.get(name, name)] for name in model.state_dict()}


@torch.no_grad()
def fill(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give a model the weights of whole tensors; what is tied to another one may be left out."""
    for name, own in model.state_dict().items():
        if name in state:
            own.copy_(_spread_like(own, state[name]))


@torch.no_grad()
def spread_states(optimizer: torch.optim.Optimizer) -> None:
    """Spread the whole tensors of an optimizer as the weights are that they belong to."""
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                values[name] = _spread_like(parameter, value)


def _spread_like(own: Tensor, value: Tensor) -> Tensor:
    value = value.to(own.device)
    if isinstance(own, DTensor) and not isinstance(value, DTensor):
        return distribute_tensor(value, own.device_mesh, own.placements)
    return value
