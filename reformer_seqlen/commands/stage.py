"""How a stage is run as a command: `python -m stages.NAME [KEY]`, as dvc.yaml does.

params.yaml is read and checked as a whole before a stage does any work, and so is what the stage
reads of data/. The stage itself then reads the sections that it uses, so that it depends on no
other. One process at a time runs it; where several train together, the first speaks for all.
"""

import os
import sys
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NoReturn

from reformer_seqlen.parameters.common.reading import read_values
from reformer_seqlen.parameters.dialects import check_profile
from reformer_seqlen.parameters.study import load_study
from reformer_seqlen.pipeline.dvc_file import inputs
from reformer_seqlen.runtime import console, process, ranks
from reformer_seqlen.runtime.console import INTERRUPTED, TERMINATED, Terminated
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.locks import alone
from reformer_seqlen.runtime.messages import training as messages
from reformer_seqlen.runtime.stored import check_stored

TRAINING = ("pretrain", "finetune")
"""The stages that run in several processes."""
FIRST_SECONDS = 5.0
"""How long other processes of a training give the first one to print an error that all have."""


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
        if ranks.size() > 1 and stage not in TRAINING:
            raise messages.one_process(_name(), ranks.size())
        check_profile(load_study().profile)  # DVC may have made params.yaml of it just now
        items = read_values().get(section) or {} if section else {}
        if key is not None and key not in items:
            work()  # which says so
        if not ranks.is_first():
            work()
            process.leave()
        with alone(f"{stage}@{key}" if key else stage):
            for folder in inputs(stage, key, items.get(key, {})):
                check_stored(folder)
            work()
        process.leave()

    console.run(checked if ranks.is_first() else partial(_silent, checked))


def _silent(work: Callable[[], None]) -> None:
    """Do the work of a process that is not the first, which prints what there is to say.

    An error that the first has, too, ends all of them before this one would print it.
    """
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
    try:
        work()
    except KeyboardInterrupt as interrupt:
        sys.exit(TERMINATED if isinstance(interrupt, Terminated) else INTERRUPTED)
    except StudyError:
        time.sleep(FIRST_SECONDS)
        raise
