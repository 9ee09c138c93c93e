"""Operators whose result is made again: as if they had been run, storages included."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from reformer_seqlen.memory.shape_cache import ShapeCache

aten = torch.ops.aten


class Counted:
    """An operator that counts how often it is run."""

    def __init__(self, operator: Any) -> None:
        self.runs = 0
        self._operator = operator

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run it."""
        self.runs += 1
        return self._operator(*args, **kwargs)


def meta(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata  # type: ignore[no-any-return]


def test_an_operator_runs_once_for_the_same_shapes() -> None:
    cache, add = ShapeCache(), Counted(aten.add.Tensor)
    first, second = (cache.run(add, (meta(2, 3), meta(3)), {}) for _ in "ab")
    assert add.runs == 1
    assert first.shape == second.shape == (2, 3)
    assert storage(first) != storage(second)
    assert second.device.type == "meta"


@pytest.mark.parametrize(
    ("args", "others"),
    [
        ((meta(2, 3), meta(3)), (meta(2, 3), meta(2, 3))),
        ((meta(2, 3), meta(3)), (meta(2, 3, dtype=torch.float64), meta(3))),
        ((meta(3, 3), meta(3)), (meta(3, 3).t(), meta(3))),
        ((meta(3, dtype=torch.int64), 2), (meta(3, dtype=torch.int64), 2.0)),
    ],
)
def test_what_decides_the_result_is_told_apart(args: Any, others: Any) -> None:
    cache, add = ShapeCache(), Counted(aten.add.Tensor)
    for given in (args, others):
        found, expected = cache.run(add, given, {}), aten.add.Tensor(*given)
        assert (found.shape, found.stride(), found.dtype) == (
            expected.shape,
            expected.stride(),
            expected.dtype,
        )
    assert add.runs == 2


def test_keywords_count() -> None:
    cache, total = ShapeCache(), Counted(aten.sum.dim_IntList)
    kept, gone = (
        cache.run(total, (meta(2, 3), [1], keepdim), {"dtype": dtype})
        for keepdim, dtype in ((True, torch.float64), (False, torch.float32))
    )
    assert (kept.shape, kept.dtype) == ((2, 1), torch.float64)
    assert (gone.shape, gone.dtype) == ((2,), torch.float32)


def test_views_share_the_storage_of_what_they_are_given() -> None:
    cache = ShapeCache()
    for operator, args in ((aten.t.default, ()), (aten._unsafe_view.default, ([6],))):
        for _ in range(2):
            x = meta(2, 3)
            assert storage(cache.run(operator, (x, *args), {})) == storage(x)


def test_an_operator_in_place_returns_its_tensor() -> None:
    cache, double = ShapeCache(), Counted(aten.mul_.Tensor)
    for _ in range(2):
        x = meta(2, 3)
        assert cache.run(double, (x, 2.0), {}) is x
    assert double.runs == 1


def test_what_changes_a_shape_in_place_is_always_run() -> None:
    cache = ShapeCache()
    for _ in range(2):
        x = meta(2, 3)
        assert cache.run(aten.t_.default, (x,), {}).shape == (3, 2)
        assert x.shape == (3, 2)


def test_another_storage_in_place_is_always_set() -> None:
    cache = ShapeCache()
    for _ in range(2):
        x, source = meta(6), meta(6)
        cache.run(aten.set_.source_Tensor, (x, source), {})
        assert storage(x) == storage(source)


def test_several_results_are_made_again() -> None:
    cache, norm = ShapeCache(), Counted(aten.native_layer_norm.default)
    for _ in range(2):
        results = cache.run(norm, (meta(4, 8), [8], meta(8), meta(8), 1e-5), {})
        assert [tuple(result.shape) for result in results] == [(4, 8), (4, 1), (4, 1)]
        assert len({storage(result) for result in results}) == 3
    assert norm.runs == 1
    halves, x = Counted(aten.split.Tensor), meta(4, 8)
    for _ in range(2):
        assert {storage(half) for half in cache.run(halves, (x, 2), {})} == {storage(x)}
    assert halves.runs == 2


def test_a_failure_is_no_result() -> None:
    cache = ShapeCache()
    for _ in range(2):
        with pytest.raises(RuntimeError, match="broadcast"):
            cache.run(aten.add.Tensor, (meta(2), meta(3)), {})


def test_tensors_with_data_are_computed() -> None:
    for operator in (aten.mul.Tensor, aten.mul_.Tensor):
        cache = ShapeCache()
        assert cache.run(operator, (torch.tensor([1.0]), 2), {}).item() == 2
        assert cache.run(operator, (torch.tensor([3.0]), 2), {}).item() == 6


def test_gradients_are_those_of_the_operators() -> None:
    class Cached(TorchDispatchMode):
        cache = ShapeCache()

        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            """Run an operator through the cache."""
            return self.cache.run(func, args, kwargs or {})

    weight = torch.nn.Parameter(meta(3, 3))
    with Cached():
        x = meta(2, 3)
        for _ in range(4):
            x = torch.relu(x @ weight)
        x.sum().backward()
    assert weight.grad is not None
    assert weight.grad.shape == (3, 3)
