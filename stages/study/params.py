"""params.yaml as one typed object, read and checked whole before a stage does any work."""

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, ValidationError, field_validator, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.study.errors import StudyError
from stages.study.layout import PARAMS
from stages.study.memory import MemoryStudy
from stages.study.schema import Name, Section
from stages.study.sources import CheckpointSource, FileSource

SPLITS = ("train", "validation", "test")
LENGTH_MULTIPLE = 64
"""Every length is a multiple of the published chunk length, so that no stage has to pad."""

Fraction = Annotated[float, Field(gt=0, lt=1)]
Buckets = Annotated[int, Field(ge=2, le=2**20, multiple_of=2)]
Threads = Annotated[int, Field(gt=0, le=4096)]
BatchSize = Annotated[int, Field(gt=0, le=2**20)]
SequenceLength = Annotated[int, Field(ge=LENGTH_MULTIPLE, multiple_of=LENGTH_MULTIPLE)]
Format = Literal["lines", "wikipedia_prose", "bytes", "python_string"]
SplitFile = Literal["all", "train", "validation", "test"]
Policy = Literal["contiguous", "published"]
Encoding = Literal["sentencepiece", "transformers"]
RowShape = Literal["whole", "blank_empty", "unended", "stripped"]
Precision = Literal["float32", "bfloat16"]
SEED_LIMIT = 2**32
"""Seeds are below it: numpy takes no others."""
Seed = Annotated[int, Field(ge=0, lt=SEED_LIMIT)]
T = TypeVar("T")
AnySection = TypeVar("AnySection", bound=Section)


