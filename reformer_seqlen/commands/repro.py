"""Run the study with `dvc repro`, saying what runs, how far it is and how long it still takes.

`make repro` calls this. Arguments are passed on to `dvc repro`.
"""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from ruamel.yaml import YAML

from reformer_seqlen.fetching.unpacking import packing
from reformer_seqlen.parameters.corpora import Corpus
from reformer_seqlen.parameters.sources import PathSource, describe
from reformer_seqlen.parameters.study import load_study
from reformer_seqlen.runtime.console import run
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.files import read_json, sha256_of
from reformer_seqlen.runtime.paths import DVC_FILE, METRICS, PARAMS, TEXTS

STARTUP_SECONDS = 4.0
"""What a stage takes that does not train: mostly to import what it needs."""
STOP_SECONDS = (5.0, 25.0, 5.0)
"""How long an interrupted study may take to end: by itself, told once more, terminated."""

BEGUN = re.compile(r"^Running stage '(?P<name>.+)':$")
DONE = re.compile(r"^(?:Stage '.+' didn't change, skipping|Stage '.+' is cached - .*)$")
CHATTER = re.compile(
    r"^(?:> .*|(?:Updating|Generating) lock file .*|To track .*|\s+git .*|To enable auto staging.*"
    r"|\s+dvc config core\.autostage true|Use `dvc push` .*|)$"
)
"""What DVC says that helps nobody here: no setting of its own switches it off."""


def stage_names(pipeline: dict[str, Any], params: dict[str, Any]) -> list[str]:
    """All stages of a dvc.yaml, each `foreach` over a part of params.yaml written out."""
    names: list[str] = []
    for name, stage in pipeline["stages"].items():
        if "foreach" in stage:
            part = params
            for key in stage["foreach"].strip("${}").split("."):
                part = part[key]
            names += [f"{name}@{key}" for key in part]
        else:
            names.append(name)
    return names


def expected_seconds(name: str, timings: dict[str, dict[str, float]]) -> float:
    """How long a stage takes, by the last timings that git keeps."""
    verb, _, key = name.partition("@")
    recorded = {"finetune": key, "pretrain": f"pretrain-{key}"}.get(verb, "")
    return STARTUP_SECONDS + timings.get(recorded, {}).get("runtime_seconds", 0.0)


def changed_files(corpora: Mapping[str, Corpus]) -> Iterator[str]:
    """A line for each file of this machine that is not what was read: DVC does not look at it."""
    for name, corpus in corpora.items():
        record = TEXTS / name / "source.json"
        read = read_json(record)["sources"] if record.exists() else []
        was = {(part["file"], part["what"]): part["sha256"] for part in read}
        for split, source in corpus.files.items():
            key = (split, describe(source))
            if not isinstance(source, PathSource) or key not in was:
                continue
            path = Path(source.path).expanduser()
            expected = source.sha256 or was[key]
            # What is recorded of a packed file is the text in it.
            packed = source.member or packing(path.name, source.compression)
            known = source.sha256 or not packed
            if known and path.is_file() and (found := sha256_of(path)) != expected:
                yield (
                    f"corpora.{name}.files.{split}: {source.path} has changed since it was read; "
                    f"to read it again, declare `sha256: {found}`"
                )


class Progress:
    """How far a `dvc repro` is, told from the lines that it prints."""

    def __init__(self, expected: dict[str, float]) -> None:
        self.expected, self.left = expected, dict(expected)
        self.count = self.ran = 0
        self.running: str | None = None
        self.planned = self.spent = self.began = 0.0

    def lines(self, line: str, now: float) -> Iterator[str]:
        """What to print in place of a line of `dvc repro`."""
        begun = BEGUN.match(line)
        if begun or DONE.match(line):
            self._finish(now)
            self.count += 1
        if begun:
            self.running, self.began = begun["name"], now
            self.ran += 1
            yield f"[{self.count}/{len(self.expected)}] {begun['name']}, {self._time_left()} left"
        elif DONE.match(line):
            self.left.pop(line.split("'")[1], None)
        elif not CHATTER.match(line):
            yield line

    def _finish(self, now: float) -> None:
        if self.running is not None:
            self.planned += self.left.pop(self.running, 0.0)
            self.spent += now - self.began
            self.running = None

    def _time_left(self) -> str:
        pace = self.spent / self.planned if self.planned else 1.0
        minutes, seconds = divmod(round(pace * sum(self.left.values())), 60)
        return f"about {minutes} min {seconds:02d} s" if minutes else f"about {seconds} s"


def end(
    process: subprocess.Popen[str], patience: tuple[float, float, float] = STOP_SECONDS
) -> None:
    """Wait for an interrupted `dvc repro`; interrupt it again, then terminate it, if it stays.

    A stage that is just starting may lose Ctrl-C, and DVC ignores it while a stage runs: the stage
    would run to its end, and the next ones after it.
    """
    for seconds, told in zip(patience, (signal.SIGINT, signal.SIGTERM, None), strict=True):
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return
        if told is not None:
            _tell(process.pid, told)


def _tell(dvc: int, told: signal.Signals) -> None:
    """Send a signal to DVC's stage, and to DVC itself where there is none or it has to go too."""
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(dvc)
        stages = parent.children(recursive=True)
        for process in stages if stages and told == signal.SIGINT else [parent, *stages]:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(told)


def repro(arguments: list[str]) -> Progress:
    """Run `dvc repro` to its end.

    Raises:
        StudyError: a stage failed; what it said stands above.
    """
    for line in changed_files(load_study().corpora):
        print(f"warning: {line}", flush=True)
    yaml = YAML(typ="safe")
    names = stage_names(yaml.load(DVC_FILE), yaml.load(PARAMS))
    path = METRICS / "timings.json"
    timings = read_json(path) if path.exists() else {}
    progress = Progress({name: expected_seconds(name, timings) for name in names})
    command = [sys.executable, "-u", "-m", "dvc", "repro", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                for shown in progress.lines(line.rstrip("\n"), time.monotonic()):
                    print(shown, flush=True)
        except KeyboardInterrupt:
            # Ctrl-C reached the stage and DVC too; DVC still has its lock to give back.
            end(process)
            raise
    if process.returncode:
        raise StudyError(
            "the study stopped here, the message above says why; what is finished stays finished, "
            "run `make repro` again to go on"
        )
    return progress


def main() -> None:
    """Run the study, then show its results."""
    began = time.monotonic()
    progress = repro(sys.argv[1:])
    # The report needs pandas, which a failed study does not.
    from reformer_seqlen.reporting.report import print_results

    print_results()
    seconds = time.monotonic() - began
    print(f"{progress.ran} of {len(progress.expected)} stages ran, {seconds:.0f} s in all")


if __name__ == "__main__":
    run(main)
