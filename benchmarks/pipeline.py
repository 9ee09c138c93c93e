"""What the pipeline takes beside training and scoring: `python -m benchmarks.pipeline`.

The study is run in a temporary clone of HEAD, one stage after another, with nothing of DVC's cache.
Seconds are given as multiples of what any machine can measure, so that they compare: of T, the
import of transformers' Trainer, and of `dvc status -q`. The last line is JSON: one object.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from ruamel.yaml import YAML

from reformer_seqlen.parameters.profiles import compose
from reformer_seqlen.pipeline.dag import DVC, environment
from reformer_seqlen.runtime import console
from reformer_seqlen.runtime.files import read_json
from reformer_seqlen.runtime.paths import CONF, PARAMS, TIMINGS

ROOT = Path(__file__).parents[1]
REPEATS = 5
IMPORT = (sys.executable, "-c", "from transformers import Trainer")
REPRO = (sys.executable, "-m", "reformer_seqlen", "repro", "--jobs", "1")
STATUS = (*DVC, "status", "-q")
MOST_IMPORTS, MOST_STATUSES = 20, 3
"""The bars: what the study may take beside training and scoring, and a repro with nothing to do."""


def clone(folder: Path, profile: str | None) -> None:
    """Clone the project into a folder; its params.yaml is what a profile gives, if one is named."""
    subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)  # noqa: S607
    if profile is not None:
        YAML().dump(compose(profile, folder / CONF), folder / PARAMS)


def seconds(command: tuple[str, ...], folder: Path, *, quiet: bool = True) -> float:
    """How long a command takes.

    Raises:
        CalledProcessError: it failed.
    """
    began = time.perf_counter()
    output = subprocess.DEVNULL if quiet else None
    subprocess.run(command, cwd=folder, env=environment(), stdout=output, check=True)
    return time.perf_counter() - began


def medians(commands: list[tuple[str, ...]], folder: Path, repeats: int) -> list[float]:
    """The median seconds of each command, all of them in turn."""
    rounds = [[seconds(command, folder) for command in commands] for _ in range(repeats)]
    return [median(column) for column in zip(*rounds, strict=True)]


def inside_training_and_scoring(folder: Path) -> float:
    """The seconds that the stages themselves wrote down."""
    paths = (folder / TIMINGS).glob("*/*.json")
    return sum(float(read_json(path)["runtime_seconds"]) for path in paths)


def stage_count(folder: Path) -> int:
    """How many stages the study has."""
    command = [*DVC, "stage", "list", "--name-only"]
    listed = subprocess.check_output(command, cwd=folder, env=environment(), text=True)
    return len(listed.splitlines())


def measure(folder: Path, repeats: int = REPEATS) -> dict[str, float]:
    """Run the study of a folder, and then commands that have nothing to do; print the ratios."""
    [one_import] = medians([IMPORT], folder, repeats)
    whole = seconds(REPRO, folder, quiet=False)
    inside = inside_training_and_scoring(folder)
    no_op, status = medians([REPRO, STATUS], folder, repeats)
    results = {
        "repro_overhead_in_imports": round((whole - inside) / one_import, 2),
        "noop_in_status": round(no_op / status, 2),
        "stages": stage_count(folder),
    }
    print(
        f"T, the import of transformers' Trainer: {one_import:.2f} s\n"
        f"the study: {whole:.0f} s, {inside:.0f} s of them inside training and scoring; the rest "
        f"is {results['repro_overhead_in_imports']} T, at most {MOST_IMPORTS} T are wanted\n"
        f"nothing to do: {no_op:.2f} s, {results['noop_in_status']} times `dvc status -q` "
        f"({status:.2f} s), at most {MOST_STATUSES} times are wanted"
    )
    return results


def main() -> None:
    """Measure a clone of the project; the last line is JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pipeline",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--profile", help="of conf/profile (default: the study of params.yaml)")
    profile = parser.parse_args().profile
    with TemporaryDirectory() as folder:
        study = Path(folder) / "study"
        clone(study, profile)
        print(json.dumps(measure(study)))


if __name__ == "__main__":
    console.run(main)
