"""What `distribute` takes on a Ray of this machine: `python -m benchmarks.distribute`.

In a temporary clone of HEAD, the smoke profile gets 12 runs that need nothing of each other; the
study is computed with 1 and with 2 workers, each time with an empty remote in a folder. Then the
scheduler hands stages on whose program ends at once. The last line is JSON.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from ruamel.yaml import YAML

from benchmarks.pipeline import clone, seconds
from reformer_seqlen.distribution.footprint import GIB, Footprint
from reformer_seqlen.pipeline.dag import DVC
from reformer_seqlen.pipeline.processes import Processes
from reformer_seqlen.pipeline.progress import Progress
from reformer_seqlen.pipeline.schedule import Engine, run_all
from reformer_seqlen.runtime import console
from reformer_seqlen.runtime.paths import PARAMS

RUNS, EPOCHS = 12, 20
WORKERS = (1, 2)
HANDED_ON = 30
PROGRAM = """
import sys
from pathlib import Path
(Path(sys.argv[1]) / f"locks/{sys.argv[3]}.json").write_text("{}")
"""
"""In place of a worker's: it computes nothing."""


def make(study: Path) -> None:
    """A study of runs that need nothing of each other, committed."""
    clone(study, "smoke")
    yaml = YAML()
    values = yaml.load(study / PARAMS)
    run = {"corpus": "news", "model": "tiny", "sequence_length": 64, "train": {"epochs": EPOCHS}}
    values["runs"] = {f"news-{number}": run for number in range(1, RUNS + 1)}
    yaml.dump(values, study / PARAMS)
    (study / "dvc.lock").unlink()
    who = ("-c", "user.name=benchmark", "-c", "user.email=benchmark@example.org")
    commit = ["git", *who, "commit", "--quiet", "--all", "--message", "a study"]
    subprocess.run(commit, cwd=study, check=True)


def wall(workers: int) -> float:
    """The seconds of the study, from its start to its tables."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        study = folder / "study"
        make(study)
        remote = (*DVC, "remote", "add", "--quiet", "--local", "--default", "r", str(folder / "r"))
        seconds(remote, study)
        command = [sys.executable, "-m", "reformer_seqlen", "distribute", "--engine", "ray"]
        options = ["--workers", str(workers), "--clones", str(folder / "clones")]
        return seconds((*command, *options), study, quiet=False)


def handing_on() -> Mapping[str, float]:
    """The seconds that each engine takes for a stage which ends at once, one after another."""
    from reformer_seqlen.distribution.ray_engine import Tasks

    needs = {"0": set[str]()} | {str(n): {str(n - 1)} for n in range(1, HANDED_ON)}
    found = dict.fromkeys(needs, Footprint(memory_bytes=GIB // 4))
    with TemporaryDirectory() as name:
        parcel = Path(name)
        (parcel / "worker.py").write_text(PROGRAM)
        (parcel / "locks").mkdir()
        tasks = Tasks(1, str(parcel / "clones"))
        tasks.ready(parcel, found, needs)
        program = [sys.executable, str(parcel / "worker.py"), str(parcel), "-"]
        engines: dict[str, Engine] = {
            "local": Processes(lambda stage: [*program, stage], 1),
            "ray": tasks,
        }
        took = {}
        for kind, engine in engines.items():
            began = time.perf_counter()
            failed = run_all(needs, engine, lambda _: 1.0, Progress(needs, {}, jobs=2))
            assert not failed
            took[kind] = round((time.perf_counter() - began) / HANDED_ON, 3)
    return took


def main(arguments: Iterable[str] | None = None) -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.distribute",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args(None if arguments is None else list(arguments))
    os.environ.pop("RAY_ADDRESS", None)
    found = {f"{workers} workers": round(wall(workers), 1) for workers in WORKERS}
    print(json.dumps({"seconds": found, "seconds a stage": handing_on()}))


if __name__ == "__main__":
    console.run(main)
