"""What the stages left in data/, as typed records.

Everything is read before the report writes anything, so that a missing or broken file stops it
with one message and leaves what was there.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, RootModel, ValidationError

from reformer_seqlen.reporting.published import load_published, published_mib
from reformer_seqlen.runtime import paths
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.scoring.uncertainty import Sums

if TYPE_CHECKING:
    from reformer_seqlen.parameters.study import Study

Blocks = dict[str, Sums]
"""By split: nats and bytes of the targets in each block of its text."""
RecordT = TypeVar("RecordT", bound=BaseModel)


class Record(BaseModel):
    """A part of a result file. The fields that the report does not use are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Parameters(Record):
    """How many numbers a model is made of."""

    total: int
    position_table: int
    without_positions: int
    embeddings: int


class Step(Record):
    """One update of the weights; losses are nats per piece, None where that is no number."""

    step: int
    epoch: float
    training_loss: float | None


class Evaluation(Record):
    """The loss on the validation split, and the mean training loss since the last evaluation."""

    step: int
    epoch: float
    training_loss: float | None
    validation_loss: float | None


class History(Record):
    """data/histories/RUN.json."""

    updates: int
    epochs: int | float
    tokens_seen: int
    hash_buckets: int | None = None
    steps: list[Step]
    evaluations: list[Evaluation]
    parameters: Parameters


class Runtime(Record):
    """data/timings/evaluate/RUN.json."""

    runtime_seconds: float


class Timing(Runtime):
    """data/timings/pretrain/MODEL.json and data/timings/finetune/RUN.json."""

    steps_per_second: float
    samples_per_second: float
    tokens_per_second: float
    processor: str
    threads: int
    torch: str


class Position(Record):
    """Mean nats of the targets with more context than the entry before, up to so many tokens."""

    up_to: int
    tokens: int
    nats: float | None


class Interval(Record):
    """Bits per byte, and what holds the true value 19 times in 20; None where it is no number."""

    bits_per_byte: float | None
    low: float | None
    high: float | None


class Score(Interval):
    """A trained model's score on one split; None where that is no finite number."""

    perplexity: float | None
    tokens: int
    bytes: int
    accuracy: float | None = None
    unknown_rate: float
    unigram_perplexity: float
    perplexity_published_lsh: float | None = None
    perplexity_published_lsh_spread: float | None = None
    hash_draws: int = 1
    perplexity_spread: float = 0.0
    by_position: list[Position] = []
    contexts: dict[str, Interval] = {}


class Scores(Record):
    """data/evaluations/RUN/scores.json."""

    validation: Score
    test: Score


class Counted(Scores):
    """data/counts/NAME/scores.json."""

    corpus: str
    model: str
    order: int
    text: str
    tokens_counted: int


class Kept(Record):
    """The windows that a policy cuts, and the tokens that it keeps and drops."""

    windows: int
    kept: int
    dropped: int


class SplitWindows(Record):
    """One split under both policies."""

    tokens: int
    contiguous: Kept
    published: Kept


class Windows(Record):
    """data/windows/RUN/report.json."""

    policy: str
    train: SplitWindows
    validation: SplitWindows
    test: SplitWindows


class Card(Record):
    """data/bases/MODEL/card.json."""

    parameters: Parameters
    model_type: str
    layers: list[str] | int
    hidden_size: int
    num_attention_heads: int | None
    vocabulary: int
    pretraining: dict[str, Any] | None = None
    checkpoint: dict[str, Any] | None = None


class SplitText(Record):
    """The size of one split's text."""

    bytes: int
    documents: int


class Text(Record):
    """data/texts/CORPUS/source.json."""

    licence: str
    splits: dict[str, SplitText]


class MemoryRow(Record):
    """A part of data/memory/rows.json; a row without a number says why.

    Attributes:
        measured_mib: what was in use on a CPU, or what the process held on a GPU.
        measured_allocated_mib: what was in use on a GPU.
        measured_error_percent: by how much `predicted_allocated_mib` misses what was in use.
        predicted_mib: what a GPU's process would hold, CUDA context included.
        published_mib: what the published study printed for the same inference.
        composition: what `predicted_allocated_mib` is made of, by what it is for.
    """

    model: str
    positions: str | None = None
    allocations: str | int | None = None
    batch_size: int
    sequence_length: int
    device: str | None = None
    measured_mib: float | None = None
    measured_allocated_mib: float | None = None
    measured_reserved_mib: float | None = None
    measured_error_percent: float | None = None
    predicted_mib: float | None = None
    predicted_allocated_mib: float | None = None
    predicted_reserved_mib: float | None = None
    context_mib: int | None = None
    weights_mib: float | None = None
    composition: dict[str, float] | None = None
    published_mib: float | None = None
    why: str | None = None


