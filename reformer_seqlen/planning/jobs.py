"""The trainings of a study, with the windows that they read and score. Nothing is downloaded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from reformer_seqlen.parameters.common.quantities import Policy
from reformer_seqlen.parameters.evaluation import Evaluation
from reformer_seqlen.parameters.model_options import ModelOptions, ReformerOptions
from reformer_seqlen.parameters.models import Model
from reformer_seqlen.parameters.study import Study, load_study, may_hash
from reformer_seqlen.parameters.training import Training
from reformer_seqlen.planning.amounts import Amount, amount_of, amount_of_pretraining
from reformer_seqlen.planning.blocks import cut_windows, expected_blocks
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.paths import PARAMS
from reformer_seqlen.text.chunking import cut

FORWARD_SHARE = 1 / 3
"""Scoring some windows takes this share of the time of an update on them."""


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


def present_study() -> Study | None:
    """The study of params.yaml, whose counts an earlier run may have left; None without one."""
    try:
        return load_study() if PARAMS.exists() else None
    except StudyError:
        return None


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
            amount=amount_of_pretraining(recipe),
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
    own = 1 + _peeks(params.models[params.runs[run].model], params.options(run))
    return own + contexts + len(scoring.hash_rounds) + protocols


def _peeks(model: Model, options: ModelOptions) -> bool:
    """Whether a run is scored under the published rule, too."""
    return (
        may_hash(model, options)
        and isinstance(options, ReformerOptions)
        and options.implementation == "reformer-seqlen"
        and options.lsh_causality == "strict"
    )
