"""Predicted memory against the published table, against torch's own count, and against itself."""

import gc
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile

from reformer_seqlen.memory.allocator import MIB
from reformer_seqlen.memory.attention import kernel_of
from reformer_seqlen.memory.configurations import with_depth
from reformer_seqlen.memory.gpt2_2021 import build_as_in_2021
from reformer_seqlen.memory.prediction import (
    Prediction,
    make_optimizer,
    predict,
    reformer_training_memory,
    stock_reformer,
    trace_inference,
    trace_training,
)
from reformer_seqlen.memory.rows import model_of
from reformer_seqlen.memory.trace import GRADIENTS, KINDS, OPTIMIZER, POSITIONS, Trace
from reformer_seqlen.models.configurations import build, configuration
from reformer_seqlen.runtime.errors import StudyError
from tests.memory_example import (
    FUSED,
    NO_DROPOUT,
    OTHERS,
    PUBLISHED,
    TINY_GPT2,
    TINY_LLAMA,
    TINY_REFORMER,
    memory_study,
    row_name,
)

CONTEXT_MIB = 919
"""The one constant: what the study's GPU held beside the allocator's memory."""
GENERATOR_STATE = 5056
"""Bytes that checkpointing keeps of the CPU's random generator, layer by layer; of a GPU's, 16."""
SCALARS = 256
"""Bytes of a few tensors of one number, which a CPU makes where a GPU gets an argument."""
STUDY = memory_study()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small matrices are not worth a second thread, least of all one that is waited for."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def predict_row(name: str) -> Prediction:
    row = STUDY.rows[name]
    config, make = model_of(STUDY, name)
    return predict(trace_inference(partial(make, config), row.batch_size, row.sequence_length))


@pytest.mark.parametrize(
    ("name", "published_mib"),
    [
        (row_name(*model, length), mib)
        for model, lengths in PUBLISHED.items()
        for length, mib in lengths.items()
    ],
)
def test_every_published_row_is_predicted_with_one_constant(name: str, published_mib: int) -> None:
    prediction = predict_row(name)
    missed = -2 if name == "reformer-en8-learned-2048" else 0
    assert prediction.reserved == (published_mib - CONTEXT_MIB + missed) * MIB
    assert sum(prediction.kinds.values()) == prediction.allocated
    assert sum(prediction.modules.values()) == prediction.allocated
    assert set(prediction.kinds) <= set(KINDS)


def test_a_prediction_depends_on_nothing_around_it() -> None:
    alone = predict_row("tiny")
    torch.manual_seed(5)
    torch.set_num_threads(2)
    gc.collect()
    ballast = torch.zeros(1000, 1000)
    assert predict_row("tiny") == alone
    assert ballast.sum() == 0


def test_the_unused_position_table_is_half_a_gib() -> None:
    prediction = predict_row("reformer-cp-learned-256")
    assert prediction.kinds[POSITIONS] == 524288 * 256 * 4


def bytes_in_use(trace: Trace) -> int:
    """The most bytes of a trace in use at once, without a GPU's rounding."""
    used = peak = 0
    for event in trace.events:
        used += trace.sizes[event] if event >= 0 else -trace.sizes[~event]
        peak = max(peak, used)
    return peak


