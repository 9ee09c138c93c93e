"""What a stage takes of a worker: threads, memory by our own prediction, a GPU, time by plan."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reformer_seqlen.parameters.sources import PathSource
from reformer_seqlen.parameters.study import Study
from reformer_seqlen.pipeline.progress import STARTUP_SECONDS

if TYPE_CHECKING:
    from reformer_seqlen.planning.estimates import Estimate
    from reformer_seqlen.planning.jobs import Job

GIB = 1 << 30
PROCESS_BYTES = 2 * GIB
"""Of Python, torch and what a stage reads."""
MARGIN = 1.25
"""Processes take more than their tensors: buffers of kernels, memory that is not in one piece."""


@dataclass(frozen=True)
class Footprint:
    """What a stage needs.

    Attributes:
        threads: that it computes with.
        memory_bytes: of the machine.
        tensor_bytes: of each process: of its GPU, if it runs on one, of the machine otherwise.
        gpus: one for each process that computes with torch.
        seconds: that it takes here; None if that is not known.
    """

    threads: int = 1
    memory_bytes: int = PROCESS_BYTES
    tensor_bytes: int = 0
    gpus: int = 0
    seconds: float | None = STARTUP_SECONDS

    def on(self, gpus: bool) -> "Footprint":
        """The same where workers have GPUs or not; only what computes with torch uses them."""
        if gpus and self.gpus:
            return replace(self, memory_bytes=self.gpus * PROCESS_BYTES)
        needed = PROCESS_BYTES + round(MARGIN * self.tensor_bytes)
        return replace(self, gpus=0, memory_bytes=max(1, self.gpus) * needed)


def footprints(params: Study, stages: Collection[str]) -> dict[str, Footprint]:
    """What each stage needs; models are made to time a few updates, none is trained.

    Args:
        params: the study.
        stages: names of dvc.yaml.
    """
    from reformer_seqlen.planning.estimates import estimates
    from reformer_seqlen.planning.jobs import jobs, present_study

    named = {name: _own_stages(name, params) for name in (job.name for job in jobs(params, None))}
    todo = [job for job in jobs(params, present_study()) if named[job.name] & set(stages)]
    found: dict[str, list[Footprint]] = {}
    estimated = estimates(todo, params)
    for job in todo:
        for stage, footprint in _of_job(job, estimated[job.name], params).items():
            found.setdefault(stage, []).append(footprint)
    return {name: _together(found[name]) if name in found else Footprint() for name in stages}


def _own_stages(job: str, params: Study) -> set[str]:
    if job in params.runs:
        return {f"finetune@{job}", f"evaluate@{job}"}
    return {f"pretrain@{job.removeprefix('pretrain ').partition(',')[0]}"}


def _of_job(job: "Job", estimate: "Estimate", params: Study) -> dict[str, Footprint]:
    from reformer_seqlen.planning.estimates import expected_seconds

    known = estimate.memory or 0
    training = scoring = None
    if estimate.pace is not None:
        whole = expected_seconds(job, estimate.pace)
        training = expected_seconds(replace(job, passes={}), estimate.pace)
        scoring = None if whole is None or training is None else whole - training
    threads, processes = job.settings.threads, job.processes
    trained = Footprint(threads * processes, tensor_bytes=known, gpus=processes, seconds=training)
    if job.name not in params.runs:
        return dict.fromkeys(_own_stages(job.name, params), trained)
    scored = Footprint(params.evaluation(job.name).threads, tensor_bytes=known, gpus=1)
    return {
        f"finetune@{job.name}": trained if job.training else Footprint(threads),
        f"evaluate@{job.name}": replace(scored, seconds=scoring),
    }


def _together(parts: list[Footprint]) -> Footprint:
    """What one stage needs that runs several trainings one after another."""
    times = [part.seconds for part in parts]
    known = None if None in times else STARTUP_SECONDS + sum(time or 0.0 for time in times)
    return Footprint(
        threads=max(part.threads for part in parts),
        tensor_bytes=max(part.tensor_bytes for part in parts),
        gpus=max(part.gpus for part in parts),
        seconds=known,
    )


def reads_this_machine(stage: str, params: Study) -> bool:
    """Whether a stage reads a file of this machine, by `kind: path`, which workers may not have."""
    kind, _, key = stage.partition("@")
    if kind == "download":
        return any(isinstance(file, PathSource) for file in params.corpora[key].files.values())
    if kind == "pretrain":
        model = params.models[key]
        recipe = model.pretraining
        return isinstance(model.checkpoint if recipe is None else recipe.file, PathSource)
    return False
