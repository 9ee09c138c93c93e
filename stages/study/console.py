"""How a stage meets the terminal: one clear line for an error, quiet progress elsewhere."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from stages.study.errors import StudyError
from stages.study.layout import DATA

INTERRUPTED = 130


def run(main: Callable[[], None]) -> NoReturn:
    """Run a command's `main` and exit with its status.

    A `StudyError` becomes one message on stderr and exit status 1, Ctrl-C a short note and 130.
    A missing file of data/ becomes a message too, as stages write those; any other is passed on.
    """
    try:
        main()
    except StudyError as error:
        sys.exit(f"error: {error}")
    except FileNotFoundError as error:
        if not _is_a_result(error.filename):
            raise
        sys.exit(f"error: {error.filename} is missing; an earlier stage writes it: `make repro`")
    except KeyboardInterrupt:
        print("interrupted: run the same command again to go on from here", file=sys.stderr)
        sys.exit(INTERRUPTED)
    sys.exit(0)


def _is_a_result(name: object) -> bool:
    """Whether a missing file, if it is known by name, is one that a stage writes."""
    return isinstance(name, str | Path) and Path(name).absolute().is_relative_to(DATA.absolute())
