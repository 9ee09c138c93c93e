"""Say what the study of params.yaml, or a profile, would take before it is started.

Prints runs, updates, tokens, memory, disk and an estimate of the time on this machine, from a few
updates on random tokens. Nothing is downloaded or written.
"""

import shutil
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tabulate import tabulate

from reformer_seqlen.parameters.profiles import load_profile
from reformer_seqlen.parameters.sources import HubCheckpoint
from reformer_seqlen.parameters.study import Study, load_study
from reformer_seqlen.planning.disk import disk_bytes, download_bytes
from reformer_seqlen.planning.estimates import GIB, Estimate, estimates, expected_seconds
from reformer_seqlen.planning.jobs import Job, jobs, present_study
from reformer_seqlen.planning.trial import Pace
from reformer_seqlen.reformer import activations
from reformer_seqlen.reporting.published import load_published, published_updates
from reformer_seqlen.runtime import machine
from reformer_seqlen.runtime.paths import PARAMS
from reformer_seqlen.runtime.progress import duration
from reformer_seqlen.training import determinism

UNKNOWN = "unknown"
MIB = 1 << 20
HEADERS = [
    "training", "tokens", "windows", "updates", "published", "tokens read", "MiB", "s / update",
    "time here",
]  # fmt: skip

MODEL_HEADERS = ["model", "kind", "parameters", "of positions", "of embeddings"]


def theirs(job: Job, published: Mapping[str, Any]) -> float | None:
    """The updates that the published study made in the same training; None if it has none."""
    if job.corpus is None or job.training is None or job.model != published["counts_as"]["model"]:
        return None
    return published_updates(published, job.corpus, job.sequence_length)


def _row(job: Job, found: Estimate, published: Mapping[str, Any]) -> list[str]:
    tokens, updates = job.amount.tokens.get("train"), job.updates()
    their_updates = theirs(job, published)
    time = None if found.pace is None else expected_seconds(job, found.pace)
    about = "" if job.amount.counted else "~ "
    exactly = "" if job.training is None else about
    of_updates = "" if _updates_are_known(job) else "~ "
    return [
        job.name,
        UNKNOWN if tokens is None else f"{about}{tokens:,}",
        UNKNOWN if tokens is None else f"{about}{job.windows('train'):,}",
        UNKNOWN if updates is None else f"{of_updates}{updates:,}",
        "" if their_updates is None else f"~ {their_updates:,.0f}",
        UNKNOWN if updates is None else f"{exactly}{job.tokens_read():,}",
        UNKNOWN if found.memory is None else f"{found.memory / MIB:,.0f}",
        _update_seconds(job, found.pace),
        UNKNOWN if time is None else duration(time),
    ]


def _updates_are_known(job: Job) -> bool:
    """Whether they are declared, or those of epochs of a counted text."""
    if job.amount.counted or job.training is None:
        return True
    return job.training.updates is not None or job.training.tokens is not None


def _update_seconds(job: Job, pace: Pace | None) -> str:
    if job.training is None:
        return ""
    return UNKNOWN if pace is None else f"{pace.seconds:.3g}"


def _model_rows(todo: list[Job], found: Mapping[str, Estimate], params: Study) -> list[list[str]]:
    """A row for each model, with its parameters: those of a run depend on its positions."""
    rows: dict[tuple[str, ...], None] = {}
    for job in todo:
        counts = found[job.name].parameters
        numbers = [UNKNOWN] * 3
        if counts is not None:
            kinds = ("total", "position_table", "embeddings")
            numbers = [f"{counts[kind]:,}" for kind in kinds]
        kind = params.models[job.model].model_type or "checkpoint"
        rows.setdefault((job.model, kind, *numbers))
    return [list(row) for row in rows]


