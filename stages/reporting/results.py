"""What the stages left in data/, as typed records.

Everything is read before the report writes anything, so that a missing or broken file stops it
with one message and leaves what was there.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from stages.study import layout
from stages.study.errors import StudyError

if TYPE_CHECKING:
    from stages.study.params import Params

MEMORY_KINDS = ("measured", "predicted_allocated", "predicted", "published")
"""The kinds of memory figures; a row has each as KIND_mib, or None."""
RecordT = TypeVar("RecordT", bound="Record")


class Record(BaseModel):
    """A part of a result file. Fields that the report has no use for are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Parameters(Record):
    """How many numbers a model is made of."""

    total: int
    position_table: int
    without_positions: int


class Step(Record):
    """One update of the weights; losses are nats per piece, None where that is no number."""

    step: int
    epoch: float
    training_loss: float | None


class Evaluation(Record):
    """One look at the validation split, and the mean training loss since the last one."""

    step: int
    epoch: float
    training_loss: float | None
    validation_loss: float | None


class History(Record):
    """data/histories/RUN.json."""

    updates: int
    epochs: int | float
    tokens_seen: int
    diverged: bool
    steps: list[Step]
    evaluations: list[Evaluation]
    parameters: Parameters


class Timing(Record):
    """data/timings/RUN.json."""

    runtime_seconds: float
    steps_per_second: float
    samples_per_second: float
    tokens_per_second: float
    processor: str
    threads: int
    torch: str


class Score(Record):
    """A trained model's score on one split; None where that is no finite number."""

    perplexity: float | None
    tokens: int
    bits_per_byte: float | None
    unknown_rate: float
    unigram_perplexity: float
    perplexity_published_lsh: float | None = None
    hash_draws: int = 1
    perplexity_spread: float = 0.0


class Scores(Record):
    """data/evaluations/RUN.json."""

    validation: Score
    test: Score


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
    layers: list[str]
    hidden_size: int
    num_attention_heads: int
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
    """data/memory/ROW.json; a row without a number says why.

    Attributes:
        measured_mib: what was in use on `device`.
        measured_error_percent: by how much `predicted_allocated_mib` misses that.
        predicted_mib: what a GPU's process would hold, CUDA context included.
        error_percent: by how much `predicted_mib` misses `published_mib`.
    """

    model: str
    positions: str | int | None = None
    allocations: str | int | None = None
    batch_size: int
    sequence_length: int
    device: str | None = None
    measured_mib: float | None = None
    predicted_allocated_mib: float | None = None
    measured_error_percent: float | None = None
    predicted_mib: float | None = None
    published_mib: float | None = None
    error_percent: float | None = None
    weights_mib: float | None = None
    why: str | None = None


@dataclass(frozen=True)
class Results:
    """Everything that the stages found out, in the order of params.yaml."""

    histories: dict[str, History]
    timings: dict[str, Timing]
    pretraining_timings: dict[str, Timing]
    scores: dict[str, Scores]
    windows: dict[str, Windows]
    cards: dict[str, Card]
    texts: dict[str, Text]
    memory: dict[str, MemoryRow]


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


def read_results(params: "Params", root: Path) -> Results:
    """Read the result files of every run, model, corpus and memory row of params.yaml."""

    def each(
        names: Iterable[str], folder: Path, kind: type[RecordT], file: str = "{}.json"
    ) -> dict[str, RecordT]:
        return {name: read_record(root / folder / file.format(name), kind) for name in names}

    runs, models = params.runs, params.models
    made_here = [name for name, model in models.items() if model.pretraining is not None]
    return Results(
        histories=each(runs, layout.HISTORIES, History),
        timings=each(runs, layout.TIMINGS, Timing),
        pretraining_timings=each(made_here, layout.TIMINGS, Timing, "pretrain-{}.json"),
        scores=each(runs, layout.EVALUATIONS, Scores),
        windows=each(runs, layout.WINDOWS, Windows, "{}/report.json"),
        cards=each(models, layout.BASES, Card, "{}/card.json"),
        texts=each(params.corpora, layout.TEXTS, Text, "{}/source.json"),
        memory=each(params.memory.rows, layout.MEMORY, MemoryRow),
    )
