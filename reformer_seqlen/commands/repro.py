"""Run what is stale of the study, with DVC, and print the results.

Stages that need nothing of each other run side by side. A stage that fails keeps those that need it
from running, and no others. After Ctrl-C, or when what was wrong is mended, the same command goes
on: what is finished is not computed again.
"""

import re
import subprocess
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path

from reformer_seqlen.commands.params_file import make_params
from reformer_seqlen.commands.warm import kept
from reformer_seqlen.parameters.profiles import load_profile
from reformer_seqlen.parameters.study import Study, load_study
from reformer_seqlen.pipeline.changed_files import changed_files
from reformer_seqlen.pipeline.dag import (
    DVC,
    Needs,
    all_needs,
    among,
    environment,
    selected,
    stale_stages,
    with_dependents,
)
from reformer_seqlen.pipeline.dvc_file import check_stages
from reformer_seqlen.pipeline.mending import wait_for_other_dvc
from reformer_seqlen.pipeline.processes import Processes, end, patience_at
from reformer_seqlen.pipeline.progress import Progress, last_runtimes, remember
from reformer_seqlen.pipeline.schedule import run_all
from reformer_seqlen.runtime import process
from reformer_seqlen.runtime.cores import cores
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.interrupts import ended_by_sigterm
from reformer_seqlen.runtime.locks import alone
from reformer_seqlen.runtime.paths import METRICS, REPORT
from reformer_seqlen.runtime.progress import duration

FIRST_GPU = Path("/dev/nvidia0")
BEGUN = re.compile(r"^Running stage '(?P<name>.+)':$")
UP_TO_DATE = re.compile(r"^Stage '(?P<name>.+)' (?:didn't change, skipping|is cached - .*)$")
CHATTER = re.compile(
    r"^(?:> .*|(?:Updating|Generating) lock file .*|To track .*|\s+git .*|To enable auto staging.*"
    r"|\s+dvc config core\.autostage true|Use `dvc push` .*|Data and pipelines are up to date\."
    r"|(?:Pulling|Unable to pull) data for stage: .*|WARNING: No file hash info .*|)$"
)
"""What DVC says that helps nobody here: no setting of its own switches it off."""


class DvcProgress(Progress):
    """The progress of a study, told by the lines that DVC prints."""

    def __init__(
        self,
        names: Collection[str],
        runtimes: Mapping[str, float],
        amounts: Mapping[str, float],
        jobs: int = 1,
        untrained: Collection[str] = (),
    ) -> None:
        super().__init__(names, runtimes, amounts, jobs, untrained)
        self.ran: list[str] = []

    def end(self, name: str) -> None:
        """A stage has ended; one that was up to date says nothing of how long others take."""
        if name not in self.ran:
            self.running.pop(name, None)
        super().end(name)

    def said(self, name: str, line: str) -> None:
        """Show a line if it is a stage's own."""
        if begun := BEGUN.match(line):
            self.ran.append(begun["name"])
        elif not UP_TO_DATE.match(line) and not CHATTER.match(line):
            super().said(name, line)


