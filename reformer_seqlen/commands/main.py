"""`reformer-seqlen COMMAND`: what people type, each command a module of this package.

A command's module has `add_arguments(parser)` and `run(arguments)`, and is imported if it is the
one that is asked for.
"""

import importlib
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from functools import partial
from types import ModuleType
from typing import NoReturn

from reformer_seqlen.runtime import console, process
from reformer_seqlen.runtime.errors import StudyError

COMMANDS = {
    "plan": "say what a study would take, in updates, memory, disk and time; start nothing",
    "repro": "run what is stale of the study, and print its results",
    "distribute": "run what is stale of the study on many machines, with Ray or Slurm",
    "show": "print the results that are here",
    "check": "compare what was computed with what is committed",
    "keep": "keep the study that is here whole, in results/PROFILE/",
    "sample": "continue a text with a run's model",
    "memory": "say what memory a model of your own takes, and which GPUs hold it",
}


def parser(name: str | None = None, command: ModuleType | None = None) -> ArgumentParser:
    """The command line; only the command that is asked for has been imported to say its arguments.

    Args:
        name: of that command.
        command: its module.
    """
    whole = ArgumentParser(
        prog="reformer-seqlen",
        description="What a longer context costs a small language model, and what it buys.",
        epilog="`reformer-seqlen COMMAND --help` tells more about a command.",
    )
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for each, summary in COMMANDS.items():
        asked = command if each == name else None
        added = commands.add_parser(
            each,
            help=summary,
            description=None if asked is None else asked.__doc__,
            formatter_class=RawDescriptionHelpFormatter,
        )
        if asked is not None:
            asked.add_arguments(added)
    return whole


def missing(name: str, error: ModuleNotFoundError) -> StudyError:
    """What to say where a command needs a package that is not installed.

    Raises:
        ModuleNotFoundError: what is missing is a module of this project.
    """
    package = (error.name or "").partition(".")[0]
    if package in ("", "reformer_seqlen"):
        raise error
    return StudyError(
        f"`reformer-seqlen {name}` needs the Python package {package}: "
        'pip install "reformer-seqlen[study]"'
    )


def _run(name: str, command: ModuleType, given: Namespace) -> None:
    try:
        command.run(given)
    except ModuleNotFoundError as error:
        raise missing(name, error) from error


def _refuse(name: str, error: ModuleNotFoundError) -> NoReturn:
    raise missing(name, error) from error


def main() -> NoReturn:
    """Run the command that the command line names."""
    process.prepare()
    name: str = parser().parse_args(sys.argv[1:2]).command
    try:
        command = importlib.import_module(f"reformer_seqlen.commands.{name}")
    except ModuleNotFoundError as error:
        console.run(partial(_refuse, name, error))
    process.imported()
    console.run(partial(_run, name, command, parser(name, command).parse_args()))
