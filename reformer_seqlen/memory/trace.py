"""What a run asks for and gives back, in order, whatever recorded it (`tracker` does)."""

from dataclasses import dataclass, field, replace

from reformer_seqlen.memory.allocator import CachingAllocator, held_at_peak, replay

WEIGHTS, POSITIONS, CACHE, LOGITS = "weights", "position table", "cache", "logits"
INPUTS, ACTIVATIONS = "inputs", "activations"
GRADIENTS, OPTIMIZER = "gradients", "optimizer"
CUBLAS, CUBLASLT = "workspace of cuBLAS", "workspace of cuBLASLt"
KINDS = (
    *(WEIGHTS, POSITIONS, ACTIVATIONS, LOGITS, CACHE, INPUTS, GRADIENTS, OPTIMIZER),
    *(CUBLAS, CUBLASLT),
)
"""What memory is for. The loss counts with the logits, an optimizer's scratch with its states,
gradients of activations with the activations."""
CUBLASLT_BYTES = 2**20
"""Its size, whatever the GPU (`_parseChosenWorkspaceSize` in aten/src/ATen/cuda/CUDABlas.cpp)."""


@dataclass
class Trace:
    """Every request of a run and every release, in order.

    Attributes:
        sizes: the bytes of request n.
        kinds: what request n was for, one of KINDS.
        modules: the module that asked for request n, shortened by `family_of`.
        events: n where request n was made, ~n where it was released.
    """

    sizes: list[int] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    modules: list[str] = field(default_factory=list)
    events: list[int] = field(default_factory=list)

    def request(self, size: int, kind: str, module: str) -> int:
        """Record a request and return its number."""
        number = len(self.sizes)
        self.sizes.append(size)
        self.kinds.append(kind)
        self.modules.append(module)
        self.events.append(number)
        return number

    def release(self, number: int) -> None:
        """Record that the request of that number is no longer needed."""
        self.events.append(~number)

    def with_workspaces(self, cublas: int) -> "Trace":
        """The same on a GPU where cuBLAS takes so many bytes; with 0, cuBLASLt takes none either.

        The recorded requests have no bytes: how many depends on the GPU.
        """
        taken = {CUBLAS: cublas, CUBLASLT: CUBLASLT_BYTES if cublas else 0}
        sizes = [taken.get(kind, size) for kind, size in zip(self.kinds, self.sizes, strict=True)]
        return replace(self, sizes=sizes)

    def workspaces(self) -> int:
        """The bytes of all workspaces, which stay until the end."""
        return sum(
            size
            for kind, size in zip(self.kinds, self.sizes, strict=True)
            if kind in (CUBLAS, CUBLASLT)
        )

    def replay(self) -> CachingAllocator:
        """Send the recorded requests through a caching allocator without a limit."""
        return replay(self.sizes, self.events)

    def held_at_peak(self) -> dict[int, int]:
        """The bytes that each live request held when the most were in use."""
        return held_at_peak(self.sizes, self.events)