def _notes(todo: list[Job], found: Mapping[str, Estimate], params: Study) -> list[str]:
    """Notes below the table: what the figures are, and where they come from."""
    guessed = [job for job in todo if not job.amount.counted]
    unknown = sorted({job.corpus or job.name for job in todo if not job.amount.tokens})
    paces = [(job, pace) for job in todo if (pace := found[job.name].pace) is not None]
    short = {pace.batch_size for job, pace in paces if pace.batch_size < job.part_size}
    notes = ["tokens and windows: of the training split; updates and tokens read: of all epochs."]
    if guessed:
        notes.append(
            "~: estimated from the size of the text and the spread of its rows' lengths; of a run "
            "exact after the stage `tokenize` has run."
        )
    if any(job.policy == "published" and not job.amount.rows for job in todo):
        notes.append(
            "the policy `published` drops the rest of every batch of rows, and rows are not known "
            "yet: there are at most so many windows and updates, and fewer for long windows."
        )
    if any(theirs(job, load_published()) for job in todo):
        notes.append(
            "published: the published study's updates, computed from its runtimes and its speeds, "
            "which are rounded to 0.5 % at 256, 2 % at 2048, 10 % at 16384."
        )
    if unknown:
        notes.append(f"{UNKNOWN} until downloaded: how much text there is in {', '.join(unknown)}.")
    notes.append("MiB: peak memory of an update in float32, without the process and its libraries.")
    if any(job.processes > 1 for job in todo):
        notes.append("where several processes share an update, MiB are of each of them.")
    if any(job.training is None for job in todo):
        notes.append(
            "0 updates: by `train: none` the base is scored as it is, and MiB are of scoring it."
        )
    if short:
        sizes = " or ".join(str(size) for size in sorted(short))
        notes.append(
            f"of large batches, {sizes} sequences were timed; s / update is extrapolated, so it "
            "may be wrong by a few tens of percent."
        )
    notes.append(
        "time here: training and scoring, without fetching, tokenizing and the "
        f"{len(params.memory.rows)} memory rows."
    )
    return notes


def _totals(todo: list[Job], found: Mapping[str, Estimate], params: Study) -> list[str]:
    times = [
        expected_seconds(job, pace) for job in todo if (pace := found[job.name].pace) is not None
    ]
    known = [time for time in times if time is not None]
    parameters = {name: (item.parameters or {}).get("total", 0) for name, item in found.items()}
    disk, free = disk_bytes(todo, parameters, params), shutil.disk_usage(Path()).free
    downloaded = any(isinstance(m.checkpoint, HubCheckpoint) for m in params.models.values())
    about = "" if all(job.amount.counted or job.training is None for job in todo) else "~ "
    of_updates = "" if all(map(_updates_are_known, todo)) else "~ "
    lines = [
        f"updates in all: {of_updates}{sum(job.updates() or 0 for job in todo):,}; "
        f"tokens read: {about}{sum(job.tokens_read() or 0 for job in todo):,}",
        f"time here, one after another: {duration(sum(known)) if known else UNKNOWN}"
        + (
            f" for the {len(known)} of {len(todo)} that are known" if len(known) < len(todo) else ""
        ),
        f"to download: {download_bytes(params) / MIB:,.0f} MiB of corpora"
        + (", and the checkpoints" if downloaded else ""),
        f"disk: up to {disk / GIB:.1f} GiB, DVC's cache included; {free / GIB:.1f} GiB are free",
    ]
    if disk > free:
        lines.append("WARNING: that is more than is free")
    return lines


def plan(profile: str | None = None) -> str:
    """The plan of a profile, or of params.yaml as it stands, as text."""
    params = load_profile(profile) if profile else load_study()
    todo = jobs(params, present_study())
    found = estimates(todo, params)
    published = load_published()
    rows = [_row(job, found[job.name], published) for job in todo]
    align = ["left"] + ["right"] * (len(HEADERS) - 1)
    here, memory = machine.describe(), activations.memory_bytes(determinism.device())
    problems = [f"CANNOT RUN HERE: {name}: {item.problem}" for name, item in found.items()
                if item.problem]  # fmt: skip
    sections = [
        f"{'' if profile else f'{PARAMS}, '}profile {params.profile}: "
        f"{len(params.corpora)} corpora, {len(params.models)} models, "
        f"{len(params.runs)} runs, {len(params.memory.rows)} memory rows",
        f"here: {here['processor']}, {memory / GIB:.1f} GiB of memory",
        "",
        tabulate(rows, HEADERS, disable_numparse=True, colalign=align),
        *(f"  {note}" for note in _notes(todo, found, params)),
        "",
        tabulate(
            _model_rows(todo, found, params),
            MODEL_HEADERS,
            disable_numparse=True,
            colalign=["left", "left", "right", "right", "right"],
        ),
        "",
        *_totals(todo, found, params),
        *problems,
    ]
    return "\n".join(sections)


def add_arguments(parser: ArgumentParser) -> None:
    """The command line."""
    parser.add_argument(
        "profile",
        nargs="?",
        metavar="PROFILE",
        help="a file of conf/profile, without its ending (default: params.yaml as it stands)",
    )


def run(given: Namespace) -> None:
    """Print the plan of the profile named on the command line, or of params.yaml."""
    print(plan(given.profile))
