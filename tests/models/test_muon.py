"""Muon for matrices and AdamW for the rest, as one optimizer."""

from copy import deepcopy

import pytest
import torch
from transformers.pytorch_utils import Conv1D

from reformer_seqlen.models import muon as optimizers
from reformer_seqlen.models.muon import Both, StackedMuon, muon, orthogonal
from tests.models_example import KINDS, made


def step(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """One update on a loss that every parameter has a gradient of."""
    loss = sum((parameter**2).sum() + parameter.sum() for parameter in model.parameters())
    assert isinstance(loss, torch.Tensor)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_matrices_inside_layers_go_to_muon_and_all_else_to_adamw(kind: str) -> None:
    model = made(kind)
    both = muon(model, 0.02, 0.001, 0.01)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    matrices, others = (
        {names[id(parameter)] for group in part.param_groups for parameter in group["params"]}
        for part in both.parts
    )
    assert matrices | others == set(names.values())
    assert not matrices & others
    assert matrices
    assert not [name for name in matrices if "emb" in name or "head" in name or "wte" in name]


def test_each_part_updates_as_it_does_alone() -> None:
    model, alone = made("llama"), made("llama")
    both = muon(model, 0.02, 0.001, 0.01)
    parts = muon(alone, 0.02, 0.001, 0.01).parts
    step(model, both)
    loss = sum((parameter**2).sum() + parameter.sum() for parameter in alone.parameters())
    loss.backward()
    for part in parts:
        part.step()
    for mine, theirs in zip(model.parameters(), alone.parameters(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("at_once", [3 * 6 * 10, 1])
def test_stacked_matrices_are_updated_as_torch_updates_each(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of five wide matrices, three are a stack and two the next; a tall one, and one unused."""
    monkeypatch.setattr(optimizers, "STACK_ELEMENTS", at_once)
    torch.manual_seed(0)
    shapes = [(6, 10)] * 5 + [(10, 6), (4, 4)]
    mine = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    theirs = [torch.nn.Parameter(each.detach().clone()) for each in mine]
    ours = StackedMuon(mine, lr=0.02, weight_decay=0.1)
    torchs = torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1)
    for _ in range(4):
        for one, other in zip(mine[:-1], theirs[:-1], strict=True):
            one.grad = torch.randn(one.shape)
            other.grad = one.grad.clone()
        before = [each.detach().clone() for each in mine]
        ours.step()
        torchs.step()
        for was, one, other in zip(before, mine, theirs, strict=True):  # bfloat16 has 8 bits
            torch.testing.assert_close(one - was, other - was, rtol=0.01, atol=2e-4)
    assert torch.equal(mine[-1], theirs[-1])


def test_products_in_float32_give_nearly_the_same_update() -> None:
    torch.manual_seed(0)
    first = torch.nn.Parameter(torch.randn(8, 20))
    other = torch.nn.Parameter(first.detach().clone())
    for parameter, products in ((first, torch.bfloat16), (other, torch.float32)):
        parameter.grad = torch.ones(8, 20).triu()
        StackedMuon([parameter], lr=1.0, weight_decay=0.0, products=products).step()
    assert 0 < (first - other).abs().max() < 0.05


@pytest.mark.parametrize("shape", [(3, 8, 20), (3, 20, 8)])
def test_the_iteration_brings_all_singular_values_near_to_1(shape: tuple[int, ...]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonal(matrices, (3.4445, -4.775, 2.0315), 5, 1e-7))
    assert 0.6 < values.min() < values.max() < 1.3


def test_a_matrix_is_updated_alike_however_it_is_stored() -> None:
    """GPT-2 stores (inputs, outputs) where a linear layer stores (outputs, inputs)."""
    torch.manual_seed(0)
    for inputs, outputs in ((8, 24), (24, 8), (8, 8)):
        linear, conv = torch.nn.Linear(inputs, outputs), Conv1D(outputs, inputs)
        with torch.no_grad():
            conv.weight.copy_(linear.weight.T)
            conv.bias.copy_(linear.bias)
        rows = torch.randn(5, inputs)
        both = [muon(module, 0.02, 0.001, 0.5) for module in (linear, conv)]
        for _ in range(3):
            for module, optimizer in zip((linear, conv), both, strict=True):
                module(rows).square().sum().backward()
                optimizer.step()
                optimizer.zero_grad()
        torch.testing.assert_close(conv.weight.T, linear.weight, rtol=0.02, atol=0.002)


def test_a_schedule_sets_the_rates_of_both_and_a_state_goes_on() -> None:
    model = made("gpt2")
    both = muon(model, 0.02, 0.001, 0.01)
    rates = [group["lr"] for part in both.parts for group in part.param_groups]
    schedule = torch.optim.lr_scheduler.LambdaLR(both, lambda done: 1 / (1 + done))
    step(model, both)
    schedule.step()
    halved = [rate / 2 for rate in rates]
    assert [group["lr"] for part in both.parts for group in part.param_groups] == halved
    other = made("gpt2")
    other.load_state_dict(model.state_dict())
    again: Both = muon(other, 0.02, 0.001, 0.01)
    again.load_state_dict(deepcopy(both.state_dict()))
    assert [group["lr"] for group in again.param_groups] == halved
    for each, optimizer in ((model, both), (other, again)):
        step(each, optimizer)
    for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, theirs)
