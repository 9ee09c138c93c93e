"""Kill and damage the smoke study: `python -m tests.faults`, as `make test-faults` does.

Prints how many kills ended with the bytes of a study that nothing disturbed, and which faults ended
in a message or the same bytes.
"""

import sys
from argparse import ArgumentParser
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.conftest import copy_project
from tests.faults.injected import FAULTS, bear
from tests.faults.kills import survive
from tests.faults.study import Study


def smoke_study(root: Path) -> Study:
    """The smoke study, computed by a `make repro` that nothing disturbs."""
    root.mkdir()
    project = copy_project(root)
    (root / "dvc.lock").unlink()
    project.dvc("exp", "run", "-S", "profile=smoke")
    return Study(root)


def main() -> None:
    """Inject faults, then kill."""
    parser = ArgumentParser(prog="make test-faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=50, metavar="N")
    parser.add_argument("--faults", type=int, default=len(FAULTS), metavar="N")
    parser.add_argument("--seed", type=int, default=16, metavar="N")
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        study = smoke_study(Path(folder) / "study")
        expected = study.results()
        names = list(FAULTS)[: given.faults]
        with study.warm():
            failed = bear(study, names)
        print(f"faults borne: {len(names) - len(failed)} / {len(names)}", flush=True)
        tally = survive(study, expected, given.kills, given.seed)
        print(f"kills survived: {tally.survived} / {tally.tried}")
    sys.exit(bool(failed) or tally.survived < tally.tried)


if __name__ == "__main__":
    main()
