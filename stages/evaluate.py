"""Score a run's model on validation and test: `python -m stages.evaluate RUN`.

Reads data/models/RUN, data/tokens/CORPUS-MODEL and data/windows/RUN. Writes the folder
data/evaluations/RUN: scores.json, and for each split the loss of every target in nats
(SPLIT.nats.npy) and its sums over blocks of text (SPLIT.blocks.npy), from which intervals come; and
how long scoring took, to data/timings/evaluate/RUN.json.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedModel

from reformer_seqlen.models.causal import draws_hashes, load
from reformer_seqlen.parameters.common.reading import known, read_section
from reformer_seqlen.parameters.evaluation import Evaluation
from reformer_seqlen.parameters.model_options import options_of
from reformer_seqlen.parameters.runs import Run, overridden
from reformer_seqlen.reformer.model import Reformer
from reformer_seqlen.runtime.files import read_json, whole_folder, write_json
from reformer_seqlen.runtime.paths import EVALUATIONS, MODELS, TIMINGS, TOKENS, WINDOWS
from reformer_seqlen.scoring.loss import Scored, score
from reformer_seqlen.scoring.measures import (
    blocks_of,
    describe,
    describe_peeking,
    nats_by_position,
    short,
)
from reformer_seqlen.text.splits import Split, load_split
from reformer_seqlen.text.windows import sliding
from reformer_seqlen.training.determinism import device, make_deterministic


@dataclass(frozen=True)
class Scorer:
    """A run's model, and how it is scored.

    Attributes:
        peeking: the same weights under the published lsh rule; None if that is the run's own.
    """

    model: PreTrainedModel
    peeking: PreTrainedModel | None
    settings: Evaluation

    def draws(self, model: PreTrainedModel, split: Split, description: str) -> list[Scored]:
        """The scores of every draw of the hashes; one where none is drawn."""
        settings = self.settings
        return [
            score(
                model,
                split,
                batch_size=settings.batch_size,
                precision=settings.precision,
                hash_seed=settings.seed + draw,
                description=description,
            )
            for draw in range(settings.hash_draws if draws_hashes(model) else 1)
        ]


def load_scorer(name: str, run: Run, settings: Evaluation, options: Mapping[str, Any]) -> Scorer:
    """A run's model on the device that is there."""
    folder, key = MODELS / name, f"runs.{name}"

    def loaded(**changes: Any) -> PreTrainedModel:
        chosen = {**options, **changes}
        model = load(folder, sequence_length=run.sequence_length, options=chosen, key=key)
        return model.to(device())

    model = loaded()
    strict = isinstance(model, Reformer) and model.config.lsh_causality == "strict"
    return Scorer(model, loaded(lsh_causality="published") if strict else None, settings)


def windowed(split: Split, stride: int | None) -> Split:
    """The split with overlapping windows, if there is a stride."""
    if stride is None or split.policy == "published":
        return split
    return replace(split, windows=sliding(len(split.tokens), split.length, stride))


def shortened(split: Split, context: int) -> Split:
    """The split in windows of another length."""
    windows = sliding(len(split.tokens), context, context)
    return replace(split, windows=windows, length=context, policy="contiguous")


def mean_over(draws: Sequence[Scored]) -> NDArray[np.float64]:
    """Mean nats of each target, (targets,)."""
    nats: NDArray[np.float64] = np.mean([draw.nats for draw in draws], axis=0, dtype=np.float64)
    return nats


def score_split(
    scorer: Scorer, split: Split, name: str, folder: Path, unknown_id: int | None
) -> Any:
    """Score a split, write its arrays to `folder`, and return what scores.json says of it."""
    draws = scorer.draws(scorer.model, split, name)
    nats = mean_over(draws)
    blocks = blocks_of(split, nats)
    np.save(folder / f"{name}.nats.npy", nats.astype(np.float32))
    np.save(folder / f"{name}.blocks.npy", blocks)
    peeking = {}
    if scorer.peeking is not None:
        published = scorer.draws(scorer.peeking, split, f"{name}, peeking")
        peeking = describe_peeking(*([d.mean_nats for d in each] for each in (draws, published)))
    contexts = {}
    for context in scorer.settings.contexts:
        if context < split.length:
            cut = shortened(split, context)
            found = scorer.draws(scorer.model, cut, f"{name}, {context} tokens of context")
            contexts[context] = short(blocks_of(cut, mean_over(found)))
    return {
        **describe(split, [draw.mean_nats for draw in draws], blocks, unknown_id),
        "accuracy": fmean(float(draw.first.mean()) for draw in draws),
        **peeking,
        "by_position": nats_by_position(split, nats),
        "contexts": contexts,
    }


def evaluate(name: str, run: Run, settings: Evaluation, options: Mapping[str, Any]) -> None:
    """Score a run on validation and test and write what came of it."""
    make_deterministic(settings.threads)
    tokens = TOKENS / f"{run.corpus}-{run.model}"
    unknown_id = read_json(tokens / "tokens.json")["unknown_id"]
    scorer = load_scorer(name, run, settings, options)
    result: dict[str, Any] = {"run": name, "sequence_length": run.sequence_length}
    began = time.monotonic()
    with whole_folder(EVALUATIONS / name) as folder:
        for part in ("validation", "test"):
            split = windowed(load_split(tokens, WINDOWS / name, part), settings.stride)
            result[part] = score_split(scorer, split, part, folder, unknown_id)
        write_json(folder / "scores.json", result)
    seconds = time.monotonic() - began
    write_json(TIMINGS / "evaluate" / f"{name}.json", {"runtime_seconds": seconds})


def main(name: str) -> None:
    """Score a run."""
    run = known("runs", read_section("runs", dict[str, Run]), name)
    settings = overridden(
        read_section("evaluate", Evaluation), run.evaluate, f"runs.{name}.evaluate"
    )
    evaluate(name, run, settings, options_of(run))


if __name__ == "__main__":
    from reformer_seqlen.commands.stage import run_each

    run_each(main, "runs")
