"""The memory that a model takes, predicted from its configuration alone.

A run on the meta device is recorded (tracker.py) and sent through a simulated caching allocator
(allocator.py): what a GPU's process would hold, to the MiB, without a GPU.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MethodType
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reformer_seqlen.memory.trace import (
    ACTIVATIONS,
    CACHE,
    GRADIENTS,
    INPUTS,
    LOGITS,
    OPTIMIZER,
    POSITIONS,
    WEIGHTS,
    Trace,
)
from reformer_seqlen.memory.tracker import Tracker, on_meta
from reformer_seqlen.models.configurations import Config, build, check_length
from reformer_seqlen.models.muon import muon
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.messages import memory as messages

Builder = Callable[[], nn.Module]
"""Makes a model on the default device."""
OptimizerName = Literal["adafactor", "adamw", "muon"]


@dataclass(frozen=True)
class Prediction:
    """What a recorded run takes; everything in bytes.

    Attributes:
        weights: parameters, position table and buffers.
        allocated: the most in use at once (torch.cuda.max_memory_allocated).
        reserved: the most taken from the GPU (torch.cuda.max_memory_reserved); with the CUDA
            context it is what nvidia-smi shows.
        kinds: the parts of `allocated` by what they are for, the largest first; they add up to it.
        modules: the same by the module that asked for them.
    """

    weights: int
    allocated: int
    reserved: int
    kinds: dict[str, int]
    modules: dict[str, int]


def predict(trace: Trace, cublas_workspace: int = 0) -> Prediction:
    """What a recorded run takes on a GPU that is large enough.

    Args:
        trace: the run.
        cublas_workspace: bytes that cuBLAS takes of the allocator's; none with torch of 2021, and
            none on a CPU.
    """
    trace = trace.with_workspaces(cublas_workspace)
    allocator = trace.replay()
    held = trace.held_at_peak()
    kinds = _sums(held, trace.kinds)
    return Prediction(
        weights=kinds.get(WEIGHTS, 0) + kinds.get(POSITIONS, 0),
        allocated=allocator.peak_allocated,
        reserved=allocator.peak_reserved,
        kinds=kinds,
        modules=_sums(held, trace.modules),
    )


def _sums(held: dict[int, int], labels: Sequence[str]) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for number, size in held.items():
        sums[labels[number]] += size
    return dict(sums.most_common())


def trace_inference(
    build_model: Builder, batch_size: int, sequence_length: int, ampere: bool = True
) -> Trace:
    """Record one forward pass as the study measured it: evaluation mode, no gradients.

    Args:
        build_model: makes the model.
        batch_size: sequences.
        sequence_length: tokens of each.
        ampere: whether the GPU is of compute capability 8.0 or higher.

    Raises:
        StudyError: the model does not run on this shape.
    """
    with on_meta(scalar=sequence_length - 1) as tracker:
        model = _made_on_meta(build_model).eval()
        tracker.place(model)
        with tracker.watching(ampere), torch.no_grad(), _explained(batch_size, sequence_length):
            outputs = model(_tokens(tracker, batch_size, sequence_length))
            _label_outputs(tracker, outputs)
        return tracker.trace


def trace_training(
    build_model: Builder,
    batch_size: int,
    sequence_length: int,
    optimizer: OptimizerName = "adafactor",
    checkpointing: bool = False,
    ampere: bool = True,
) -> Trace:
    """Record two updates: the second finds the optimizer's states already there.

    Args:
        build_model: makes the model.
        batch_size: sequences of one update.
        sequence_length: tokens of each.
        optimizer: `adafactor` as the study used it, or `adamw`.
        checkpointing: whether each layer's activations are computed again in the backward pass.
        ampere: whether the GPU is of compute capability 8.0 or higher.

    Raises:
        StudyError: the model cannot be trained so.
    """
    with on_meta(scalar=sequence_length - 1) as tracker:
        model = _made_on_meta(build_model).train()
        tracker.place(model)
        start = len(tracker.trace.events)
        with tracker.watching(ampere), _explained(batch_size, sequence_length):
            if checkpointing:
                _checkpoint(model)
            stepper = make_optimizer(optimizer, model)
            _update(tracker, model, stepper, batch_size, sequence_length)
        return _with_a_second_update(tracker.trace, start)


def _update(
    tracker: Tracker,
    model: nn.Module,
    stepper: torch.optim.Optimizer,
    batch_size: int,
    sequence_length: int,
) -> None:
    tokens = _tokens(tracker, batch_size, sequence_length)
    labels = _tokens(tracker, batch_size, sequence_length)
    loss = model(tokens, labels=labels, use_cache=False).loss
    with tracker.all_as(ACTIVATIONS):
        loss.backward()
    del loss, tokens, labels
    tracker.label([parameter.grad for parameter in model.parameters()], GRADIENTS)
    with tracker.all_as(OPTIMIZER):
        stepper.step()
    stepper.zero_grad(set_to_none=True)


def make_optimizer(name: OptimizerName, model: nn.Module) -> torch.optim.Optimizer:
    """An optimizer as the Trainer makes it; AdamW's on a GPU works on all tensors at once."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if name == "adamw":
        return torch.optim.AdamW(parameters, foreach=True)
    if name == "muon":
        return muon(model, 0.02, 1e-3, 0.01)
    from transformers.optimization import Adafactor

    adafactor: torch.optim.Optimizer = Adafactor(
        parameters, lr=1e-3, scale_parameter=False, relative_step=False
    )
    return adafactor


