"""Reading what the stages left in data/.

Everything is read before the report writes anything, so that a missing or broken file stops it
with one message and leaves what was there.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError

from reformer_seqlen.reporting.published import load_published, published_mib
from reformer_seqlen.reporting.records import (
    Blocks,
    Card,
    Counted,
    GpusOfRow,
    GpusStudy,
    History,
    MemoryRow,
    MemoryRows,
    Runtime,
    Scores,
    Text,
    Timing,
    TokenSet,
    TrainingPoint,
    TrainingStudy,
    Windows,
)
from reformer_seqlen.runtime import paths
from reformer_seqlen.runtime.errors import StudyError

if TYPE_CHECKING:
    from reformer_seqlen.parameters.model_options import ModelOptions
    from reformer_seqlen.parameters.study import Study
    from reformer_seqlen.parameters.training import Training

RecordT = TypeVar("RecordT", bound=BaseModel)


@dataclass(frozen=True)
class Results:
    """Everything that the stages found out, in the order of params.yaml.

    Attributes:
        protocol_blocks: of each run by policies that are not its own, where they are kept.
        seeds: of each stage that draws, by its kind, then its model or run.
        settings: of the training of each run that is trained.
    """

    histories: dict[str, History]
    timings: dict[str, Timing]
    pretraining_timings: dict[str, Timing]
    evaluation_timings: dict[str, Runtime]
    count_timings: dict[str, Runtime]
    memory_timing: Runtime
    scores: dict[str, Scores]
    blocks: dict[str, Blocks]
    protocol_blocks: dict[str, dict[str, Blocks]]
    counts: dict[str, Counted]
    count_blocks: dict[str, Blocks]
    tokens: dict[str, TokenSet]
    windows: dict[str, Windows]
    cards: dict[str, Card]
    texts: dict[str, Text]
    memory: dict[str, MemoryRow]
    memory_gpus: dict[str, GpusOfRow]
    memory_training: list[TrainingPoint]
    seeds: dict[str, dict[str, int]]
    settings: dict[str, dict[str, Any]]


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
        raise StudyError(f"{folder} is not what scoring leaves: {error}") from error


def _read_protocol_blocks(folder: Path) -> dict[str, Blocks]:
    """Of SPLIT.POLICY.blocks.npy, by policy."""
    found: dict[str, Blocks] = {}
    for path in sorted(folder.glob("*.*.blocks.npy")):
        split, policy, *_ = path.name.split(".")
        found.setdefault(policy, {})[split] = np.load(path, allow_pickle=False)
    return found


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
        count_timings=each(params.counts, paths.TIMINGS / "count", Runtime),
        memory_timing=read_record(root / paths.TIMINGS / "benchmark_memory.json", Runtime),
        scores=each(runs, paths.EVALUATIONS, Scores, "{}/scores.json"),
        blocks={name: _read_blocks(root / paths.EVALUATIONS / name) for name in runs},
        protocol_blocks={
            name: _read_protocol_blocks(root / paths.EVALUATIONS / name) for name in runs
        },
        counts=each(params.counts, paths.COUNTS, Counted, "{}/scores.json"),
        count_blocks={name: _read_blocks(root / paths.COUNTS / name) for name in params.counts},
        tokens=each(params.tokens, paths.TOKENS, TokenSet, "{}/tokens.json"),
        windows=each(runs, paths.WINDOWS, Windows, "{}/report.json"),
        cards=each(models, paths.BASES, Card, "{}/card.json"),
        texts=each(params.corpora, paths.TEXTS, Text, "{}/source.json"),
        memory=_beside_published(read_record(memory / "rows.json", MemoryRows).root),
        memory_gpus=read_record(memory / "gpus.json", GpusStudy).root,
        memory_training=read_record(memory / "training.json", TrainingStudy).root,
        seeds=_seeds(params),
        settings={
            name: _settings(training, run.sequence_length, params.options(name))
            for name, run in runs.items()
            if (training := params.training(name)) is not None
        },
    )


def _settings(training: "Training", length: int, options: "ModelOptions") -> dict[str, Any]:
    """What the published study said of its own training, and the rule of its lsh layers."""
    said = training.model_dump(include={"optimizer", "learning_rate", "weight_decay"})
    rule = options.model_dump(include={"lsh_causality"})
    return {**said, "batch_size": training.sequences(length), **rule}


def _seeds(params: "Study") -> dict[str, dict[str, int]]:
    recipes = {name: model.pretraining for name, model in params.models.items()}
    trained = {name: params.training(name) for name in params.runs}
    return {
        "pretrain": {name: it.train.seed for name, it in recipes.items() if it and it.train},
        "finetune": {name: it.seed for name, it in trained.items() if it},
        "evaluate": {name: params.evaluation(name).seed for name in params.runs},
    }
