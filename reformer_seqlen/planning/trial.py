"""What one update takes here: memory predicted, time measured on random tokens.

Of a run that is not trained, the same of a batch that is scored.
"""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import ReformerConfig

from reformer_seqlen.bases.architecture import architecture
from reformer_seqlen.memory.prediction import (
    Prediction,
    make_optimizer,
    predict,
    reformer_training_memory,
    stock_reformer,
    trace_inference,
    trace_training,
)
from reformer_seqlen.models.causal import checkpoint_config, create, parameter_counts
from reformer_seqlen.models.configurations import Config, check_length
from reformer_seqlen.parameters.common.quantities import CHUNK_LENGTH
from reformer_seqlen.parameters.model_options import ModelOptions, ReformerOptions, options_for
from reformer_seqlen.parameters.models import Model
from reformer_seqlen.parameters.sources import HubCheckpoint, PathSource
from reformer_seqlen.planning.jobs import Job
from reformer_seqlen.reformer.activations import recomputes
from reformer_seqlen.reformer.crime_and_punishment import CRIME_AND_PUNISHMENT
from reformer_seqlen.reformer.model import Reformer, configured
from reformer_seqlen.runtime.paths import BASES
from reformer_seqlen.scoring.loss import autocast, nats
from reformer_seqlen.training import determinism

KNOWN_CHECKPOINTS = {
    "google/reformer-crime-and-punishment": {**CRIME_AND_PUNISHMENT, "vocab_size": 320}
}
"""Configurations that are known without a download."""
TRIAL_TOKENS = 4096
"""A timed update has about as many: on two cores a second, long enough to time well."""


@dataclass(frozen=True)
class Pace:
    """How long an update takes, or scoring a batch of a run that is not trained.

    Attributes:
        seconds: of one.
        batch_size: of the update that was timed; if it is less than the run's, `seconds` is
            extrapolated linearly in the tokens.
    """

    seconds: float
    batch_size: int


def base_config(name: str, model: Model) -> Config | None:
    """A base model's configuration; None where it is not known before it is fetched."""
    if model.pretraining is not None:
        return architecture(name, model, model.pretraining)
    match model.checkpoint:
        case PathSource(path=path) if (Path(path).expanduser() / "config.json").is_file():
            return checkpoint_config(Path(path).expanduser())
        case HubCheckpoint(repository=repository) if repository in KNOWN_CHECKPOINTS:
            return ReformerConfig(**KNOWN_CHECKPOINTS[repository])
        case _ if (BASES / name / "config.json").is_file():
            return checkpoint_config(BASES / name)
    return None


def job_config(base: Config, job: Job) -> Config:
    """The configuration that a job's model is made with.

    Raises:
        StudyError: the base model can't be what the job asks for.
    """
    options = options_of(base, job)
    if isinstance(options, ReformerOptions):
        chosen = options.model_dump()
        return configured(base, job.model, sequence_length=job.sequence_length, **chosen)
    check_length(base, job.sequence_length)
    return base


def options_of(config: Config, job: Job) -> ModelOptions:
    """A job's options, of the kind that its configuration is of."""
    return options_for(config.model_type, job.options, job.name)


def counted_parameters(config: Config, job: Job) -> dict[str, int]:
    """How many parameters of each kind a job's model has, counted without making them."""
    with torch.device("meta"):
        return parameter_counts(create(config, options_of(config, job)))


def predicted_memory(config: Config, job: Job) -> Prediction:
    """The memory that a job's updates need in float32, or its scoring; bfloat16 needs less.

    Of each process, where several share an update.
    """
    batch_size, length = job.part_size, job.sequence_length
    options = options_of(config, job)
    if job.training is None:
        return predict(trace_inference(partial(create, config, options), batch_size, length))
    if not isinstance(options, ReformerOptions):
        build = partial(create, config, options)
        return predict(trace_training(build, batch_size, length, job.training.optimizer))
    ours = options.implementation == "reformer-seqlen"
    tokens = batch_size * length
    recomputed = recomputes(options.reversible, config, tokens, determinism.device())
    return reformer_training_memory(
        config,
        batch_size,
        length,
        reversible=recomputed or not ours,
        optimizer=job.training.optimizer,
        build_reformer=_our_reformer if ours else partial(stock_reformer, dtype=torch.float32),
    )


def _our_reformer(config: ReformerConfig, reversible: bool) -> Reformer:
    chosen = type(config).from_dict(config.to_dict())
    chosen.reversible = "on" if reversible else "off"
    return Reformer(chosen)


class Trial:
    """Times updates on random tokens; the last model is kept for jobs of the same configuration."""

    def __init__(self) -> None:
        self._made: tuple[str, Any, Any] | None = None
        self._known: dict[str, float] = {}

    def pace(self, config: Config, job: Job) -> Pace:
        """Time a few updates of a job's shape.

        Of a large batch only as many sequences as make `TRIAL_TOKENS` are timed. An update on the
        shortest text gives the part that does not depend on the batch, mostly the optimizer; the
        rest is taken to grow linearly with the tokens.
        """
        whole, length = job.part_size, job.sequence_length
        shortest = self._shortest(config, job)
        several = min(whole, max(1, TRIAL_TOKENS // length))
        timed = self._step(config, job, several, length)
        if several == whole:
            return Pace(min(timed, self._step(config, job, whole, length)), whole)
        each = max(timed - shortest, 0.0) / (several * length - CHUNK_LENGTH)
        return Pace(shortest + each * (whole * length - CHUNK_LENGTH), several)

    def _shortest(self, config: Config, job: Job) -> float:
        """The seconds of an update on the shortest text, after one that makes optimizer states."""
        options = options_of(config, job)
        stock = isinstance(options, ReformerOptions) and options.implementation == "transformers"
        length = job.sequence_length if stock and config.axial_pos_embds else CHUNK_LENGTH
        key = self._key(config, job)
        if key not in self._known:
            self._step(config, job, 1, length)
            self._known = {key: min(self._step(config, job, 1, length) for _ in range(2))}
        return self._known[key]

    def _step(self, config: Config, job: Job, batch_size: int, length: int) -> float:
        model, optimizer = self._model(config, job)
        device = determinism.device()
        tokens = torch.randint(config.vocab_size, (batch_size, length), device=device)
        _wait(device)
        began = time.perf_counter()
        training = job.training
        with autocast(device, job.settings.precision), torch.set_grad_enabled(training is not None):
            loss = nats(model(tokens, use_cache=False).logits, tokens)
        if training is not None:
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), training.max_gradient_norm)
            optimizer.step()
            optimizer.zero_grad()
        _wait(device)
        return time.perf_counter() - began

    def _key(self, config: Config, job: Job) -> str:
        optimizer = job.training and job.training.optimizer
        return repr((config.to_dict(), job.options, optimizer))

    def _model(self, config: Config, job: Job) -> tuple[Any, Any]:
        key = self._key(config, job)
        if self._made is None or self._made[0] != key:
            self._made = None  # the last model goes before the next one comes
            torch.manual_seed(0)
            model = create(config, options_of(config, job))
            model.to(determinism.device()).train(job.training is not None)
            optimizer = job.training and make_optimizer(job.training.optimizer, model)
            self._made = (key, model, optimizer)
        return self._made[1:]


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
