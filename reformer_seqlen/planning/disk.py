"""What a study takes of the network and of the disk."""

from collections.abc import Mapping

from reformer_seqlen.parameters.sources import HubSource, UrlSource
from reformer_seqlen.parameters.study import Study
from reformer_seqlen.planning.amounts import text_bytes
from reformer_seqlen.planning.jobs import Job

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
