"""Score a run's model on validation and test: `python -m stages.evaluate RUN`.

Reads data/models/RUN, data/tokens/CORPUS-MODEL and data/windows/RUN; writes
data/evaluations/RUN.json: losses in nats per piece, perplexity, bits per byte, and what the same
weights score when lsh attention may peek as the published one does.
"""

from argparse import ArgumentParser
from pathlib import Path
from statistics import fmean
from typing import Any

from transformers import PreTrainedModel

from stages.reformer.model import load_reformer
from stages.study import machine
from stages.study.console import run
from stages.study.layout import EVALUATIONS, MODELS
from stages.study.outputs import finite, write_json
from stages.study.params import Evaluation, Params, known, load_params
from stages.text.splits import Split, load_split
from stages.text.tokens import load_tokenizer
from stages.training.scoring import bits_per_byte, describe_targets, mean_nats, perplexity


def score(
    model: PreTrainedModel, split: Split, settings: Evaluation, description: str
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
    split: Split, losses: list[float], peeking: list[float] | None, unknown_id: int
) -> dict[str, float | int | None]:
    """What is written of one split.

    Args:
        split: what was scored.
        losses: nats per token for each draw of the hashes.
        peeking: the same under the published lsh rule, None if that is the run's own.
        unknown_id: the tokenizer's unknown piece.
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


def evaluate(name: str, params: Params, target: Path) -> None:
    """Score a run on validation and test and write it to `target`."""
    item, settings, options = params.runs[name], params.evaluation(name), params.attention(name)
    machine.make_deterministic(settings.threads)
    folder = MODELS / name
    unknown_id = load_tokenizer(folder).unk_id()
    load = {"sequence_length": item.sequence_length, **options.options()}
    model, peeking_model = load_reformer(folder, **load).to(machine.device()), None
    if options.implementation == "reformer-seqlen" and options.lsh_causality == "strict":
        peeking_model = load_reformer(folder, **{**load, "lsh_causality": "published"})
        peeking_model.to(machine.device())
    result: dict[str, Any] = {"run": name, "sequence_length": item.sequence_length}
    for split_name in ("validation", "test"):
        split = load_split(name, params, split_name)
        losses, peeking = score(model, split, settings, split_name), None
        if peeking_model is not None:
            peeking = score(peeking_model, split, settings, f"{split_name}, peeking")
        result[split_name] = describe(split, losses, peeking, unknown_id)
    write_json(target, result)


def main() -> None:
    """Score the run named on the command line."""
    parser = ArgumentParser(prog="python -m stages.evaluate", description=__doc__)
    parser.add_argument("run", help="a key of `runs` in params.yaml")
    name = parser.parse_args().run
    params = load_params()
    known("runs", params.runs, name)
    evaluate(name, params, EVALUATIONS / f"{name}.json")


if __name__ == "__main__":
    run(main)
