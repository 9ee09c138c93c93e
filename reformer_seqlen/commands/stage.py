"""How a stage is run as a command: `python -m stages.NAME [KEY]`, as dvc.yaml does.

params.yaml is read and checked as a whole before a stage does any work, and so is what the stage
reads of data/. The stage itself then reads the sections that it uses, so that it depends on no
other. One process at a time runs it.
"""

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable
from typing import NoReturn

from reformer_seqlen.commands.dvc_file import inputs
from reformer_seqlen.parameters.common.reading import read_values
from reformer_seqlen.parameters.dialects import check_profile
from reformer_seqlen.parameters.study import load_study
from reformer_seqlen.runtime import console, process
from reformer_seqlen.runtime.locks import alone
from reformer_seqlen.runtime.stored import check_stored


def run(main: Callable[[], None]) -> NoReturn:
    """Run a stage that works on the study as a whole."""
    _parser().parse_args()
    _run(main)


def run_each(main: Callable[[str], None], section: str) -> NoReturn:
    """Run a stage on one item of a section of params.yaml, named on the command line."""
    parser = _parser()
    parser.add_argument("key", metavar="KEY", help=f"a key of `{section}` in params.yaml")
    key = parser.parse_args().key
    _run(lambda: main(key), key, section)


def _name() -> str:
    """The module that runs, such as `stages.chunk`."""
    spec = sys.modules["__main__"].__spec__
    return spec.name if spec else "stages"


def _parser() -> ArgumentParser:
    return ArgumentParser(
        prog=f"python -m {_name()}",
        description=sys.modules["__main__"].__doc__,
        formatter_class=RawDescriptionHelpFormatter,
    )


def _run(work: Callable[[], None], key: str | None = None, section: str | None = None) -> NoReturn:
    stage = _name().rpartition(".")[2]

    def checked() -> None:
        process.imported()
        check_profile(load_study().profile)  # DVC may have made params.yaml of it just now
        items = read_values().get(section) or {} if section else {}
        if key is not None and key not in items:
            work()  # which says so
        with alone(f"{stage}@{key}" if key else stage):
            for folder in inputs(stage, key, items.get(key, {})):
                check_stored(folder)
            work()
        process.leave()

    console.run(checked)