class Split(Section):
    """How one text becomes three: contiguous parts, in order, cut between documents or lines.

    Attributes:
        shares_of: `validation` and `test` are shares of the text's bytes, or of the number of
            lines or documents, as the published study counted enwik8's lines.
    """

    validation: Fraction
    test: Fraction
    between: Literal["documents", "lines"]
    shares_of: Literal["bytes", "number"] = "bytes"

    @model_validator(mode="after")
    def _something_is_left_to_train_on(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError("validation + test must be less than 1, something is left for train")
        return self


class Corpus(Section):
    """A text and its three splits: one file to be split, or a file for each split.

    Attributes:
        first_bytes: of each file; what is used of it ends with a whole line.
        first_rows: of each file, lines.
        shuffle_lines_seed: the order in which lines are taken, before they are split.
    """

    format: Format
    files: dict[SplitFile, FileSource]
    first_bytes: Annotated[int, Field(gt=0)] | None = None
    first_rows: Annotated[int, Field(gt=0)] | None = None
    shuffle_lines_seed: int | None = None
    split: Split | None = None

    @model_validator(mode="after")
    def _files_fit_the_split(self) -> Self:
        if self.split is not None and set(self.files) != {"all"}:
            raise ValueError("`split` cuts one file: give `files: {all: ...}` or leave `split` out")
        if self.split is None and set(self.files) != set(SPLITS):
            raise ValueError("give `files: {all: ...}` with a `split`, or a file for every split")
        return self


class Training(Section):
    """How a model is trained; the defaults are the published study's."""

    optimizer: Literal["adafactor", "adamw"] = "adafactor"
    learning_rate: Annotated[float, Field(gt=0)] = 2e-4
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    schedule: Literal["linear", "cosine", "constant_with_warmup"] = "linear"
    warmup_updates: Annotated[int, Field(ge=0)] = 0
    max_gradient_norm: Annotated[float, Field(gt=0)] = 1.0
    batch_size: BatchSize = 16
    epochs: Annotated[int, Field(gt=0)] = 30
    policy: Policy = "contiguous"
    precision: Precision = "float32"
    seed: Seed = 42
    threads: Threads = 2
    checkpoint_every_updates: Annotated[int, Field(gt=0)] = 500
    diverged_above_best_nats: Annotated[float, Field(gt=0)] = 0.1


class Evaluation(Section):
    """How a trained model is scored."""

    batch_size: BatchSize = 16
    precision: Precision = "float32"
    threads: Threads = 2
    hash_draws: Annotated[int, Field(gt=0)] = 1
    seed: Seed = 42


class Attention(Section):
    """What can be chosen of a model beside its weights (see `stages.reformer.model`).

    Attributes:
        implementation: our forward pass, or stock transformers'.
        positions: the checkpoint's axial tables; a table of the run's own length; or the study's,
            fresh and as long as the model's limit.
        lsh_causality: whether lsh attention may peek at the future as the published one does.
        num_hashes: hash rounds; None for the checkpoint's.
        num_buckets: a number, or its factors; None for what the length recommends under `strict`
            and the checkpoint's under `published`.
        reversible: whether activations are computed again in the backward pass, to save memory.
    """

    implementation: Literal["reformer-seqlen", "transformers"] = "reformer-seqlen"
    positions: Literal["axial", "learned", "published"] = "axial"
    lsh_causality: Literal["strict", "published"] = "strict"
    num_hashes: Annotated[int, Field(gt=0)] | None = None
    num_buckets: Buckets | Annotated[list[Buckets], Field(min_length=1)] | None = None
    reversible: Literal["auto", "on", "off"] = "auto"

    def options(self) -> dict[str, Any]:
        """These choices alone, by name, as `load_reformer` takes them."""
        return {name: getattr(self, name) for name in Attention.model_fields}


class Pretraining(Section):
    """A base model made here: its text, its tokenizer and its training."""

    file: FileSource
    format: Format
    first_bytes: Annotated[int, Field(gt=0)] | None = None
    validation: Fraction = 0.02
    pieces: Annotated[int, Field(gt=0)] = 320
    sequence_length: SequenceLength
    train: Training
    architecture: dict[str, Any] = Field(default_factory=dict)


class Model(Attention):
    """A base model: published (`checkpoint`) or made here (`pretraining`)."""

    checkpoint: CheckpointSource | None = None
    pretraining: Pretraining | None = None

    @model_validator(mode="after")
    def _comes_from_one_place(self) -> Self:
        if (self.checkpoint is None) == (self.pretraining is None):
            raise ValueError("give either `checkpoint` or `pretraining`")
        return self


class CorpusAndModel(Section):
    """What a token set and a run are about."""

    corpus: Name
    model: Name


class TokenSet(CorpusAndModel):
    """A corpus under a model's tokenizer.

    Attributes:
        encoding: whose rules make pieces of a row. `sentencepiece` drops a blank at the row's end
            and spells out a `<unk>` that stands in the text. `transformers` is the fast tokenizer
            that the published study called. It makes a piece of a blank at the row's end, or
            before a special token. It reads `<unk>` and `</s>` in the text as those tokens.
        row_shape: what of a line is the row: the `whole` line; the line, or nothing where it is
            blank (`blank_empty`, the hub's WikiText); the line without its newline (`unended`,
            as `datasets` reads text files); without blanks at both ends (`stripped`, the hub's
            Penn Treebank).
    """

    encoding: Encoding = "sentencepiece"
    row_shape: RowShape = "whole"


class Run(CorpusAndModel):
    """One cell of the grid; `train`, `evaluate` and `attention` override what holds for all."""

    sequence_length: SequenceLength
    train: dict[str, Any] = Field(default_factory=dict)
    evaluate: dict[str, Any] = Field(default_factory=dict)
    attention: dict[str, Any] = Field(default_factory=dict)


class Sources(Section):
    """How sources are fetched.

    Attributes:
        mirror: a folder or base URL that is tried first, by file name, its checksums enforced; the
            environment variable REFORMER_SEQLEN_MIRROR goes over it.
    """

    mirror: str | None = None


class Params(Section):
    """Everything in params.yaml."""

    profile: Name
    sources: Sources = Sources()
    corpora: dict[Name, Corpus] = Field(min_length=1)
    models: dict[Name, Model] = Field(min_length=1)
    tokens: dict[Name, TokenSet] = Field(min_length=1)
    runs: dict[Name, Run] = Field(min_length=1)
    train: Training
    evaluate: Evaluation
    memory: MemoryStudy

    @field_validator("tokens")
    @classmethod
    def _token_sets_are_named_after_what_they_hold(
        cls, tokens: dict[str, TokenSet]
    ) -> dict[str, TokenSet]:
        for name, item in tokens.items():
            if name != f"{item.corpus}-{item.model}":
                raise ValueError(f"`{name}` holds {item}: name it `{item.corpus}-{item.model}`")
        return tokens

    @model_validator(mode="after")
    def _names_refer_to_something(self) -> Self:
        named = [(f"tokens.{name}", item) for name, item in self.tokens.items()]
        runs = [(f"runs.{name}", item) for name, item in self.runs.items()]
        for key, item in (*named, *runs):
            _refer(f"{key}.corpus", item.corpus, self.corpora, "corpora")
            _refer(f"{key}.model", item.model, self.models, "models")
        for key, item in runs:
            joined = f"{item.corpus}-{item.model}"
            _refer(f"{key} needs tokens", joined, self.tokens, "tokens")
            tokens = self.tokens[joined]
            if (tokens.corpus, tokens.model) != (item.corpus, item.model):
                raise StudyError(
                    f"{key} needs tokens.{joined} of corpus {item.corpus} and model {item.model}, "
                    f"but they are of {tokens.corpus} and {tokens.model}: rename one of them"
                )
            _check_positions(key, item, self.models[item.model])
        for name in self.models:
            if f"pretrain-{name}" in self.runs:
                raise StudyError(
                    f"runs.pretrain-{name}: its timings would be those of models.{name}'s "
                    "pretraining: give the run another name"
                )
        for name in self.runs:
            self.training(name)
            self.evaluation(name)
            self.attention(name)
        return self

    def training(self, run: str) -> Training:
        """How `run` is trained: what holds for all, with the run's own values over it."""
        return _override(self.train, self.runs[run].train, f"runs.{run}.train")

    def evaluation(self, run: str) -> Evaluation:
        """How `run` is scored: what holds for all, with the run's own values over it."""
        return _override(self.evaluate, self.runs[run].evaluate, f"runs.{run}.evaluate")

    def attention(self, run: str) -> Attention:
        """The options of `run`'s model, with the run's own values over them."""
        base = Attention(**self.models[self.runs[run].model].options())
        return _override(base, self.runs[run].attention, f"runs.{run}.attention")


def _check_positions(key: str, run: Run, model: Model) -> None:
    """Refuse a run that is longer than the axial tables of a model made here."""
    shape = model.pretraining.architecture.get("axial_pos_shape") if model.pretraining else None
    positions = run.attention.get("positions", model.positions)
    if positions == "axial" and shape and prod(shape) < run.sequence_length:
        raise StudyError(
            f"{key}.sequence_length: {run.sequence_length} is more than the {prod(shape)} "
            f"positions of models.{run.model}.pretraining.architecture.axial_pos_shape"
        )


def _refer(key: str, name: str, known: dict[str, Any], section: str) -> None:
    if name not in known:
        raise StudyError(f"{key}: `{name}` is not among {section}: {', '.join(known)}")


def _override(base: AnySection, values: dict[str, Any], key: str) -> AnySection:
    try:
        return type(base).model_validate({**base.model_dump(), **values})
    except ValidationError as error:
        raise StudyError("\n".join(_complaints(error, key))) from error


def _complaints(error: ValidationError, prefix: str = "") -> Iterator[str]:
    for item in error.errors(include_url=False):
        key = ".".join(str(part) for part in (prefix, *item["loc"]) if part != "")
        given = item["input"]
        shown = f", but it is {given!r}" if not isinstance(given, dict | list) else ""
        yield f"{key or 'params'}: {item['msg'].removeprefix('Value error, ')}{shown}"


def parse_params(values: Any, where: str) -> Params:
    """Check the values of a params.yaml.

    Args:
        values: what YAML gave.
        where: the file's name, for the message.

    Raises:
        StudyError: something is missing, unknown, of a wrong type or out of range; the message
            names each key, what is allowed and what was given.
    """
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        lines = "\n  ".join(_complaints(error))
        raise StudyError(f"{where} is not a valid study:\n  {lines}") from error
    except StudyError as error:
        raise StudyError(f"{where} is not a valid study:\n  {error}") from error


def load_params(path: Path = PARAMS) -> Params:
    """Read and check params.yaml.

    Raises:
        StudyError: there is no such file, it is not YAML, or its values are wrong.
    """
    try:
        values = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StudyError(f"{path} is missing: run this in the repository's root folder") from None
    except YAMLError as error:
        raise StudyError(f"{path} is not YAML: {error}") from error
    return parse_params(values, str(path))


def known(section: str, items: dict[str, T], name: str) -> T:
    """The item called `name` of a section of params.yaml.

    Raises:
        StudyError: there is none.
    """
    if name not in items:
        raise StudyError(f"{section}.{name}: not in params.yaml, which has {', '.join(items)}")
    return items[name]
