"""How a stage is run as a command: `python -m stages.NAME [KEY]`, as dvc.yaml does.

params.yaml is read and checked as a whole before a stage does any work. The stage itself then reads
the sections that it uses, so that it depends on no other.
"""

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable
from typing import NoReturn

from reformer_seqlen.parameters.dialects import check_profile
from reformer_seqlen.parameters.study import load_study
from reformer_seqlen.runtime import console, process


def run(main: Callable[[], None]) -> NoReturn:
    """Run a stage that works on the study as a whole."""
    _parser().parse_args()
    _run(main)


def run_each(main: Callable[[str], None], section: str) -> NoReturn:
    """Run a stage on one item of a section of params.yaml, named on the command line."""
    parser = _parser()
    parser.add_argument("key", metavar="KEY", help=f"a key of `{section}` in params.yaml")
    key = parser.parse_args().key
    _run(lambda: main(key))


def _parser() -> ArgumentParser:
    stage = sys.modules["__main__"]
    name = stage.__spec__.name if stage.__spec__ else "stages"
    return ArgumentParser(
        prog=f"python -m {name}",
        description=stage.__doc__,
        formatter_class=RawDescriptionHelpFormatter,
    )


def _run(work: Callable[[], None]) -> NoReturn:
    def checked() -> None:
        process.imported()
        check_profile(load_study().profile)  # DVC may have made params.yaml of it just now
        work()
        process.leave()

    console.run(checked)
