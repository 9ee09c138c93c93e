"""Layers computed by calling their modules, where one of these is not as stock made it.

`layers` reads the modules' weights and calls none, which is much faster, but would pass over what
others do to a module: adapters (PEFT), hooks, pruning, parametrizations, quantization, offloading.
So every pass begins with `calls_modules`. If it says so, the functions below compute the same as
those of `layers`, and torch differentiates them.

Shapes: B batch, L length, M hidden size, H heads, D head size.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.reformer import modeling_reformer as stock

from reformer_seqlen.reformer.dropout import Dropout, dropped_
from reformer_seqlen.runtime.messages import reformer as messages

PASSED_OVER: dict[type, frozenset[str]] = {
    stock.ReformerModel: frozenset(),
    stock.ReformerEmbeddings: frozenset({"word_embeddings"}),
    stock.AxialPositionEmbeddings: frozenset(),
    nn.ParameterList: frozenset(),
    stock.PositionEmbeddings: frozenset({"embedding"}),
    stock.ReformerEncoder: frozenset({"layer_norm"}),
    nn.ModuleList: frozenset(),
    stock.ReformerLayer: frozenset(),
    stock.ReformerAttention: frozenset({"layer_norm"}),
    stock.LocalSelfAttention: frozenset({"query", "key", "value"}),
    stock.LSHSelfAttention: frozenset({"query_key", "value"}),
    stock.ReformerSelfOutput: frozenset({"dense"}),
    stock.ChunkReformerFeedForward: frozenset({"layer_norm"}),
    stock.ReformerFeedForwardDense: frozenset({"dense", "act_fn"}),
    stock.ReformerFeedForwardOutput: frozenset({"dense"}),
}
"""Modules that are never called, and those in them that can be."""
PLAIN = (nn.Linear, nn.LayerNorm, nn.Embedding, nn.ReLU)
"""The kinds of those as stock makes them."""


class OutputLayer(stock.ReformerOnlyLMHead):  # type: ignore[misc]
    """Stock's, and its bias is added."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Logits (..., V) of hidden_states (..., 2*M)."""
        logits: Tensor = self.decoder(hidden_states) + self.bias
        return logits


def calls_modules(model: Any) -> bool:
    """Whether a module of the Reformer does more than its weights say, and has to be called.

    Raises:
        StudyError: it is one that can't be called.
    """
    body, head = model.reformer, model.lm_head
    _refuse_if_changed(model, body)
    plain_head = type(head) is OutputLayer and not _is_hooked(head)
    return _has_changes(model, body) or not plain_head or not _is_plain(head.decoder)


def _has_changes(model: nn.Module, module: nn.Module) -> bool:
    callable_names, found = PASSED_OVER[type(module)], False
    for name, child in module._modules.items():
        assert child is not None
        if name in callable_names:
            found = found or not _is_plain(child)
        else:
            _refuse_if_changed(model, child)
            found = _has_changes(model, child) or found
    return found


def _refuse_if_changed(model: nn.Module, module: nn.Module) -> None:
    if type(module) in PASSED_OVER:
        # accelerate's offload hooks modules for buffers, too, and those of stock's are not used
        offloaded = "_hf_hook" in vars(module) and not module._parameters
        if offloaded or not _is_hooked(module):
            return
    name = next(name for name, found in model.named_modules() if found is module)
    raise messages.never_called(name, type(module).__name__)


def _is_plain(module: nn.Module) -> bool:
    return type(module) in PLAIN and not _is_hooked(module)


def _is_hooked(module: nn.Module) -> bool:
    """Whether a call of the module does more than its class says."""
    return bool(
        module._forward_pre_hooks
        or module._forward_hooks
        or module._backward_pre_hooks
        or module._backward_hooks
        or "forward" in vars(module)
    )


def projected(kind: str, module: Any, inputs: Tensor) -> Tensor:
    """The projections of an attention module's inputs (..., M), laid out as its kind wants them.

    Returns:
        local: (..., 3*H*D), queries, keys and values; the scores' 1 / sqrt(D) goes to queries.
        lsh: (..., H*2*D), of every head the shared query/keys, then the values.
    """
    attention, normed = module.self_attention, module.layer_norm(inputs)
    if kind == "local":
        queries = attention.query(normed) * attention.attention_head_size**-0.5
        return torch.cat([queries, attention.key(normed), attention.value(normed)], dim=-1)
    by_head = (attention.num_attention_heads, attention.attention_head_size)
    shared = attention.query_key(normed).unflatten(-1, by_head)
    values = attention.value(normed).unflatten(-1, by_head)
    return torch.cat([shared, values], dim=-1).flatten(-2)


def add_outputs(module: Any, stream: Tensor, outputs: Tensor, dropout: Dropout) -> Tensor:
    """The stream (..., M) plus an attention module's projection of outputs (..., H*D)."""
    return stream + dropped(module.output.dense(outputs).to(stream.dtype), dropout)


def add_feed_forward(
    module: Any, stream: Tensor, inputs: Tensor, dropouts: tuple[Dropout, Dropout]
) -> Tensor:
    """The stream plus a feed-forward module's layers over its normalised inputs. Both (..., M)."""
    inner, outer = module.dense, module.output
    hidden = inner.act_fn(dropped(inner.dense(module.layer_norm(inputs)), dropouts[0]))
    return stream + dropped(outer.dense(hidden).to(stream.dtype), dropouts[1])


def dropped(values: Tensor, dropout: Dropout) -> Tensor:
    """dropout(values), not in place: a hook may have kept them."""
    return dropped_(values.clone(), dropout) if dropout.probability else values
