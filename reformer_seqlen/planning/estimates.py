"""What trainings take on this machine: memory by prediction, time by a few updates."""

from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from reformer_seqlen.models.configurations import Config
from reformer_seqlen.parameters.study import Study
from reformer_seqlen.planning.jobs import FORWARD_SHARE, Job
from reformer_seqlen.planning.trial import (
    Pace,
    Trial,
    base_config,
    counted_parameters,
    job_config,
    predicted_memory,
)
from reformer_seqlen.reformer import activations
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.training import determinism

GIB = 1 << 30


@dataclass(frozen=True)
class Estimate:
    """What one training takes; None where it is not known or was not tried.

    Attributes:
        parameters: of its model, by kind (see `models.causal.parameter_counts`).
        memory: bytes that its updates need.
        pace: of its updates.
        problem: why it cannot run on this machine.
    """

    parameters: dict[str, int] | None = None
    memory: int | None = None
    pace: Pace | None = None
    problem: str | None = None


def estimate(job: Job, base: Config | None, trial: Trial) -> Estimate:
    """Predict a training's memory and, where it fits, time a few of its updates.

    Of a run that is not trained, the same of scoring a batch.
    """
    if base is None:
        return Estimate()
    try:
        config = job_config(base, job)
        parameters = counted_parameters(config, job)
    except StudyError as error:
        return Estimate(problem=str(error))
    try:
        memory = predicted_memory(config, job).allocated
    except StudyError as error:
        return Estimate(parameters, problem=str(error))
    device = determinism.device()
    available = activations.memory_bytes(device)
    if device.type == "cpu":  # which all processes share
        available //= job.processes
    if memory > available:
        problem = (
            f"needs about {memory / GIB:.1f} GiB, and this machine has {available / GIB:.1f}: "
            "a smaller batch_size, or `reversible: true`, or a larger machine"
        )
        return Estimate(parameters, memory, problem=problem)
    return Estimate(parameters, memory, trial.pace(config, job))


def estimates(todo: list[Job], params: Study) -> dict[str, Estimate]:
    """An estimate for every training; trainings of the same model and batches share one."""
    trial, found, done = Trial(), {}, {}
    shown = tqdm(todo, desc="trial", unit="training", leave=False, disable=None)
    for job in shown:
        shown.set_postfix_str(job.name)
        settings, optimizer = job.settings, job.training and job.training.optimizer
        determinism.make_deterministic(settings.threads)
        shape: tuple[Any, ...] = (job.model, job.sequence_length, job.options)
        shape += (job.part_size, job.processes, optimizer, settings.precision, settings.threads)
        if (key := repr(shape)) not in done:
            base = base_config(job.model, params.models[job.model])
            done[key] = estimate(job, base, trial)
        found[job.name] = done[key]
    return found


def expected_seconds(job: Job, pace: Pace) -> float | None:
    """The seconds of a training and of all its scoring; None if its updates are not known."""
    updates = job.updates()
    if updates is None:
        return None
    scored = job.scored_windows() / job.batch_size
    if job.training is None:
        return pace.seconds * scored
    return pace.seconds * (updates + FORWARD_SHARE * scored)
