"""Run a model without weights, data or a GPU, and record every request for memory that it makes.

On the meta device an operator computes shapes and nothing else, so a run takes a fraction of a
second whatever the length. A dispatch mode sees each operator; a storage that appears for the first
time is a request, and a weak reference tells when nothing holds it any more.
"""

import gc
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from torch.utils._python_dispatch import TorchDispatchMode

from reformer_seqlen.memory.attention import attention, safe_softmax, scratch
from reformer_seqlen.memory.shape_cache import ShapeCache
from reformer_seqlen.memory.trace import (
    ACTIVATIONS,
    CUBLAS,
    CUBLASLT,
    LOGITS,
    POSITIONS,
    WEIGHTS,
    Trace,
)
from reformer_seqlen.runtime.messages import memory as messages

aten = torch.ops.aten
PRODUCTS = {
    *(aten.mm.default, aten.mm.out, aten.addmm.default, aten.addmm.out),
    *(aten.bmm.default, aten.bmm.out, aten.baddbmm.default, aten.baddbmm_.default),
}
"""What cuBLAS computes. At the first in a thread, torch gives it a workspace of the allocator's,
once the product's own result is there, and keeps it (aten/src/ATen/cuda/CublasHandlePool.cpp). The
backward pass has a thread of its own."""
WITH_A_BIAS = {aten.addmm.default, aten.addmm.out}
"""Those of one bias for all rows are cuBLASLt's, which has a workspace of its own."""
MOST_OPERATORS = 400_000
"""A recording ends where there are more, after less than half a minute. A deep model takes some ten
thousand for an update; one that loops over its positions, as Mamba and RWKV do without kernels of
their own, takes as many for every few tokens."""
POSITION_NAMES = ("position", "wpe", "embed_pos")
"""How transformers' models call the module that holds their table of positions."""


class Tracker(TorchDispatchMode):
    """Records the storages that operators make, and when each is gone.

    Attributes:
        trace: what was recorded.
        kind: what the storages that now appear are for.
    """

    def __init__(self, scalar: int) -> None:
        """Make a tracker.

        Args:
            scalar: the answer to `.item()`, which a tensor without data cannot give. Reformer's
                axial positions ask for the last position (AxialPositionEmbeddings.forward).
        """
        super().__init__()
        self.trace = Trace()
        self.kind = ACTIVATIONS
        self._scalar = scalar
        self._operators = 0
        self._alive: dict[int, tuple[int, weakref.ref[Any]]] = {}
        self._workspaces: set[tuple[str, bool]] = set()
        self._shapes = ShapeCache()
        self._path: list[str] = [""]
        self._names: dict[nn.Module, str] = {}
        self._model: nn.Module | None = None
        self._head: nn.Module | None = None

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run an operator and record what it allocates.

        Raises:
            StudyError: there were too many operators before.
        """
        self._operators += 1
        if self._operators > MOST_OPERATORS:
            raise messages.too_many_operators(MOST_OPERATORS)
        if func is aten._local_scalar_dense.default:
            return self._scalar
        if func is aten._safe_softmax.default:
            with self:
                return safe_softmax(*args)
        beside = [self._request(size) for size in scratch(func, args)]
        result = self._shapes.run(func, args, kwargs or {})
        for tensor in tensors_in(result):
            self.record(tensor)
        if func in PRODUCTS:
            self._give_workspaces(func in WITH_A_BIAS and args[0].dim() == 1)
        for number in beside:
            self.trace.release(number)
        return result

    def record(self, tensor: Tensor) -> None:
        """Count a tensor's storage, unless it is known or empty."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._alive or storage.nbytes() == 0:
            return
        number = self._request(storage.nbytes())

        def gone(_: Any) -> None:
            del self._alive[key]
            self.trace.release(number)

        self._alive[key] = (number, weakref.ref(storage, gone))

    def place(self, model: nn.Module) -> None:
        """Put a model's tensors on the GPU, in the order in which `model.to` moves them."""
        self._names = {module: family_of(name) for name, module in model.named_modules()}
        self._model, self._head = model, _output_embeddings(model)
        for module, name, tensor in _in_moving_order(model):
            self._path.append(self._names[module])
            is_table = any(part in name for part in POSITION_NAMES)
            with self.all_as(POSITIONS if is_table else WEIGHTS):
                self.record(tensor)
            self._path.pop()

    def label(self, value: Any, kind: str) -> None:
        """Say what the storages of all tensors in `value` are for; weights stay weights."""
        for tensor in tensors_in(value):
            known = self._alive.get(tensor.untyped_storage()._cdata)
            if known is not None and self.trace.kinds[known[0]] not in (WEIGHTS, POSITIONS):
                self.trace.kinds[known[0]] = kind

    @contextmanager
    def all_as(self, kind: str) -> Iterator[None]:
        """Storages that appear within the block are for `kind`."""
        before, self.kind = self.kind, kind
        try:
            yield
        finally:
            self.kind = before

    @contextmanager
    def watching(self, ampere: bool = True) -> Iterator[None]:
        """Record the operators in the block, and which module runs them.

        Args:
            ampere: whether the GPU is of compute capability 8.0 or higher.
        """
        with ExitStack() as stack:
            for handle in (
                register_module_forward_pre_hook(self._enter),
                register_module_forward_hook(self._leave, always_call=True),
            ):
                stack.callback(handle.remove)
            stack.enter_context(_kernels_of_a_gpu(ampere))
            stack.enter_context(self)
            yield

    def stop(self) -> None:
        """End the recording: what is freed from now on is no event of it."""
        self._alive.clear()

    def _give_workspaces(self, has_bias: bool) -> None:
        """Record those of a product that are not there yet in its thread."""
        is_backward = torch._C._current_graph_task_id() != -1
        for kind in (CUBLAS, CUBLASLT)[: 1 + has_bias]:
            if (kind, is_backward) not in self._workspaces:
                self._workspaces.add((kind, is_backward))
                with self.all_as(kind):
                    self._request(0)

    def _request(self, size: int) -> int:
        return self.trace.request(size, self.kind, self._path[-1])

    def _enter(self, module: nn.Module, _: Any) -> None:
        self._path.append(self._names.get(module, self._path[-1]))
        if module is self._model:
            self.kind = ACTIVATIONS
        elif module is self._head:
            self.kind = LOGITS

    def _leave(self, *_: Any) -> None:
        self._path.pop()


