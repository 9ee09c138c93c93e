"""How a command ends: its exit status, and one clear message if it failed."""

import codecs
import io
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn

from reformer_seqlen.runtime.errors import StudyError, one_line
from reformer_seqlen.runtime.messages import storage as messages
from reformer_seqlen.runtime.paths import DATA

STDERR = 2
INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM
OUT_OF_MEMORY = re.compile("can't allocate memory|out of memory", re.IGNORECASE)
"""In what torch raises."""
SPELT = {"±": "+/-", "→": "->", "≈": "~", "\N{MULTIPLICATION SIGN}": "x", "…": "..."}
"""What the results hold that is not ASCII, for a terminal that has no other characters."""
INTERRUPT_NOTE = "interrupted: run the same command again to go on from here"


class Terminated(KeyboardInterrupt):
    """SIGTERM, where work is ended as by Ctrl-C: a checkpoint first."""


def run(main: Callable[[], None]) -> NoReturn:
    """Run a command's `main` and exit with its status.

    A `StudyError` becomes one message on stderr and exit status 1; Ctrl-C a short note and 130, and
    a SIGTERM that work waited for the same note and 143. Errors of the operating system become
    messages, too: a file that is missing or not readable, a full disk, memory that runs out.
    """
    print_anywhere()
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        main()
        sys.stdout.flush()
    except StudyError as error:
        sys.exit(f"error: {error}")
    except BrokenPipeError:  # what reads the output has ended, such as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        sys.exit(f"error: {_refusal(error)}")
    except KeyboardInterrupt as interrupt:
        print(INTERRUPT_NOTE, file=sys.stderr)
        sys.exit(TERMINATED if isinstance(interrupt, Terminated) else INTERRUPTED)
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not OUT_OF_MEMORY.search(str(error)):
            raise
        sys.exit(f"error: {messages.no_memory(one_line(error, 100))}")
    sys.exit(0)


def print_anywhere() -> None:
    """Have what a terminal's encoding lacks printed in its characters, instead of an error.

    Once: Python asks where in the stream it is, which fails for a pipe that took a file's place.
    """
    codecs.register_error("spelt", _spelt)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors != "spelt":
            stream.reconfigure(errors="spelt")


def _spelt(error: UnicodeError) -> tuple[str, int]:
    """What `codecs` calls where characters can't be encoded: others in their place."""
    assert isinstance(error, UnicodeEncodeError)
    lacking = error.object[error.start : error.end]
    return "".join(SPELT.get(character, "?") for character in lacking), error.end


def end_at_interrupts() -> None:
    """Have Ctrl-C end a command with the same note while its modules are imported, before `run`.

    A KeyboardInterrupt could be lost there: libraries catch every exception of optional imports.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def _end(number: int, _: FrameType | None) -> None:
    """Print the note, and end the process as the signal does by default."""
    os.write(STDERR, f"{INTERRUPT_NOTE}\n".encode())  # not print, which may be what was interrupted
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)


def _refusal(error: OSError) -> str:
    """The message for an operating system's error: of a file, or a full disk. Others are raised."""
    if error.filename is None and error.errno not in messages.MEND:
        raise error
    if isinstance(error, FileNotFoundError) and _is_a_result(error.filename):
        return f"{error.filename} is missing; an earlier stage writes it: `make repro`"
    return messages.refused(error.filename, error)


def _is_a_result(name: object) -> bool:
    """Whether a file is one that a stage writes: whether it is in data/."""
    return isinstance(name, str | Path) and Path(name).absolute().is_relative_to(DATA.absolute())
