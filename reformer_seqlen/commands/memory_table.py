"""The tables of the command `memory`: what a model takes, and what each GPU can do with it."""

import json
from argparse import Namespace
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub.utils.logging import set_verbosity_error
from tabulate import tabulate
from transformers import AutoConfig

from reformer_seqlen.memory.allocator import MIB, fits
from reformer_seqlen.memory.configurations import with_positions
from reformer_seqlen.memory.fit import Shapes, batches, capacity, is_long, length_unit, lengths
from reformer_seqlen.memory.prediction import (
    OptimizerName,
    Prediction,
    predict,
    stock_reformer,
    trace_inference,
    trace_training,
)
from reformer_seqlen.memory.trace import Trace
from reformer_seqlen.models.configurations import (
    Config,
    build,
    check_causal,
    check_length,
    check_values,
    configuration,
    dtype_of,
    language_part,
)
from reformer_seqlen.parameters.memory import Gpu
from reformer_seqlen.runtime.errors import StudyError

SHOWN_FROM = MIB // 10
"""Modules that hold fewer bytes at the peak are left out."""
NOT_SEARCHED = "not searched"
Record = Callable[[int, int], Trace]
"""Records a run of so many sequences of so many tokens."""


def print_tables(given: Namespace, gpus: dict[str, Gpu]) -> None:
    """Print what a model takes, and what each GPU can do with it.

    Args:
        given: the options of `reformer_seqlen.commands.memory`.
        gpus: those that are asked about.

    Raises:
        StudyError: a configuration that does not build, a length beyond the positions, a shape
            that the model does not run on.
    """
    transformers.logging.set_verbosity_error()
    config = _configuration(given)
    with torch.device("meta"):  # without memory: only whether it can be built
        build(config)
    check_length(config, given.sequence_length)
    records = _records(given, config, gpus)
    traces = {
        ampere: record(given.batch_size, given.sequence_length)
        for ampere, record in records.items()
    }
    first, *older = traces.values()
    what = f"training with {_optimizer(given)}" if given.training else "inference"
    print(f"{config.model_type}, {given.batch_size} x {given.sequence_length} tokens, ", end="")
    print(f"{str(_dtype(given, config)).removeprefix('torch.')}, {what}\n")
    if getattr(config, "quantization_config", None):
        print("quantization_config is not honoured: the weights are those of this dtype\n")
    print(_sums(predict(first)), end="\n\n")
    for trace in older:
        print(f"before Ampere: {predict(trace).allocated / MIB:,.1f} MiB", end=" ")
        print("allocated at the peak, as torch has other kernels of attention there\n")
    print(_fits(given, config, records, traces, gpus))
    print(
        "\nfits: reserved memory, with what cuBLAS takes of it, within the GPU's memory less its "
        "CUDA context"
    )


def _records(given: Namespace, config: Config, gpus: dict[str, Gpu]) -> dict[bool, Record]:
    """What records a run: on GPUs from Ampere on and on older ones, if these differ and are asked.

    Where they do not differ on a short text, there is one.
    """
    asked = sorted({gpu.ampere for gpu in gpus.values()}, reverse=True)
    records = {ampere: _recorder(given, config, ampere) for ampere in asked}
    for tokens in (length_unit(config), given.sequence_length):
        with suppress(StudyError):  # a Reformer's axial positions are trained at one length
            runs = [record(1, tokens) for record in records.values()]
            same = all(run == runs[0] for run in runs)
            return {asked[0]: records[asked[0]]} if same else records
    return records


def _configuration(given: Namespace) -> Config:
    config = _of_the_hub(given.model) if given.model is not None else _of_a_file(given.config)
    if given.attention is not None:
        config._attn_implementation = given.attention
    if given.no_cache:
        config.use_cache = language_part(config).use_cache = False
    return with_positions(config, given.positions, "--positions")


def _of_the_hub(name: str) -> Config:
    if name.startswith((".", "/", "~")) and not Path(name).is_dir():
        raise StudyError(f"--model {name}: there is no such folder; give one with a config.json")
    set_verbosity_error()  # huggingface_hub's, which prints every try
    try:
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
        check_values(config)
    except Exception as error:  # every value has its own
        raise StudyError(f"--model {name}: {' '.join(str(error).split())}") from error
    check_causal(config.model_type, f"--model {name}")
    return config