def _with_a_second_update(trace: Trace, start: int) -> Trace:
    """Append the update once more; what outlived it, the optimizer's states, is not made again.

    Args:
        trace: of a first update.
        start: the index of its first event, after the model was placed.
    """
    events = trace.events[start:]
    released = {~event for event in events if event < 0}
    renumbered: dict[int, int] = {}
    for event in events:
        if event < 0:
            trace.release(renumbered[~event])
        elif event in released:
            renumbered[event] = trace.request(
                trace.sizes[event], trace.kinds[event], trace.modules[event]
            )
    return trace


def _made_on_meta(build_model: Builder) -> nn.Module:
    """A model without data; not all that makes tensors heeds the default device."""
    return build_model().to("meta")


def _tokens(tracker: Tracker, batch_size: int, sequence_length: int) -> Tensor:
    with tracker.all_as(INPUTS):
        return torch.zeros((batch_size, sequence_length), dtype=torch.int64)


def _label_outputs(tracker: Tracker, outputs: dict[str, Any]) -> None:
    """Beside the logits, a causal LM gives back what it keeps for the next token."""
    tracker.label(outputs["logits"], LOGITS)
    tracker.label([value for name, value in outputs.items() if name != "logits"], CACHE)


@contextmanager
def _explained(batch_size: int, sequence_length: int) -> Iterator[None]:
    """Turn what a model raises within the block into one message for people."""
    try:
        yield
    except StudyError:
        raise
    except Exception as error:
        raise messages.does_not_run(batch_size, sequence_length, error) from error


def _checkpoint(model: nn.Module) -> None:
    if not getattr(model, "supports_gradient_checkpointing", False):
        raise messages.no_checkpointing(type(model).__name__)
    enable: Callable[[], None] = model.activation_checkpointing_enable  # type: ignore[assignment]
    enable()


def stock_reformer(config: Config, reversible: bool, dtype: torch.dtype | None = None) -> nn.Module:
    """The Reformer of transformers, reversible as it comes or with plain residual layers."""
    model = build(config, dtype)
    if not reversible:
        encoder: Any = model.get_submodule("reformer.encoder")
        encoder.forward = MethodType(_plain_residuals, encoder)
    return model


def _plain_residuals(
    encoder: Any,
    hidden_states: Tensor,
    attention_mask: Tensor | None = None,
    num_hashes: int | None = None,
    **_: Any,
) -> Any:
    """ReformerEncoder.forward without the reversible function: every activation is kept."""
    from transformers.models.reformer.modeling_reformer import ReformerEncoderOutput

    first, second = hidden_states, hidden_states
    for layer in encoder.layers:
        first = first + layer.attention(second, attention_mask, num_hashes=num_hashes).hidden_states
        second = second + layer.feed_forward(first)
    both = encoder.layer_norm(torch.cat([first, second], dim=-1))
    both = F.dropout(both, p=encoder.dropout, training=encoder.training)
    return ReformerEncoderOutput(both, [], [], None)


def reformer_training_memory(
    config: Config,
    batch_size: int,
    sequence_length: int,
    *,
    reversible: bool,
    optimizer: OptimizerName = "adafactor",
    build_reformer: Callable[[Config, bool], nn.Module] = stock_reformer,
) -> Prediction:
    """What training a Reformer takes, with reversible layers or without.

    Args:
        config: the Reformer's configuration; axial positions must fit the length, as in training.
        batch_size: sequences of one update.
        sequence_length: tokens of each, a multiple of the chunk lengths.
        reversible: whether activations are computed again in the backward pass instead of kept.
        optimizer: as in params.yaml's `train`.
        build_reformer: makes the model from the configuration and `reversible`.

    Raises:
        StudyError: the model cannot be trained on this shape.
    """
    check_length(config, sequence_length)
    trace = trace_training(
        lambda: build_reformer(config, reversible), batch_size, sequence_length, optimizer
    )
    return predict(trace)
