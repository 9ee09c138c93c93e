"""What DVC takes where a study has many runs: `python -m benchmarks.grid [RUNS ...]`.

In a temporary clone of HEAD, the smoke profile gets so many runs. No stage runs: each output is a
small file that `dvc commit` records, so that DVC sees a study that is finished and up to date, with
a run-cache, and a remote in a folder. Then its commands are timed. The last line is JSON.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from ruamel.yaml import YAML
from tabulate import tabulate

from benchmarks.pipeline import clone, seconds
from reformer_seqlen.pipeline.dag import DVC
from reformer_seqlen.runtime import console
from reformer_seqlen.runtime.paths import PARAMS

RUNS = (100, 1000, 3000)
LARGE, REPEATS = 1000, 3
"""Studies of fewer runs are measured so often."""
STAGE = "chunk@news-1"
COMMANDS = {
    "dvc status": ("status", "-q"),
    "dvc dag": ("dag", "--full", "--dot"),
    "dvc repro -s": ("repro", "--single-item", STAGE),
    "dvc repro -s --pull": ("repro", "--pull", "--single-item", STAGE),
    "dvc push --run-cache": ("push", "--quiet", "--run-cache", STAGE),
}
"""What `make repro`, and a worker of `reformer-seqlen distribute`, call; nothing is stale."""
RECORD = """
from functools import lru_cache, reduce
from pathlib import Path
from dvc.dependency import param
from dvc.output import Output
from dvc.repo import Repo
from fsspec.implementations.memory import MemoryFileSystem
# For each stage, DVC reads params.yaml and git's index again, and looks through all parameters and
# through the names of all that it has stored before.
param.load_path = lru_cache(param.load_path)
param.dpath.get = lambda values, key, separator: reduce(dict.__getitem__, key.split("."), values)
Output.ignore = lambda out: None
with Repo() as repo:
    for out in repo.index.outs:
        path = Path(out.fs_path)
        if not path.exists():
            file = path if path.suffix else path / "file"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(out.def_path)
    with repo.lock:
        for stage in repo.index.stages:
            stage.save(allow_missing=True)
            stage.commit(allow_missing=True)
            MemoryFileSystem.store.clear()
    lock = {stage.name: stage for stage in repo.index.stages}
    from dvc.stage.serialize import to_single_stage_lockfile
    from dvc.utils.serialize import dump_yaml
    stages = {name: to_single_stage_lockfile(stage) for name, stage in lock.items()}
    dump_yaml("dvc.lock", {"schema": "2.0", "stages": stages})
"""


def make(folder: Path, runs: int) -> None:
    """A study of so many runs that looks finished, in a folder's `study`."""
    study = folder / "study"
    clone(study, "smoke")
    yaml = YAML()
    values = yaml.load(study / PARAMS)
    run = {"corpus": "news", "model": "tiny", "sequence_length": 64}
    values["runs"] = {f"news-{number}": run for number in range(1, runs + 1)}
    yaml.dump(values, study / PARAMS)
    (study / "dvc.lock").unlink()
    remote = (*DVC, "remote", "add", "--quiet", "--local", "--default", "r", str(folder / "remote"))
    seconds(remote, study)
    seconds((sys.executable, "-c", RECORD), study)
    seconds((*DVC, "push", "--quiet", "--run-cache"), study)


def measure(runs: int) -> dict[str, float]:
    """The median seconds of each command."""
    repeats = 1 if runs >= LARGE else REPEATS
    with TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, runs)
        return {
            what: round(
                median(seconds((*DVC, *words), folder / "study") for _ in range(repeats)), 2
            )
            for what, words in COMMANDS.items()
        }


def table(found: dict[int, dict[str, float]]) -> str:
    """Commands and numbers of runs, as Markdown."""
    rows = [[f"`{what}`", *(found[runs][what] for runs in found)] for what in COMMANDS]
    headers = ["seconds", *(f"{runs:,} runs" for runs in found)]
    return tabulate(rows, headers, tablefmt="pipe", floatfmt=".1f")


def main(arguments: Iterable[str] | None = None) -> None:
    """Measure studies of some sizes."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.grid",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="*", type=int, help=f"default: {RUNS}")
    given = parser.parse_args(None if arguments is None else list(arguments))
    found = {}
    for runs in given.runs or RUNS:
        found[runs] = measure(runs)
        print(f"{runs:,} runs: {found[runs]}", flush=True)
    print(table(found))
    print(json.dumps(found))


if __name__ == "__main__":
    console.run(main)