def _of_a_file(given: Path) -> Config:
    path = given / "config.json" if given.is_dir() else given
    if not path.exists():
        raise StudyError(
            f"--config {given}: there is no {path}; give a model's config.json, or the folder that "
            "holds it"
        )
    return configuration(_read(path), str(path), strict=False)


def _read(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StudyError(f"--config {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise StudyError(f"--config {path} is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise StudyError(f"--config {path}: expected a JSON object")
    return values


def _recorder(given: Namespace, config: Config, ampere: bool) -> Record:
    builder = partial(build, config, _dtype(given, config))
    if given.not_reversible:
        if config.model_type != "reformer":
            raise StudyError(f"--not-reversible is for Reformers, not for {config.model_type}")
        builder = partial(stock_reformer, config, False, _dtype(given, config))
    if not given.training:
        return partial(trace_inference, builder, ampere=ampere)
    return partial(
        trace_training,
        builder,
        optimizer=_optimizer(given),
        checkpointing=given.checkpointing,
        ampere=ampere,
    )


def _dtype(given: Namespace, config: Config) -> torch.dtype:
    """What is asked for, what the configuration says, or float32."""
    asked: torch.dtype | None = getattr(torch, given.dtype) if given.dtype else None
    return asked or dtype_of(config) or torch.float32


def _optimizer(given: Namespace) -> OptimizerName:
    chosen: OptimizerName = given.optimizer or "adafactor"
    return chosen


def _sums(prediction: Prediction) -> str:
    modules = [(name, size) for name, size in prediction.modules.items() if size >= SHOWN_FROM]
    rows = [
        ("weights, position table and buffers", prediction.weights),
        ("peak allocated", prediction.allocated),
        *((f"- for {kind}", size) for kind, size in prediction.kinds.items()),
        *((f"- by {module or 'the model itself'}", size) for module, size in modules),
        ("peak reserved", prediction.reserved),
    ]
    return tabulate(
        [(name, size / MIB) for name, size in rows], headers=["", "MiB"], floatfmt=",.1f"
    )


def _fits(
    given: Namespace,
    config: Config,
    records: dict[bool, Record],
    traces: dict[bool, Trace],
    gpus: dict[str, Gpu],
) -> str:
    searches = {
        ampere: (*_searches(given, config, record), traces[ampere])
        for ampere, record in records.items()
    }
    rows, reasons = [], dict[str, None]()

    def found(shapes: Shapes, room: int) -> int | None:
        try:
            return shapes.largest(room)
        except StudyError as error:
            reasons[str(error)] = None
            return None

    on = {}
    for name, gpu in gpus.items():
        room, size = capacity(gpu.memory_mib, gpu.context_mib), gpu.cublas_workspace
        ampere = gpu.ampere if gpu.ampere in searches else next(iter(searches))
        if (ampere, size) not in on:
            by_length, by_batch, trace = searches[ampere]
            on[ampere, size] = (
                by_length.on(size), by_batch.on(size), trace.with_workspaces(size)
            )  # fmt: skip
        by_length, by_batch, trace = on[ampere, size]
        units = found(by_length, room)
        loops = units is None and is_long(trace)
        most = None if loops else found(by_batch, room)
        end = " (all its positions)" if units == by_length.limit else ""
        rows.append(
            (
                name,
                gpu.memory_mib,
                gpu.context_mib,
                f"{trace.workspaces() / MIB:.1f}",
                "yes" if fits(trace.sizes, trace.events, room) else "no",
                NOT_SEARCHED if units is None else f"{units * length_unit(config)}{end}",
                NOT_SEARCHED if most is None else most,
            )
        )
    headers = [
        "GPU",
        "MiB",
        "context MiB",
        "cuBLAS MiB",
        "fits",
        f"longest sequence, batch {given.batch_size}",
        f"largest batch, length {given.sequence_length}",
    ]
    notes = [f"\n\n{NOT_SEARCHED}: {reason}" for reason in reasons]
    return tabulate(rows, headers=headers) + "".join(notes)


def _searches(given: Namespace, config: Config, record: Record) -> tuple[Shapes, Shapes]:
    """The runs over lengths, and over batch sizes."""
    by_length = lengths(config, partial(record, given.batch_size))
    return by_length, batches(lambda count: record(count, given.sequence_length))
