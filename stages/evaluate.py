"""Score a run's model on validation and test: `python -m stages.evaluate RUN`.

Reads data/models/RUN, data/tokens/CORPUS-MODEL and data/windows/RUN; writes
data/evaluations/RUN.json: losses in nats per piece, perplexity, bits per byte, and what the same
weights score when lsh attention may peek as the published one does; and how long scoring took, to
data/timings/evaluate/RUN.json.
"""

import time
from statistics import fmean
from typing import Any

from reformer_seqlen.parameters.common.reading import known, read_section
from reformer_seqlen.parameters.evaluation import Evaluation
from reformer_seqlen.parameters.model_options import ModelOptions, options_of
from reformer_seqlen.parameters.runs import Run, overridden
from reformer_seqlen.reformer.model import Reformer, StockReformer, load_reformer
from reformer_seqlen.runtime.files import finite, write_json
from reformer_seqlen.runtime.paths import EVALUATIONS, MODELS, TIMINGS, TOKENS, WINDOWS
from reformer_seqlen.scoring.loss import mean_nats
from reformer_seqlen.scoring.measures import bits_per_byte, describe_targets, perplexity
from reformer_seqlen.text.splits import Split, load_split
from reformer_seqlen.text.tokenizers import load_tokenizer
from reformer_seqlen.training.determinism import device, make_deterministic


def score(
    model: Reformer | StockReformer, split: Split, settings: Evaluation, description: str
) -> list[float]:
    """Mean nats per scored token, once for each draw of the hashes."""
    return [
        mean_nats(
            model,
            split,
            batch_size=settings.batch_size,
            precision=settings.precision,
            hash_seed=settings.seed + draw,
            description=description,
        )
        for draw in range(settings.hash_draws)
    ]


def describe(
    split: Split, losses: list[float], peeking: list[float] | None, unknown_id: int | None
) -> dict[str, float | int | None]:
    """What is written of one split.

    Args:
        split: what was scored.
        losses: nats per token for each draw of the hashes.
        peeking: the same under the published lsh rule, None if that is the run's own.
        unknown_id: the tokenizer's unknown piece, if it has one.
    """
    target = describe_targets(split, unknown_id)
    loss = fmean(losses)
    return {
        "loss_nats": finite(loss),
        "perplexity": perplexity(loss),
        "tokens": target.tokens,
        "bytes": target.bytes,
        "bits_per_byte": finite(bits_per_byte(loss * target.tokens, target.bytes)),
        "unknown_rate": target.unknown / target.tokens,
        "unigram_perplexity": perplexity(target.unigram_nats),
        "hash_draws": len(losses),
        "perplexity_spread": spread([p for p in map(perplexity, losses) if p is not None]),
        **({} if peeking is None else describe_peeking(losses, peeking)),
    }


def describe_peeking(strict: list[float], published: list[float]) -> dict[str, float | None]:
    """What the same weights score under the published rule.

    The spread is of the change: both rules hash alike in a draw, so the change says what peeking
    is worth, and its spread over the draws how well that is known.
    """
    pairs = zip(map(perplexity, strict), map(perplexity, published), strict=True)
    changes = [there - here for here, there in pairs if here is not None and there is not None]
    return {
        "perplexity_published_lsh": perplexity(fmean(published)),
        "perplexity_published_lsh_spread": spread(changes),
    }


def spread(values: list[float]) -> float:
    """Between the lowest and the highest."""
    return max(values, default=0.0) - min(values, default=0.0)


def evaluate(name: str, run: Run, settings: Evaluation, options: ModelOptions) -> None:
    """Score a run on validation and test and write what came of it."""
    make_deterministic(settings.threads)
    folder, tokens = MODELS / name, TOKENS / f"{run.corpus}-{run.model}"
    unknown_id = load_tokenizer(folder).unknown_id
    load = {"sequence_length": run.sequence_length, **options.model_dump()}
    model, peeking_model = load_reformer(folder, **load).to(device()), None
    if options.implementation == "reformer-seqlen" and options.lsh_causality == "strict":
        peeking_model = load_reformer(folder, **{**load, "lsh_causality": "published"})
        peeking_model.to(device())
    result: dict[str, Any] = {"run": name, "sequence_length": run.sequence_length}
    began = time.monotonic()
    for split_name in ("validation", "test"):
        split = load_split(tokens, WINDOWS / name, split_name)
        losses, peeking = score(model, split, settings, split_name), None
        if peeking_model is not None:
            peeking = score(peeking_model, split, settings, f"{split_name}, peeking")
        result[split_name] = describe(split, losses, peeking, unknown_id)
    seconds = time.monotonic() - began
    write_json(EVALUATIONS / f"{name}.json", result)
    write_json(TIMINGS / "evaluate" / f"{name}.json", {"runtime_seconds": seconds})


def main(name: str) -> None:
    """Score a run."""
    run = known("runs", read_section("runs", dict[str, Run]), name)
    settings = overridden(
        read_section("evaluate", Evaluation), run.evaluate, f"runs.{name}.evaluate"
    )
    evaluate(name, run, settings, options_of(name, run))


if __name__ == "__main__":
    from reformer_seqlen.commands.stage import run_each

    run_each(main, "runs")
