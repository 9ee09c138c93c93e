"""What is in the result files that the stages leave in data/, as far as the report uses it."""

from typing import Any

from pydantic import BaseModel, ConfigDict, RootModel

from reformer_seqlen.scoring.uncertainty import Sums

Blocks = dict[str, Sums]
"""By split: nats and bytes of the targets in each block of its text."""


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
    """data/histories/RUN.json.

    Attributes:
        diverged_at: the update whose loss or gradient was no finite number, if there was one.
    """

    updates: int
    epochs: int | float
    tokens_seen: int
    hash_buckets: int | None = None
    steps: list[Step]
    evaluations: list[Evaluation]
    parameters: Parameters
    diverged_at: dict[str, str] | None = None


class Computed(Record):
    """Where something was computed, and by which code; None where an older stage did not say.

    Attributes:
        instruction_set: that torch uses.
        threads: that torch computes with.
        cores: that the process may use.
        libm: the C library.
        switches: environment variables that choose among kernels.
        commit: of the code; None where git could not tell.
        dirty: whether the code or params.yaml differed from it.
    """

    processor: str | None = None
    instruction_set: str | None = None
    threads: int | None = None
    cores: int | None = None
    libm: str | None = None
    switches: str | None = None
    python: str | None = None
    torch: str | None = None
    transformers: str | None = None
    numpy: str | None = None
    commit: str | None = None
    dirty: bool | None = None


class Runtime(Computed):
    """data/timings/evaluate/RUN.json, count/NAME.json and benchmark_memory.json."""

    runtime_seconds: float


class Timing(Runtime):
    """data/timings/pretrain/MODEL.json and data/timings/finetune/RUN.json.

    A run that is not trained has no speeds.
    """

    steps_per_second: float | None = None
    samples_per_second: float | None = None
    tokens_per_second: float | None = None


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


class Beside(Interval):
    """The same model scored in another way.

    Attributes:
        difference: by how much that is above its own score; None where the targets differ.
    """

    difference: Interval | None


class Protocol(Interval):
    """The same model in the windows of another policy."""

    perplexity: float | None
    tokens: int


class Score(Interval):
    """A model's score on one split; None where that is no finite number.

    Attributes:
        word_perplexity: of a text of words.
        by_position: the loss by how much context a target has.
        contexts: the same model in shorter windows, by their length.
        hash_rounds: the same model with other numbers of hash rounds, by these.
        protocols: the same model in the windows of other policies, by these.
    """

    perplexity: float | None
    word_perplexity: float | None = None
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
    contexts: dict[str, Beside] = {}
    hash_rounds: dict[str, Beside] = {}
    protocols: dict[str, Protocol] = {}

    @property
    def bound(self) -> str | None:
        """`lower` where bits per byte are a lower bound.

        Unknown pieces are easier to predict than the text that they stand for.
        """
        return "lower" if self.unknown_rate > 0 and self.bits_per_byte is not None else None


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


class SplitTokens(Record):
    """One split of a token set; a row is a line of the text."""

    tokens: int
    rows: int


class TokenSet(Record):
    """data/tokens/CORPUS-MODEL/tokens.json."""

    splits: dict[str, SplitTokens]


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


class SourceFile(Record):
    """A file that a corpus is made of."""

    file: str
    what: str
    sha256: str


class Text(Record):
    """data/texts/CORPUS/source.json."""

    licence: str
    sources: list[SourceFile]
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