@contextmanager
def on_meta(scalar: int) -> Iterator[Tracker]:
    """Yield a tracker; within the block new tensors have shapes but no data.

    Nothing is left behind: models that draw seeds (Reformer does) leave the generators as they
    were, and the garbage collector waits, so that releases come in the same order every time.
    """
    on_gpu = torch.cuda.is_initialized()
    gpus = range(torch.cuda.device_count()) if on_gpu else ()
    collects = gc.isenabled()
    gc.disable()
    tracker = Tracker(scalar)
    try:
        with torch.random.fork_rng(devices=gpus), torch.device("meta"):
            yield tracker
    finally:
        tracker.stop()
        if collects:
            gc.enable()


@contextmanager
def _kernels_of_a_gpu(ampere: bool) -> Iterator[None]:
    """Replace what allocates otherwise on a GPU, as long as the block lasts.

    A GPU's dropout keeps a mask of bytes (native_dropout), the CPU's one of floats; a GPU has other
    kernels of attention. The product over experts (grouped_mm) works in float32 too, which the meta
    device refuses.
    """
    kernels: dict[str, Callable[..., Tensor]] = {
        "dropout": _dropout,
        "scaled_dot_product_attention": partial(attention, ampere=ampere),
        "grouped_mm": _grouped_mm,
    }
    before = {name: getattr(F, name) for name in kernels}
    _replace(kernels)
    try:
        yield
    finally:
        _replace(before)


def _replace(kernels: dict[str, Callable[..., Tensor]]) -> None:
    for name, kernel in kernels.items():
        setattr(F, name, kernel)


def _dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:  # noqa: A002
    return torch.native_dropout(input, p, True)[0] if training and p > 0 else input


def _grouped_mm(input: Tensor, weight: Tensor, offs: Tensor) -> Tensor:  # noqa: A002
    """Each group of rows times its own matrix: transformers' operator, which asks for the same."""
    product: Tensor = torch.ops.transformers.grouped_mm_fallback(input, weight, offs)
    return product


def _in_moving_order(module: nn.Module, path: str = "") -> Iterator[tuple[nn.Module, str, Tensor]]:
    """The tensors of a module in the order of nn.Module._apply: children first, then its own."""
    for name, child in module.named_children():
        yield from _in_moving_order(child, f"{path}{name}.")
    for own in (module._parameters, module._buffers):
        for name, tensor in own.items():
            if tensor is not None:
                yield module, path + name, tensor


def _output_embeddings(model: nn.Module) -> nn.Module | None:
    find: Callable[[], nn.Module | None] | None = getattr(model, "get_output_embeddings", None)
    return find() if find is not None else None


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Every tensor that a value holds; containers and plain objects (caches) are searched."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, dict):
        yield from tensors_in(list(value.values()))
    elif hasattr(value, "__dict__"):
        yield from tensors_in(vars(value))


@cache
def family_of(name: str) -> str:
    """The part of a model that a module belongs to, the same for each of its layers.

    `reformer.encoder.layers.3.attention.self_attention.query` becomes
    `reformer.encoder.layers.*.attention`, `reformer.embeddings.word_embeddings` becomes
    `reformer.embeddings`.
    """
    parts = name.split(".")
    for index, part in enumerate(parts):
        if part.isdigit():
            return ".".join([*parts[:index], "*", *parts[index + 1 : index + 2]])
    return ".".join(parts[:2])