class GpuFit(Record):
    """What one GPU can do with a model.

    Attributes:
        memory_mib: all that it has.
        context_mib: what a process holds of it before it has a tensor.
    """

    memory_mib: int
    context_mib: int
    fits: bool
    longest_sequence: int
    longest_is_limited_by: str
    largest_batch: int


class GpusOfRow(Record):
    """A part of data/memory/gpus.json: every GPU with the model of one memory row."""

    model: str
    positions: str | None = None
    batch_size: int
    sequence_length: int
    gpus: dict[str, GpuFit]


class TrainingPoint(Record):
    """A part of data/memory/training.json: training one model at one depth and length."""

    curve: str
    model: str
    layers: int
    batch_size: int
    sequence_length: int
    optimizer: str
    weights_mib: float
    predicted_allocated_mib: float
    predicted_reserved_mib: float


MemoryRows = RootModel[dict[str, MemoryRow]]
GpusStudy = RootModel[dict[str, GpusOfRow]]
TrainingStudy = RootModel[list[TrainingPoint]]


@dataclass(frozen=True)
class Results:
    """Everything that the stages found out, in the order of params.yaml."""

    histories: dict[str, History]
    timings: dict[str, Timing]
    pretraining_timings: dict[str, Timing]
    evaluation_timings: dict[str, Runtime]
    scores: dict[str, Scores]
    blocks: dict[str, Blocks]
    counts: dict[str, Counted]
    windows: dict[str, Windows]
    cards: dict[str, Card]
    texts: dict[str, Text]
    memory: dict[str, MemoryRow]
    memory_gpus: dict[str, GpusOfRow]
    memory_training: list[TrainingPoint]


def read_record(path: Path, kind: type[RecordT]) -> RecordT:
    """Read one result file.

    Raises:
        StudyError: the file is missing, or it is not what its stage writes.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise StudyError(
            f"{path} is missing: run `make repro`, which makes every result that is not there"
        ) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        raise StudyError(
            f"{path} is not a result of this version: {key}: {first['msg']}; "
            "delete it and run `make repro`"
        ) from error


def _read_blocks(folder: Path) -> Blocks:
    try:
        return {
            split: np.load(folder / f"{split}.blocks.npy", allow_pickle=False)
            for split in ("validation", "test")
        }
    except (OSError, ValueError) as error:
        raise StudyError(f"{folder} is not what a run's scoring leaves: {error}") from error


def _beside_published(rows: dict[str, MemoryRow]) -> dict[str, MemoryRow]:
    """The rows, each with what the published study printed for it."""
    published = load_published()
    return {
        name: row.model_copy(update={"published_mib": published_mib(published, row.model_dump())})
        for name, row in rows.items()
    }


def read_results(params: "Study", root: Path) -> Results:
    """Read the result files of every run, model, corpus and memory row of params.yaml."""

    def each(
        names: Iterable[str], folder: Path, kind: type[RecordT], file: str = "{}.json"
    ) -> dict[str, RecordT]:
        return {name: read_record(root / folder / file.format(name), kind) for name in names}

    runs, models = params.runs, params.models
    memory = root / paths.MEMORY
    made_here = [name for name, model in models.items() if model.pretraining is not None]
    return Results(
        histories=each(runs, paths.HISTORIES, History),
        timings=each(runs, paths.TIMINGS / "finetune", Timing),
        pretraining_timings=each(made_here, paths.TIMINGS / "pretrain", Timing),
        evaluation_timings=each(runs, paths.TIMINGS / "evaluate", Runtime),
        scores=each(runs, paths.EVALUATIONS, Scores, "{}/scores.json"),
        blocks={name: _read_blocks(root / paths.EVALUATIONS / name) for name in runs},
        counts=each(params.counts, paths.COUNTS, Counted, "{}/scores.json"),
        windows=each(runs, paths.WINDOWS, Windows, "{}/report.json"),
        cards=each(models, paths.BASES, Card, "{}/card.json"),
        texts=each(params.corpora, paths.TEXTS, Text, "{}/source.json"),
        memory=_beside_published(read_record(memory / "rows.json", MemoryRows).root),
        memory_gpus=read_record(memory / "gpus.json", GpusStudy).root,
        memory_training=read_record(memory / "training.json", TrainingStudy).root,
    )