def default_jobs(each: int) -> int:
    """How many stages run side by side: as many as have cores; one where they share a GPU.

    Args:
        each: cores that a training takes.
    """
    if FIRST_GPU.exists():
        return 1
    return max(1, cores() // each)


def side_by_side(needs: Needs, progress: DvcProgress, variables: Mapping[str, str]) -> list[str]:
    """Run stages with a DVC of its own for each; return those that failed."""
    engine = Processes(
        lambda name: [*DVC, "--wait-for-lock", "repro", "--single-item", name],
        progress.jobs,
        variables,
    )
    return run_all(needs, engine, lambda name: progress.expected(name) or 0.0, progress)


def one_after_another(
    needs: Needs, progress: DvcProgress, variables: Mapping[str, str], *options: str
) -> list[str]:
    """Run stages with one DVC, which starts faster; return those that failed.

    DVC stops at the first one that fails. It is started again for those that do not need that one.
    (`dvc repro --keep-going` would go on after Ctrl-C, too.)
    """
    failed: list[str] = []
    while left := needs.keys() - with_dependents(failed, needs):
        name = _until_one_fails([*options, *last(left, needs)], progress, variables)
        if name is None:
            break
        failed.append(name)
    return failed


def last(names: Collection[str], needs: Needs) -> list[str]:
    """The stages that no other of them needs: DVC runs what a stage needs before it."""
    needed = set[str]().union(*(needs[name] for name in names))
    return [name for name in needs if name in names and name not in needed]


def _until_one_fails(
    arguments: Sequence[str], progress: DvcProgress, variables: Mapping[str, str]
) -> str | None:
    """Run stages, the arguments of `dvc repro`; return the one that failed.

    Raises:
        StudyError: DVC itself failed.
    """
    runs: str | None = None
    command = [*DVC, "--wait-for-lock", "repro", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, errors="replace", env=variables
    ) as process:
        assert process.stdout is not None
        try:
            for line in (line.rstrip("\n") for line in process.stdout):
                begun, up_to_date = BEGUN.match(line), UP_TO_DATE.match(line)
                if (begun or up_to_date) and runs is not None:
                    progress.end(runs)
                    runs = None
                progress.said(runs or "", line)
                if begun:
                    runs = begun["name"]
                    progress.begin(runs)
                elif up_to_date:
                    progress.end(up_to_date["name"])
        except KeyboardInterrupt as interrupt:
            # Ctrl-C reached the stage and DVC too; DVC still has its lock to give back.
            end([process], patience_at(interrupt))
            raise
    if runs is not None:
        progress.end(runs)
    if process.returncode and runs is None:
        raise StudyError("DVC stopped, the message above says why")
    return runs if process.returncode else None


def repro(targets: Sequence[str], jobs: int | None, profile: str | None = None) -> str:
    """Run what is stale; return what was done, in words.

    Args:
        targets: stages, which run with all that they need; all stages if there are none.
        jobs: how many run at a time; by default as many as the machine has cores for.
        profile: what params.yaml is made of before; None for params.yaml as it is.

    Raises:
        StudyError: params.yaml is wrong or would lose lines, and nothing has been run; or a stage
            failed.
        ModuleNotFoundError: DVC is not installed.
    """
    params = load_study() if profile is None else load_profile(profile)
    with alone_in_folder(params):
        if profile is not None:
            make_params(profile)
        return _run_stale(params, targets, jobs)


@contextmanager
def alone_in_folder(params: Study) -> Iterator[None]:
    """Within the block, nobody else runs stages here; what is not as it should be is said before.

    Raises:
        StudyError: dvc.yaml is damaged.
        ModuleNotFoundError: DVC is not installed.
    """
    for line in changed_files(params):
        print(f"warning: {line}", flush=True)
    if find_spec("dvc") is None:
        raise ModuleNotFoundError(name="dvc")
    check_stages()
    with alone("repro"):
        wait_for_other_dvc()
        yield


def _run_stale(params: Study, targets: Sequence[str], jobs: int | None) -> str:
    stale = stale_stages()
    if not stale and not targets:
        return nothing_to_do(stale)
    needs = all_needs()
    stale = with_dependents(stale, needs)
    names = stale & selected(targets or needs, needs)
    if not names:
        return nothing_to_do(stale)
    with _warm(names) as variables:
        check_models(params, names)
        needs = among(needs, names)
        jobs = jobs or default_jobs(params.cores())
        progress = study_progress(params, names, last_runtimes(), jobs)
        run_all_of = side_by_side if jobs > 1 else one_after_another
        with closing(progress), ended_by_sigterm():
            failed = run_all_of(needs, progress, variables)
        remember({name: took for name, took in progress.took.items() if name not in failed})
    if failed:
        raise StudyError(failure(failed, needs))
    return f"{stages_ran(len(progress.ran))}, {others(stale - names)}"


def stages_ran(count: int) -> str:
    """How many stages ran, in words."""
    return f"{count} stage{'' if count == 1 else 's'} ran"


def nothing_to_do(stale: Collection[str]) -> str:
    """What to say where nothing that was asked for is stale."""
    if not stale:
        return "nothing to do: all stages are up to date"
    return f"nothing to do: what was asked for is up to date, {others(stale)}"


def others(stale: Collection[str]) -> str:
    """What to say of the stages that were not asked for, some of which may be stale."""
    if not stale:
        return "the others are up to date"
    return f"{len(stale)} that were not asked for are stale: `make repro` runs them, too"


def study_progress(
    params: Study, names: Collection[str], runtimes: Mapping[str, float], jobs: int
) -> DvcProgress:
    """The progress of a study's stages; `runtimes` are the seconds that some have taken before."""
    # Imports numpy, which a study without stale stages need not wait for.
    from reformer_seqlen.planning.jobs import stage_tokens

    untrained = {f"finetune@{name}" for name, run in params.runs.items() if not run.is_trained}
    return DvcProgress(names, runtimes, stage_tokens(params), jobs, untrained)


def _warm(stale: Collection[str]) -> AbstractContextManager[Mapping[str, str]]:
    """The environment of stages, with a warm process where some of them import torch.

    CUDA works in no child of a process that has looked for GPUs.
    """
    if FIRST_GPU.exists() or not _any(stale, "pretrain", "finetune", "evaluate"):
        return nullcontext(environment())
    return kept(environment())


def _any(stages: Collection[str], *kinds: str) -> bool:
    return any(name.partition("@")[0] in kinds for name in stages)


def check_models(params: Study, stale: Collection[str]) -> None:
    """Ask transformers, which takes seconds to import, only where a model is to be made or used.

    Raises:
        StudyError: it refuses a model of the stages.
    """
    if not _any(stale, "pretrain", "finetune", "benchmark_memory"):
        return
    with process.importing():
        from reformer_seqlen.planning import models
    if _any(stale, "pretrain", "finetune"):
        models.check_models(params)
    if _any(stale, "benchmark_memory"):
        models.check_memory_models(params)


def failure(failed: Collection[str], needs: Needs, again: str = "make repro") -> str:
    """What to say of stages that failed, and of those that could not run for want of them."""
    waiting = sorted(with_dependents(failed, needs) - set(failed))
    not_run = f"\nnot run, since they need it: {', '.join(waiting)}" if waiting else ""
    return (
        f"failed: {', '.join(failed)}; the messages above say why{not_run}\n"
        f"what is finished stays finished: run `{again}` again to go on"
    )


def add_stages(parser: ArgumentParser) -> None:
    """The stages that are to be run."""
    parser.add_argument(
        "stages",
        nargs="*",
        metavar="STAGE",
        help="run these and what they need, such as `evaluate@news-512` or `finetune` (default: "
        "all)",
    )


def add_arguments(parser: ArgumentParser) -> None:
    """The command line."""
    add_stages(parser)
    parser.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="how many stages run side by side (default: cores over the study's `train.threads` "
        "x `processes`; 1 on a GPU)",
    )
    parser.add_argument(
        "--profile",
        metavar="NAME",
        help="first make params.yaml of this profile of conf/profile (default: as it is)",
    )


def run(given: Namespace) -> None:
    """Run the study, then print its results."""
    if given.jobs is not None and given.jobs < 1:
        raise StudyError(f"--jobs is {given.jobs}: give a number of at least 1")
    began = time.monotonic()
    done = repro(given.stages, given.jobs, given.profile)
    print_tables(given.stages)
    print(f"{done}, {duration(time.monotonic() - began)} in all")


def print_tables(stages: Sequence[str]) -> None:
    """Print the results, unless only some stages were asked for and there are none yet."""
    if stages and not (METRICS / "details").exists():
        print(f"there are no tables yet: the stage `report` writes them into {REPORT}")
    else:
        # Only now, since a study that fails has nothing to print.
        from reformer_seqlen.reporting.report import print_results

        print_results()
