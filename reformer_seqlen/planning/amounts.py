"""The amounts of a study: text, tokens, windows, updates, bytes on disk. Nothing is downloaded."""

import importlib.metadata
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from reformer_seqlen.fetching.unpacking import packing
from reformer_seqlen.parameters.common.quantities import SPLITS, Policy
from reformer_seqlen.parameters.corpora import Corpus
from reformer_seqlen.parameters.evaluation import Evaluation
from reformer_seqlen.parameters.model_options import ModelOptions, ReformerOptions
from reformer_seqlen.parameters.models import Pretraining
from reformer_seqlen.parameters.sources import (
    FileSource,
    HubSource,
    PackageSource,
    PathSource,
    UrlSource,
    WheelSource,
)
from reformer_seqlen.parameters.study import Study
from reformer_seqlen.parameters.training import Training
from reformer_seqlen.runtime.files import read_json
from reformer_seqlen.runtime.paths import TOKENS
from reformer_seqlen.text.chunking import PUBLISHED_BATCH_ROWS, PUBLISHED_SHARDS, cut

BYTES_PER_ROW = 100
"""A guess, for a corpus that is cut to its first rows and that `PUBLISHED` says nothing of."""
BYTES_PER_PIECE = 1.9
"""English text under a tokenizer of 320 pieces, for a corpus that `PUBLISHED` says nothing of."""


@dataclass(frozen=True)
class Measured:
    """The sizes of a published corpus under the published tokenizer and encoding.

    Attributes:
        bytes_per_piece: bytes of text in a piece, in the mean.
        bytes_per_row: bytes of text in a row, in the mean, with its newline.
        row_spread: the standard deviation of a row's length over its mean.
    """

    bytes_per_piece: float
    bytes_per_row: float
    row_spread: float


PUBLISHED = {
    "wikitext-2": Measured(1.840, 10_940_747 / 36_718, 1.4),
    "ptb": Measured(2.10, 5_101_618 / 42_068, 0.5),
    "enwik8": Measured(1.799, 100_000_000 / 1_128_024, 2.5),
}
"""Pieces were counted on WikiText-2's validation and test texts and enwik8's first 1,000,000 bytes.

Penn Treebank's training text holds `<unk>` 45,020 times. Counted as five pieces each, its text has
1.970 bytes a piece; the published encoding makes two pieces of it and the blank before it, which
gives 2.10. Rows were counted in the official files. Their spread was measured for enwik8, on the
lines of a later dump of Wikipedia; for the others it is a guess: sentences differ less, and
paragraphs between headings and blank lines more than lengths that are drawn evenly.
"""
FORWARD_SHARE = 1 / 3
"""Scoring some windows takes this share of the time of an update on them."""
BYTES_PER_NUMBER = 4
"""Parameters and optimizer states are float32."""
STATES = {"adafactor": 1, "muon": 2, "adamw": 3}
"""Numbers in a checkpoint for each parameter, itself included."""
COPIES = 2
"""DVC's cache holds a copy of what a stage writes, unless the file system can share the blocks."""
CHECKPOINTS = 2
"""A training keeps its last checkpoint until the next one is complete."""
BYTES_PER_TOKEN = 3
"""Two for the piece, one for how many bytes of text it stands for."""


@dataclass(frozen=True)
class Amount:
    """How many tokens and rows each split has, and how that is known.

    Attributes:
        tokens: by split; empty where nothing is known before the download.
        rows: by split; empty where nothing is known of them.
        row_spread: the standard deviation of a row's length over its mean.
        token_set: the folder in which an earlier run has left the tokens; None where all of this
            is an estimate.
    """

    tokens: Mapping[str, int] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    row_spread: float = 1.0
    token_set: Path | None = None

    @property
    def counted(self) -> bool:
        """Whether it is what is there, not an estimate."""
        return self.token_set is not None


