"""Part 2: how fast, beside other models and beside what the card can do?

Models take turns, so that a clock that changes changes all of them; medians, after a warm-up.
"""

import gc
import os
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from io import StringIO
from statistics import median
from typing import Any

import torch
import transformers
from torch import Tensor

from benchmarks.gpu.contestants import (
    NAMES,
    Contestant,
    contestant,
    products_in,
    random_ids,
)
from benchmarks.gpu.limits import Asked, asked_by, best_rates, seconds_of
from benchmarks.gpu.record import Record
from benchmarks.training import CHUNK

SHAPES = ((16, 2048), (4, 16384), (16, 256), (1, 65536))
"""Batch size and length, the most telling first."""
PROMPT = 120  # tokens
COMPILED = {"gpt2": 35.0, "llama": 35.0, "ours": 120.0}
"""What torch.compile is tried on, and the seconds that must be left for it: on an H100 the first
two took 27 and 16, and ours was not compiled after 80. `--part speed` alone leaves it as many.
Stock's Reformer breaks the graph dozens of times, and is compiled again at every step."""


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    layers: int
    shapes: tuple[tuple[int, int], ...]
    repeats: int
    new_tokens: int
    backend: str  # of torch.compile
    compiled: dict[str, float]


SIZES = {
    "cuda": Sizes(6, SHAPES, 5, 32, "inductor", COMPILED),
    "cpu": Sizes(2, ((2, 64),), 1, 2, "eager", {"gpt2": 0.0}),
}


@dataclass(frozen=True)
class Cell:
    """What every model is timed on."""

    batch_size: int
    length: int
    precision: str

    @property
    def place(self) -> dict[str, Any]:
        """The first columns of its rows."""
        shape = {"batch_size": self.batch_size, "sequence_length": self.length}
        return {**shape, "precision": self.precision}


def run(device: torch.device, record: Record) -> None:
    """Time everything, the most telling first and what takes longest last."""
    transformers.logging.set_verbosity_error()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # for deterministic products
    sizes = SIZES[device.type]
    rates = best_rates(device)
    record.note("rates", rates)
    record.note("backend", sizes.backend)
    first, *others = sizes.shapes
    typical = Cell(*first, "bfloat16")
    for shape in sizes.shapes:
        measure(record, Cell(*shape, "bfloat16"), sizes, rates, device)
    for precision in ("tf32", "float32"):
        measure(record, Cell(*first, precision), sizes, rates, device)
    measure_deterministic(record, typical, sizes, rates, device)
    generate(record, sizes, rates, device)
    for name in sizes.compiled:
        measure_compiled(record, name, typical, sizes, rates, device)
    for shape in others:
        for precision in ("tf32", "float32"):
            measure(record, Cell(*shape, precision), sizes, rates, device)
    for shape in others:
        for name in sizes.compiled:
            measure_compiled(record, name, Cell(*shape, "bfloat16"), sizes, rates, device)


def measure(
    record: Record, cell: Cell, sizes: Sizes, rates: dict[str, float], device: torch.device
) -> None:
    """Add the rows of training and of evaluation, in which all models take turns."""
    gc.collect()  # the models of the cell before: they refer to themselves
    ids = random_ids(cell.batch_size, cell.length, device)
    models = {}
    for name in NAMES:
        place = {**cell.place, "model": name}
        build = partial(contestant, name, sizes.layers, cell.length, device)
        made = record.attempt("training", place, build)
        if made is not None:
            models[name] = made
    for table in ("training", "evaluation"):
        steps = {
            name: partial(made.train if table == "training" else made.evaluate, ids, cell.precision)
            for name, made in models.items()
        }
        with products_in(cell.precision):
            timed = in_turn(record, table, cell.place, steps, sizes.repeats, device)
        for name, (seconds, asked) in timed.items():
            row = timed_row(cell, seconds, asked, rates)
            record.row(table, {**cell.place, "model": name, **row})


