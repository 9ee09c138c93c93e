"""What a recorded run holds, exactly, and what it leaves behind: nothing."""

import gc

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reformer_seqlen.memory.trace import (
    ACTIVATIONS,
    CUBLAS,
    INPUTS,
    LOGITS,
    POSITIONS,
    WEIGHTS,
    Trace,
)
from reformer_seqlen.memory.tracker import family_of, on_meta

FLOAT = 4


class Small(nn.Module):
    """Positions, one layer and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(8, 8, bias=False)])
        self.position_table = nn.Embedding(16, 8)
        self.head = nn.Linear(8, 32, bias=False)
        self.register_buffer("scale", torch.ones(3))

    def get_output_embeddings(self) -> nn.Module:
        """The head, as transformers' models call it."""
        return self.head

    def forward(self, x: Tensor) -> Tensor:
        """Some operators that allocate and some that do not."""
        x = self.layers[0](x)
        x.mul_(2)  # in place
        x = x.view(-1, 8).t().t()  # views
        logits: Tensor = self.head(x.relu())
        return logits


def _record() -> Trace:
    with on_meta(scalar=0) as tracker:
        model = Small()
        tracker.place(model)
        with tracker.watching(), torch.no_grad():
            with tracker.all_as(INPUTS):
                x = torch.zeros(5, 8)
            model(x)
        return tracker.trace


def test_every_storage_is_counted_once_with_its_size_and_purpose() -> None:
    trace = _record()
    rows = list(zip(trace.sizes, trace.kinds, trace.modules, strict=True))
    assert rows == [
        (8 * 8 * FLOAT, WEIGHTS, "layers.*"),  # children first, then the model's own buffer
        (16 * 8 * FLOAT, POSITIONS, "position_table"),
        (8 * 32 * FLOAT, WEIGHTS, "head"),
        (3 * FLOAT, WEIGHTS, ""),
        (5 * 8 * FLOAT, INPUTS, ""),
        (5 * 8 * FLOAT, ACTIVATIONS, "layers.*"),
        (0, CUBLAS, "layers.*"),  # how much depends on the GPU
        (5 * 8 * FLOAT, ACTIVATIONS, ""),
        (5 * 32 * FLOAT, LOGITS, "head"),
    ]


def test_a_storage_is_released_when_nothing_holds_it_any_more() -> None:
    events = _record().events
    assert events[:9] == list(range(9))
    # The hidden activations when the model returns; the logits, as nobody takes them. The inputs,
    # the weights and cuBLAS's workspace are still there when the recording ends.
    assert sorted(events[9:]) == [~8, ~7, ~5]
    assert events[-1] == ~8


def test_two_runs_give_the_same_trace() -> None:
    assert _record() == _record()


def test_item_is_answered() -> None:
    with on_meta(scalar=41) as tracker, tracker.watching():
        assert torch.zeros(3).max().item() == 41


def test_logsumexp_needs_room_for_a_copy_of_its_input() -> None:
    with on_meta(scalar=0) as tracker:
        x = torch.zeros(4, 100)
        with tracker.watching():
            torch.logsumexp(x, dim=-1)
    assert tracker.trace.sizes == [4 * 100 * FLOAT, 4 * FLOAT]
    assert tracker.trace.events[:3] == [0, 1, ~0]


def test_dropout_keeps_a_mask_of_bytes_as_on_a_gpu() -> None:
    with on_meta(scalar=0) as tracker:
        x = torch.zeros(4, 100)
        with tracker.watching():
            kept = F.dropout(x, 0.1, training=True)
            same = F.dropout(x, 0.1, training=False)
    assert tracker.trace.sizes == [4 * 100 * FLOAT, 4 * 100]
    assert same is x
    assert kept.shape == x.shape


def test_attention_keeps_no_weights() -> None:
    with on_meta(scalar=0) as tracker:
        query = torch.zeros(2, 3, 256, 16)
        with tracker.watching():
            F.scaled_dot_product_attention(query, query, query, is_causal=True)
    assert max(tracker.trace.sizes) == 2 * 3 * 256 * 16 * FLOAT
    assert sum(tracker.trace.sizes) < 2 * 3 * 256 * 256 * FLOAT


def test_nothing_is_left_behind() -> None:
    functions = F.dropout, F.scaled_dot_product_attention, F.grouped_mm
    state = torch.random.get_rng_state()
    with on_meta(scalar=0) as tracker, tracker.watching():
        torch.manual_seed(7)
        assert not gc.isenabled()
    assert gc.isenabled()
    assert (F.dropout, F.scaled_dot_product_attention, F.grouped_mm) == functions
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.zeros(1).device.type == "cpu"


def test_layers_of_the_same_kind_are_one_family() -> None:
    name = "reformer.encoder.layers.3.attention.self_attention.query"
    assert family_of(name) == "reformer.encoder.layers.*.attention"
    assert family_of("reformer.embeddings.word_embeddings") == "reformer.embeddings"
    assert family_of("transformer.h.11") == "transformer.h.*"
    assert family_of("lm_head") == "lm_head"
    assert family_of("") == ""