def bytes_counted_by_torch(work: Callable[[], Any]) -> int:
    """The most bytes that torch's CPU allocator had handed out at once during `work`."""
    gc.collect()
    gc.disable()
    try:
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            work()
    finally:
        gc.enable()
    results = profiler.profiler.kineto_results.events()
    used = peak = 0
    for event in sorted(results, key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            used += event.nbytes()
            peak = max(peak, used)
    return peak


def placed(model: nn.Module) -> int:
    """The bytes of a model's storages."""
    tensors = [*model.parameters(), *model.buffers()]
    storages = {tensor.data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values())


INFERENCE = {
    "reformer, axial": (TINY_REFORMER, build),
    "reformer, learned": (TINY_REFORMER | {"axial_pos_embds": False}, build),
    "reformer, four hashes": (TINY_REFORMER | {"num_hashes": 4}, build),
    "gpt2": (TINY_GPT2, build),
    "gpt2 without cache": (TINY_GPT2 | {"use_cache": False}, build),
    "gpt2 of 2021": (TINY_GPT2, build_as_in_2021),
    "llama": (TINY_LLAMA, build),
    **{name: (values, build) for name, values in OTHERS.items()},
    **{name: (values, build) for name, values in FUSED.items() if name != "a sliding window"},
}
"""With a mask, the CPU's kernel has a buffer of its own. It is seen where the peak is attention's,
of a sliding window; its training is compared below."""


@pytest.fixture
def _kernels_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the CPU work out attention as a whole where a GPU does, and by its one kernel elsewhere.

    Of its own choice, it has a kernel for grouped queries in float32, which a GPU has not.
    """
    attend = F.scaled_dot_product_attention

    def chosen(query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:
        mask, is_causal = options.get("attn_mask"), options.get("is_causal", False)
        kernel = kernel_of(query, key, value, mask, is_causal, options.get("enable_gqa", False))
        allowed = SDPBackend.MATH if kernel == "math" else SDPBackend.FLASH_ATTENTION
        with sdpa_kernel([allowed]):
            attended: Tensor = attend(query, key, value, **options)
        return attended

    monkeypatch.setattr(F, "scaled_dot_product_attention", chosen)


@pytest.mark.slow
@pytest.mark.usefixtures("_kernels_of_a_gpu")
@pytest.mark.parametrize("name", INFERENCE)
def test_inference_is_what_torch_counts(name: str) -> None:
    batch_size, length = 3, 512
    values, make = INFERENCE[name]
    builder = partial(make, configuration(values, name))
    model = builder().eval()
    tokens = torch.zeros((batch_size, length), dtype=torch.int64)

    @torch.no_grad()
    def work() -> None:
        model(tokens)

    work()  # what is made once is made here
    counted = bytes_counted_by_torch(work) + placed(model) + tokens.nbytes
    predicted = bytes_in_use(trace_inference(builder, batch_size, length))
    assert predicted == pytest.approx(counted, abs=SCALARS)


def without_dropout(values: dict[str, Any]) -> Any:
    return configuration(values | NO_DROPOUT[values["model_type"]], "test")


TRAINING: dict[str, Callable[[], nn.Module]] = {
    "reversible": partial(stock_reformer, with_depth(without_dropout(TINY_REFORMER), 2, 256), True),
    "plain": partial(stock_reformer, with_depth(without_dropout(TINY_REFORMER), 2, 256), False),
    "gpt2": partial(build, without_dropout(TINY_GPT2)),
    "mixtral": partial(build, configuration(OTHERS["mixtral"], "test")),
    "mistral": partial(build, configuration(OTHERS["mistral"], "test")),
    **{name: partial(build, configuration(values, name)) for name, values in FUSED.items()},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "optimizer", "checkpointing"),
    [
        ("reversible", "adafactor", False),
        ("reversible", "adamw", False),
        ("plain", "adafactor", False),
        ("plain", "adamw", False),
        ("gpt2", "adafactor", False),
        ("gpt2", "adamw", False),
        ("gpt2", "adafactor", True),
        ("mistral", "adamw", True),
        ("mixtral", "adafactor", False),
        *((name, "adamw", False) for name in FUSED),
    ],
)
@pytest.mark.usefixtures("_kernels_of_a_gpu")
def test_training_is_what_torch_counts(name: str, optimizer: Any, checkpointing: bool) -> None:
    batch_size, length = 4, 256
    builder = TRAINING[name]
    model: Any = builder().train()
    if checkpointing:
        model.activation_checkpointing_enable()
    stepper = make_optimizer(optimizer, model)

    def work() -> None:
        for _ in range(2):
            tokens, labels = (torch.zeros((batch_size, length), dtype=torch.int64) for _ in "ab")
            loss = model(tokens, labels=labels, use_cache=False).loss
            loss.backward()
            del loss, tokens, labels
            stepper.step()
            stepper.zero_grad(set_to_none=True)

    counted = bytes_counted_by_torch(work) + placed(model)
    if checkpointing:
        counted -= GENERATOR_STATE * model.config.num_hidden_layers
    trace = trace_training(builder, batch_size, length, optimizer, checkpointing)
    assert bytes_in_use(trace) == pytest.approx(counted, abs=SCALARS)
    prediction = predict(trace)
    assert sum(prediction.kinds.values()) == prediction.allocated
    assert prediction.reserved >= prediction.allocated


def test_optimizer_states_are_those_of_the_optimizer() -> None:
    # A wide model and few tokens, so the peak is the update's: AdamW keeps two numbers a weight,
    # Adafactor two vectors a matrix, and needs room for the update of one tensor at a time.
    config = configuration(TINY_GPT2 | {"n_embd": 256, "n_positions": 64}, "test")
    adamw = predict(trace_training(partial(build, config), 1, 64, "adamw"))
    adafactor = predict(trace_training(partial(build, config), 1, 64, "adafactor"))
    assert adamw.kinds[OPTIMIZER] >= 2 * adamw.weights * 0.99
    assert adafactor.kinds[OPTIMIZER] < adamw.kinds[OPTIMIZER] / 5


def test_activations_grow_in_proportion_to_the_batch() -> None:
    config = configuration(TINY_REFORMER, "test")
    in_use = [
        bytes_in_use(trace_inference(partial(build, config), batch_size, 256))
        for batch_size in (8, 16, 24)
    ]
    assert in_use[2] - in_use[1] == in_use[1] - in_use[0] > 0


@pytest.mark.slow
def test_reversible_layers_keep_activations_flat_in_depth() -> None:
    def allocated(layers: int, reversible: bool) -> int:
        config = with_depth(configuration(TINY_REFORMER, "test"), layers, 1024)
        memory = reformer_training_memory(config, 2, 1024, reversible=reversible)
        return memory.allocated - memory.weights - memory.kinds.get(GRADIENTS, 0)

    assert allocated(8, reversible=True) < 1.05 * allocated(4, reversible=True)
    assert allocated(8, reversible=False) > 1.8 * allocated(4, reversible=False)


def test_another_builder_can_be_asked_about() -> None:
    asked = []

    def other(config: Any, reversible: bool) -> nn.Module:
        asked.append(reversible)
        return stock_reformer(config, reversible)

    config = with_depth(configuration(TINY_REFORMER, "test"), 2, 128)
    with_own = reformer_training_memory(config, 2, 128, reversible=True, build_reformer=other)
    assert asked == [True]
    assert with_own == reformer_training_memory(config, 2, 128, reversible=True)


def test_asking_about_training_leaves_the_random_generator_alone() -> None:
    config = with_depth(configuration(TINY_REFORMER, "test"), 2, 128)
    state = torch.random.get_rng_state()
    reformer_training_memory(config, 2, 128, reversible=True)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_checkpointing_takes_less_and_is_refused_where_there_is_none() -> None:
    config = configuration(TINY_GPT2 | {"n_layer": 8}, "test")
    kept = predict(trace_training(partial(build, config), 4, 512))
    again = predict(trace_training(partial(build, config), 4, 512, checkpointing=True))
    assert again.allocated < 0.5 * kept.allocated
    reformer = with_depth(configuration(TINY_REFORMER, "test"), 2, 128)
    with pytest.raises(StudyError, match="ReformerModelWithLMHead has no gradient checkpointing"):
        trace_training(partial(build, reformer), 2, 128, checkpointing=True)


def test_what_is_not_made_on_the_default_device_is_predicted_too() -> None:
    # torch.normal with a size, as DiffLlama calls it, does not heed it.
    class Stray(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.empty(64))
            self.stray = nn.Parameter(torch.normal(0, 1, size=(64,)))
            assert self.stray.device.type == "cpu"

        def forward(self, tokens: torch.Tensor, **_: Any) -> Any:
            return SimpleNamespace(loss=(self.weight * self.stray).sum() * tokens.shape[1])

    assert predict(trace_training(Stray, 1, 64)).weights == 2 * 512


def test_a_model_that_looks_at_values_is_one_clear_message() -> None:
    class Looks(nn.Module):
        def forward(self, tokens: torch.Tensor) -> Any:
            return tokens.tolist()

    with pytest.raises(StudyError, match="1 x 64 tokens: what it does depends on the values"):
        trace_inference(Looks, 1, 64)


def test_half_the_precision_is_half_the_memory() -> None:
    config = configuration(TINY_GPT2, "test")
    full = predict(trace_inference(partial(build, config), 4, 512))
    half = predict(trace_inference(partial(build, config, torch.bfloat16), 4, 512))
    assert half.allocated == pytest.approx(full.allocated / 2, rel=0.01)


def test_a_shape_that_does_not_run_is_one_clear_message() -> None:
    config = with_depth(configuration(TINY_REFORMER, "test"), 2, 1024)
    with pytest.raises(StudyError, match=r"does not run on 2 x 1000 tokens: .*multiple of"):
        reformer_training_memory(config, 2, 1000, reversible=True)
    with pytest.raises(StudyError, match="has 1024 positions"):
        reformer_training_memory(config, 2, 2048, reversible=True)
