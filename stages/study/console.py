"""How a stage meets the terminal: one clear line for an error, quiet progress elsewhere."""

import sys
from collections.abc import Callable
from typing import NoReturn

from stages.study.errors import StudyError

INTERRUPTED = 130


def run(main: Callable[[], None]) -> NoReturn:
    """Run a command's `main` and exit with its status.

    A `StudyError` becomes one message on stderr and exit status 1, Ctrl-C a short note and 130.
    """
    try:
        main()
    except StudyError as error:
        sys.exit(f"error: {error}")
    except FileNotFoundError as error:
        sys.exit(f"error: {error.filename} is missing; an earlier stage writes it: `make repro`")
    except KeyboardInterrupt:
        print("interrupted: run the same command again to go on from here", file=sys.stderr)
        sys.exit(INTERRUPTED)
    sys.exit(0)