@dataclass(frozen=True)
class Job:
    """One training: a base model's own, or a run.

    Attributes:
        training: None where the run's base is scored as it is.
        options: of the model, as params.yaml has them.
        passes: how often each split is scored, after epochs and at the end.
        scoring: how the run is scored.
    """

    name: str
    model: str
    corpus: str | None
    sequence_length: int
    training: Training | None
    options: Mapping[str, Any]
    policy: Policy
    amount: Amount
    passes: Mapping[str, int]
    scoring: Evaluation = field(default_factory=Evaluation)

    def windows(self, split: str) -> int | None:
        """Windows of a split; the most that are possible where its rows are not known."""
        amount, length = self.amount, self.sequence_length
        tokens, rows = amount.tokens.get(split), amount.rows.get(split)
        if tokens is None:
            return None
        if amount.token_set is not None:
            return cut_windows(amount.token_set, self.policy, tokens, length, split)
        if self.policy != "published":
            no_rows = np.empty(0, dtype=np.int64)
            return len(cut(self.policy, no_rows, tokens, length, every_token=split != "train"))
        if not rows:
            return tokens // length
        return expected_blocks(tokens, rows, amount.row_spread, length)

    @property
    def batch_size(self) -> int:
        """Sequences of an update, or that are scored at a time where there is no update."""
        if self.training is None:
            return self.scoring.batch_size
        return self.training.sequences(self.sequence_length)

    @property
    def processes(self) -> int:
        """How many processes share an update."""
        return 1 if self.training is None else self.training.processes

    @property
    def part_size(self) -> int:
        """Sequences of the largest of their parts."""
        return -(-self.batch_size // self.processes)

    @property
    def settings(self) -> Training | Evaluation:
        """What says how many threads compute, and in which precision."""
        return self.training or self.scoring

    def updates(self) -> int | None:
        """Updates of the weights in all epochs."""
        if self.training is None:
            return 0
        windows = self.windows("train")
        return windows and self.training.updates_on(windows, self.sequence_length)

    def tokens_read(self) -> int | None:
        """Tokens that training reads in all epochs."""
        if self.training is None:
            return 0
        windows = self.windows("train")
        read = windows and self.training.windows_read(windows, self.sequence_length)
        return read and read * self.sequence_length

    def scored_windows(self) -> int:
        """Windows that are scored, after each epoch and at the end; twice is counted as two."""
        return sum(times * (self.windows(split) or 0) for split, times in self.passes.items())


def cut_windows(token_set: Path, policy: Policy, tokens: int, length: int, split: str) -> int:
    """Windows of a split whose tokens are there, cut as the stage `chunk` cuts them.

    Args:
        token_set: a folder of data/tokens.
        policy: how the tokens are cut.
        tokens: how many the split has.
        length: of a window, in tokens.
        split: training drops the tail of a split, scoring does not.
    """
    rows = np.load(token_set / f"{split}.rows.npy", mmap_mode="r", allow_pickle=False)
    return len(cut(policy, rows, tokens, length, every_token=split != "train"))


@cache
def expected_blocks(tokens: int, rows: int, row_spread: float, length: int) -> int:
    """Blocks that the published policy is expected to cut of rows whose lengths are not known.

    It cuts each batch of rows on its own and drops what is left. A batch of n rows has about n
    times their mean of tokens, give or take their deviation times the root of n; where that is
    near a multiple of the length, some batches have one block more than others.

    Example: of batches of 3.0 lengths in the mean, half give 3 blocks and half 2.

    Args:
        tokens: of the split.
        rows: of the split.
        row_spread: the standard deviation of a row's length over its mean.
        length: of a block, in tokens.
    """
    mean = tokens / rows
    expected = 0.0
    for size, batches in _published_batch_sizes(rows).items():
        deviation = row_spread * mean * math.sqrt(size)
        batch = NormalDist(size * mean, max(deviation, 0.5))  # in whole tokens
        most = math.ceil((batch.mean + 6 * batch.stdev) / length)
        expected += batches * sum(1 - batch.cdf(blocks * length) for blocks in range(1, most + 1))
    return min(round(expected), tokens // length)


def _published_batch_sizes(rows: int) -> Counter[int]:
    """How many batches of each number of rows there are: each shard's last one is smaller."""
    sizes: Counter[int] = Counter()
    for shard in range(PUBLISHED_SHARDS):
        of_shard = rows // PUBLISHED_SHARDS + (shard < rows % PUBLISHED_SHARDS)
        whole, rest = divmod(of_shard, PUBLISHED_BATCH_ROWS)
        sizes[PUBLISHED_BATCH_ROWS] += whole
        sizes[rest] += rest > 0
    return +sizes


def jobs(params: Study, known: Study | None) -> list[Job]:
    """Every training of a study, base models first.

    Args:
        params: the study.
        known: the study that was run here before, if there is one.
    """
    made_here = [
        Job(
            name=f"pretrain {name}" + (f", {length} tokens" if recipe.phases else ""),
            model=name,
            corpus=None,
            sequence_length=length,
            training=training,
            options=model.options,
            policy="contiguous",
            amount=_amount_of_pretraining(recipe),
            passes={"validation": training.epochs or training.evaluations},
        )
        for name, model in params.models.items()
        if (recipe := model.pretraining) is not None
        for length, training in recipe.trainings()
    ]
    return made_here + [_run_job(name, params, known) for name in params.runs]


def _run_job(name: str, params: Study, known: Study | None) -> Job:
    run, training, scoring = params.runs[name], params.training(name), params.evaluation(name)
    while_training = 0 if training is None else training.epochs or training.evaluations
    final = scoring.hash_draws * _final_passes(params, name)
    return Job(
        name=name,
        model=run.model,
        corpus=run.corpus,
        sequence_length=run.sequence_length,
        training=training,
        options=params.given_options(name),
        policy=params.chunking(name).policy,
        amount=amount_of(run.corpus, run.model, params, known),
        passes={"validation": while_training + final, "test": final},
        scoring=scoring,
    )


def stage_tokens(params: Study) -> dict[str, float]:
    """How much work the stages are that train and score, by the names that DVC gives them.

    In tokens of training: a scored one counts FORWARD_SHARE of that. Estimated of what is declared;
    a stage whose text is of unknown size is left out.
    """
    found: dict[str, float] = {}
    for job in jobs(params, None):
        training, length = job.training, job.sequence_length
        stage = f"pretrain@{job.model}" if job.corpus is None else f"finetune@{job.name}"
        if training is not None and training.updates is not None:
            tokens: int | None = training.updates * training.sequences(length) * length
        else:
            tokens = job.tokens_read()
        if tokens:
            found[stage] = found.get(stage, 0.0) + tokens
        if job.corpus is not None and job.amount.tokens:
            windows = sum(job.windows(split) or 0 for split in ("validation", "test"))
            found[f"evaluate@{job.name}"] = FORWARD_SHARE * job.passes["test"] * windows * length
    return found


def _final_passes(params: Study, run: str) -> int:
    """How often each split is scored at the end under one draw, each way of scoring once."""
    scoring = params.evaluation(run)
    contexts = sum(length < params.runs[run].sequence_length for length in scoring.contexts)
    protocols = sum(policy != params.chunking(run).policy for policy in scoring.protocols)
    own = 1 + _peeks(params.options(run))
    return own + contexts + len(scoring.hash_rounds) + protocols


def _peeks(options: ModelOptions) -> bool:
    """Whether a run is scored under the published rule, too."""
    return (
        isinstance(options, ReformerOptions)
        and options.implementation == "reformer-seqlen"
        and options.lsh_causality == "strict"
    )


def _amount_of_pretraining(recipe: Pretraining) -> Amount:
    size = raw_bytes(recipe.file)
    size = min(filter(None, (size, recipe.first_bytes)), default=None)
    if size is None:
        return Amount()
    tokens = size / BYTES_PER_PIECE
    shares = {"train": 1 - recipe.validation, "validation": recipe.validation}
    return Amount({split: round(tokens * share) for split, share in shares.items()})


def amount_of(corpus: str, model: str, params: Study, known: Study | None) -> Amount:
    """The tokens of a corpus under a model's tokenizer: counted by an earlier run, or estimated."""
    folder = TOKENS / f"{corpus}-{model}"
    there = all((folder / f"{split}.rows.npy").exists() for split in SPLITS)
    if known is not None and there and _declared_alike(corpus, model, params, known):
        splits: dict[str, Any] = read_json(folder / "tokens.json")["splits"]
        return Amount(
            {split: item["tokens"] for split, item in splits.items()},
            {split: item["rows"] for split, item in splits.items()},
            token_set=folder,
        )
    texts, measured = text_bytes(corpus, params.corpora[corpus]), PUBLISHED.get(corpus)
    if measured is None:
        return Amount({split: round(size / BYTES_PER_PIECE) for split, size in texts.items()})
    return Amount(
        {split: round(size / measured.bytes_per_piece) for split, size in texts.items()},
        {split: round(size / measured.bytes_per_row) for split, size in texts.items()},
        measured.row_spread,
    )


def _declared_alike(corpus: str, model: str, params: Study, known: Study) -> bool:
    name = f"{corpus}-{model}"
    return (
        params.corpora[corpus] == known.corpora.get(corpus)
        and params.models[model] == known.models.get(model)
        and params.tokens[name] == known.tokens.get(name)
    )


def text_bytes(name: str, corpus: Corpus) -> dict[str, int]:
    """The bytes of each split, estimated; empty where a source does not declare its size."""
    measured = PUBLISHED.get(name)
    bytes_per_row = BYTES_PER_ROW if measured is None else measured.bytes_per_row
    rows = corpus.first_rows and round(corpus.first_rows * bytes_per_row)
    sizes = {
        name: min(filter(None, (raw_bytes(source), corpus.first_bytes, rows)), default=None)
        for name, source in corpus.files.items()
    }
    if corpus.split is None:
        return {} if None in sizes.values() else {name: size or 0 for name, size in sizes.items()}
    whole = sizes["all"]
    if whole is None:
        return {}
    validation, test = corpus.split.validation, corpus.split.test
    shares = dict(zip(SPLITS, (1 - validation - test, validation, test), strict=True))
    return {split: round(whole * share) for split, share in shares.items()}


def raw_bytes(source: FileSource) -> int | None:
    """The bytes of a file, unpacked: as declared, or as found on this machine; None if unknown."""
    if isinstance(source, HubSource):
        return source.size
    if source.unpacked_size is not None:
        return source.unpacked_size
    match source:
        case WheelSource():
            return None
        case UrlSource():
            name, size = source.file_name, source.size
        case PackageSource():
            name, size = source.file, _packaged_bytes(source)
        case PathSource():
            path = Path(source.path).expanduser()
            name, size = path.name, path.stat().st_size if path.is_file() else None
    packed = source.member is not None or packing(name, source.compression) is not None
    return None if packed else size


def _packaged_bytes(source: PackageSource) -> int | None:
    try:
        files = importlib.metadata.files(source.package) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((file.size for file in files if str(file) == source.file), None)


def download_bytes(params: Study) -> int:
    """The bytes that come over the network, of the files whose sizes are declared."""
    files = [source for corpus in params.corpora.values() for source in corpus.files.values()]
    return sum(source.size or 0 for source in files if isinstance(source, UrlSource | HubSource))


def disk_bytes(todo: list[Job], parameters: Mapping[str, int], params: Study) -> int:
    """The most that the study takes on disk: its results, DVC's cache, and checkpoints in training.

    Args:
        todo: its trainings.
        parameters: of each job's model, by the job's name.
        params: the study.
    """
    texts = sum(sum(text_bytes(*each).values()) for each in params.corpora.items())
    sets = {(job.corpus, job.model): job.amount.tokens for job in todo if job.corpus}
    tokens = sum(sum(amount.values()) for amount in sets.values())
    models = {job.name: BYTES_PER_NUMBER * parameters.get(job.name, 0) for job in todo}
    kept = COPIES * (texts + BYTES_PER_TOKEN * tokens + sum(models.values()))
    states = (
        models[job.name] * STATES[job.training.optimizer]
        for job in todo
        if job.training is not None
    )
    return download_bytes(params) + kept + CHECKPOINTS * max(states, default=0)
