"""Muon for matrices (Jordan et al. 2024, torch.optim.Muon), AdamW for everything else."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

BETAS = (0.9, 0.95)
"""Of AdamW beside Muon, as its author uses it."""
STACK_ELEMENTS = 2**21
"""Of the matrices that are updated at once: larger ones gain nothing, and take memory."""


class StackedMuon(torch.optim.Muon):
    """torch's Muon, its products taken of all matrices of one shape at once.

    A small model has many small matrices, and torch takes fifteen products of each by itself. The
    update is the same.

    Args:
        params, lr, weight_decay: as torch's.
        products: the dtype in which they are taken; torch's are in bfloat16.
    """

    def __init__(
        self, params: Any, lr: float, weight_decay: float, products: torch.dtype = torch.bfloat16
    ) -> None:
        super().__init__(params, lr=lr, weight_decay=weight_decay)
        self.products = products

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update all matrices."""
        for group in self.param_groups:
            for stack in _stacks(each for each in group["params"] if each.grad is not None):
                self._update(stack, group)

    def _update(self, matrices: list[Tensor], group: dict[str, Any]) -> None:
        """Update matrices of one shape."""
        gradients = [each.grad for each in matrices if each.grad is not None]
        momenta = [self._momentum(each) for each in matrices]
        torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        steps = torch.stack(torch._foreach_lerp(gradients, momenta, group["momentum"]))
        numbers = group["ns_coefficients"], group["ns_steps"], group["eps"]
        steps = orthogonal(steps.to(self.products), *numbers)
        rows, columns = matrices[0].shape
        rate = group["lr"] * math.sqrt(max(1, rows / columns))
        torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(matrices, steps.unbind(), alpha=-rate)

    def _momentum(self, matrix: Tensor) -> Tensor:
        state = self.state[matrix]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(matrix)
        buffer: Tensor = state["momentum_buffer"]
        return buffer


def _stacks(matrices: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Matrices of one shape, as many as are updated at once."""
    shapes: dict[torch.Size, list[Tensor]] = {}
    for each in matrices:
        shapes.setdefault(each.shape, []).append(each)
    for shape, found in shapes.items():
        at_once = max(1, STACK_ELEMENTS // shape.numel())
        for begin in range(0, len(found), at_once):
            yield found[begin : begin + at_once]


def orthogonal(
    matrices: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float
) -> Tensor:
    """Nearly the nearest matrices with singular values of 1, by Newton and Schulz's iteration.

    Args:
        matrices: (matrices, rows, columns), in the dtype of the products; they are overwritten.
        coefficients: of the polynomial that each step takes of them.
        steps: of the iteration.
        eps: the smallest norm that they are divided by.

    Returns:
        (matrices, rows, columns)
    """
    a, b, c = coefficients
    tall = matrices.shape[1] > matrices.shape[2]
    now = matrices.mT if tall else matrices
    now.div_(torch.linalg.vector_norm(now, dim=(1, 2), keepdim=True).clamp(min=eps))
    for _ in range(steps):
        gram = now @ now.mT  # (matrices, short side, short side)
        now = torch.baddbmm(now, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), now, beta=a)
    return now.mT if tall else now


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
    model: nn.Module,
    matrix_learning_rate: float,
    learning_rate: float,
    weight_decay: float,
    products: torch.dtype = torch.bfloat16,
) -> Both:
    """An optimizer for a model: Muon for the matrices inside its layers, AdamW for the rest.

    Args:
        model: its embeddings, position tables and output are no matrices in this sense: each row
            stands for itself.
        matrix_learning_rate: of Muon.
        learning_rate: of AdamW.
        weight_decay: of both.
        products: the dtype in which Muon takes its products.
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
    # Matrices that are spread over processes are of another type, and can't be stacked.
    whole = all(type(each) is nn.Parameter for found in matrices.values() for each in found)
    return Both(
        StackedMuon(groups, matrix_learning_rate, weight_decay, products)
        if whole
        else torch.optim.Muon(groups, matrix_learning_rate, weight_decay),
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
