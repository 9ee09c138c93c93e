"""Score a run's model on validation and test: `python -m stages.evaluate RUN`.

Reads data/models/RUN, data/tokens/CORPUS-MODEL and data/windows/RUN. Writes the folder
data/evaluations/RUN: scores.json, and for each split the loss of every target in nats
(SPLIT.nats.npy) and its sums over blocks of text (SPLIT.blocks.npy, and SPLIT.POLICY.blocks.npy of
further protocols), from which intervals come; and how long scoring took, to
data/timings/evaluate/RUN.json. Goes on from finished batches in work/evaluate/RUN if it was
interrupted.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from reformer_seqlen.models.causal import check_ids, draws_hashes, load
from reformer_seqlen.parameters.common.reading import known, read_section
from reformer_seqlen.parameters.evaluation import Evaluation
from reformer_seqlen.parameters.model_options import options_of
from reformer_seqlen.parameters.runs import Run, overridden
from reformer_seqlen.reformer.configuration import wraps
from reformer_seqlen.reformer.model import Reformer
from reformer_seqlen.runtime import machine
from reformer_seqlen.runtime.checkpoints import fingerprint, stopwatch, work_folder
from reformer_seqlen.runtime.files import read_json, whole_folder, write_json
from reformer_seqlen.runtime.messages import parameters as messages
from reformer_seqlen.runtime.messages import text as text_messages
from reformer_seqlen.runtime.paths import EVALUATIONS, MODELS, TIMINGS, TOKENS, WINDOWS
from reformer_seqlen.scoring.scorer import Scorer
from reformer_seqlen.text.splits import load_split
from reformer_seqlen.training.determinism import device, make_deterministic


def load_scorer(
    name: str, run: Run, settings: Evaluation, options: Mapping[str, Any], work: Path
) -> Scorer:
    """A run's model on the device that is there; what takes long is stored in `work`.

    Raises:
        StudyError: it is to be scored with other numbers of hash rounds, and no layer hashes.
    """
    folder, key = MODELS / name, f"runs.{name}"

    def loaded(**changes: Any) -> PreTrainedModel:
        chosen = {**options, **changes}
        model = load(folder, sequence_length=run.sequence_length, options=chosen, key=key)
        return model.to(device())

    model = loaded()
    if settings.hash_rounds and not draws_hashes(model):
        raise messages.nothing_hashes(name, run.model)
    peeking = None
    if _may_peek(model, run.sequence_length):
        buckets = model.config.lsh_num_buckets  # alike, so that both rules draw the same hashes
        peeking = loaded(lsh_causality="published", num_buckets=buckets)
    with_rounds = (lambda rounds: loaded(num_hashes=rounds)) if settings.hash_rounds else None
    return Scorer(model, peeking, settings, with_rounds, work)


def _may_peek(model: PreTrainedModel, sequence_length: int) -> bool:
    """Whether the published lsh rule can read such texts, and is not the model's own."""
    return (
        isinstance(model, Reformer)
        and draws_hashes(model)
        and model.config.lsh_causality == "strict"
        and not wraps(model.config, sequence_length)
    )


def check_unknown(name: str, record: Mapping[str, Any], limit: float) -> None:
    """Refuse to score splits whose text the tokenizer does not know, by a token set's record.

    Raises:
        StudyError: more of a split's pieces than the limit are unknown.
    """
    for part in ("validation", "test"):
        counts = record["splits"][part]
        if counts["unknown"] > limit * counts["tokens"]:
            raise text_messages.too_many_unknown(name, part, counts, limit)


def evaluate(name: str, run: Run, settings: Evaluation, options: Mapping[str, Any]) -> None:
    """Score a run on validation and test and write what came of it."""
    make_deterministic(settings.threads)
    tokens = TOKENS / f"{run.corpus}-{run.model}"
    record = read_json(tokens / "tokens.json")
    check_unknown(name, record, settings.unknown_limit)
    inputs = [
        path for folder in (MODELS / name, tokens, WINDOWS / name) for path in folder.iterdir()
    ]
    values = [run.model_dump(), settings.model_dump(), options]
    result: dict[str, Any] = {"run": name, "sequence_length": run.sequence_length}
    with (
        work_folder("evaluate", name, fingerprint(values, inputs, Path(__file__))) as work,
        whole_folder(EVALUATIONS / name) as folder,
    ):
        scorer = load_scorer(name, run, settings, options, work)
        with stopwatch(work) as seconds:
            for part in ("validation", "test"):
                split = load_split(tokens, WINDOWS / name, part)
                check_ids(scorer.model, [split.tokens.ids], run.model)
                words = record["splits"][part].get("words")
                result[part] = scorer.score_split(split, part, folder, record["unknown_id"], words)
            spent = {"runtime_seconds": seconds()}
        write_json(folder / "scores.json", result)
    write_json(TIMINGS / "evaluate" / f"{name}.json", {**spent, **machine.describe()})


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