def in_turn(
    record: Record, table: str, place: Mapping[str, Any], steps: Mapping[str, Callable[[], Any]],
    repeats: int, device: torch.device,
) -> dict[str, tuple[float, Asked | None]]:  # fmt: skip
    """The median seconds of steps that take turns after a warm-up, and what each asks for.

    One that fails gets a row that says why, and the others go on.
    """
    asked = dict[str, Asked | None]()
    seconds: dict[str, list[float]] = {name: [] for name in steps}

    def time_once(name: str) -> float:
        if name not in asked:
            asked[name] = asked_by(steps[name])
        return seconds_of(steps[name], device)

    for _ in range(repeats + 1):
        for name in list(seconds):
            spent = record.attempt(table, {**place, "model": name}, partial(time_once, name))
            if spent is None:
                del seconds[name]
            else:
                seconds[name].append(spent)
    return {name: (median(spent[1:]), asked[name]) for name, spent in seconds.items()}


def timed_row(
    cell: Cell, seconds: float, asked: Asked | None, rates: dict[str, float]
) -> dict[str, Any]:
    """The columns of a step that takes so long."""
    row: dict[str, Any] = {
        "tokens_per_second": round(cell.batch_size * cell.length / seconds),
        "step_seconds": seconds,
    }
    if asked is not None:
        row |= asked.shares(seconds, rates, cell.precision) | {"attention": asked.attention}
    return row


def measure_deterministic(
    record: Record, cell: Cell, sizes: Sizes, rates: dict[str, float], device: torch.device
) -> None:
    """Add the row of our training as the study trains: with deterministic kernels alone."""
    place = {**cell.place, "model": "ours, deterministic"}
    ids = random_ids(cell.batch_size, cell.length, device)

    def row() -> dict[str, Any]:
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        try:
            ours = contestant("ours", sizes.layers, cell.length, device)
            step = partial(ours.train, ids, cell.precision)
            asked = asked_by(step)
            spent = [seconds_of(step, device) for _ in range(sizes.repeats + 1)]
        finally:
            torch.use_deterministic_algorithms(False)
        return timed_row(cell, median(spent[1:]), asked, rates)

    found = record.attempt("training", place, row)
    if found is not None:
        record.row("training", {**place, **found})


def generate(record: Record, sizes: Sizes, rates: dict[str, float], device: torch.device) -> None:
    """Add the rows of greedy continuation of one text, float32, in which models take turns."""
    length = PROMPT + sizes.new_tokens
    length += -length % CHUNK
    prompt = random_ids(1, PROMPT, device)
    calls: dict[str, Callable[[], Any]] = {}
    for name in NAMES:
        build = partial(contestant, name, sizes.layers, length, device)
        made = record.attempt("generation", {"model": name}, build)
        if made is not None:
            calls[name] = partial(continued, made, prompt, sizes.new_tokens)
    timed = in_turn(record, "generation", {}, calls, sizes.repeats, device)
    for name, (seconds, asked) in timed.items():
        rate = round(sizes.new_tokens / seconds, 1)
        shares = asked.shares(seconds, rates, "float32") if asked is not None else {}
        record.row("generation", {"model": name, "tokens_per_second": rate, **shares})


def continued(made: Contestant, prompt: Tensor, new_tokens: int) -> Tensor:
    """The prompt with so many more tokens; stock prints a warning for each of them."""
    options = {"max_new_tokens": new_tokens, "do_sample": False, "eos_token_id": None}
    with redirect_stdout(StringIO()):
        text: Tensor = made.model.eval().generate(prompt, **options)
    return text


def measure_compiled(
    record: Record, name: str, cell: Cell, sizes: Sizes, rates: dict[str, float],
    device: torch.device,
) -> None:  # fmt: skip
    """Add the row of a model that torch.compile made, in turn with itself as it is."""
    place = {**cell.place, "model": name}
    ids = random_ids(cell.batch_size, cell.length, device)

    def row() -> dict[str, Any]:
        plain = contestant(name, sizes.layers, cell.length, device)
        made = contestant(name, sizes.layers, cell.length, device)
        made.called = torch.compile(made.model, backend=sizes.backend)
        steps = [partial(each.train, ids, cell.precision) for each in (plain, made)]
        asked = asked_by(steps[0])
        compiling = seconds_of(steps[1], device)
        spent = [[seconds_of(step, device) for step in steps] for _ in range(sizes.repeats + 1)]
        eager, compiled = (median(column) for column in zip(*spent[1:], strict=True))
        return {
            **timed_row(cell, compiled, asked, rates),
            "times_as_fast": eager / compiled,
            "compile_seconds": compiling,
        }

    found = record.attempt("compiled", place, row, seconds=sizes.compiled[name])
    if found is not None:
        record.row("compiled", {**place, **found})
