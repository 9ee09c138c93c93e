"""Continue a text with a run's model.

Pieces are drawn one by one from those that together have nine tenths of the probability. The same
seed gives the same text.
"""

import sys
from argparse import ArgumentParser, Namespace
from importlib.util import find_spec
from pathlib import Path

from reformer_seqlen.parameters.common.quantities import SEED_LIMIT
from reformer_seqlen.parameters.common.reading import known
from reformer_seqlen.parameters.study import load_study
from reformer_seqlen.pipeline.dag import stale_stages
from reformer_seqlen.runtime import process
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.paths import MODELS
from reformer_seqlen.runtime.stored import check_stored


def add_arguments(parser: ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("run", metavar="RUN", help="a key of `runs` in params.yaml")
    parser.add_argument("prompt", metavar="PROMPT", help="the text to continue")
    parser.add_argument(
        "--pieces",
        type=int,
        default=100,
        metavar="N",
        help="how many pieces to add, within the run's sequence length (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=42,
        metavar="N",
        help="another seed gives another continuation (default: %(default)s)",
    )


def run(given: Namespace) -> None:
    """Print a continuation of the prompt on the command line.

    Raises:
        StudyError: the run is unknown or has not been trained yet, the prompt is empty or too long,
            or a number is out of range.
    """
    _check_numbers(given.pieces, given.seed)
    _check_prompt(given.prompt)
    params = load_study()
    known("runs", params.runs, given.run)
    folder = _trained(given.run)
    _warn_of_changes(given.run)
    # torch and transformers take seconds to import; what is refused needs neither.
    with process.importing():
        from reformer_seqlen.commands.continuation import continuation
    print(continuation(given.run, folder, params, given.prompt, given.pieces, given.seed))


def _check_numbers(pieces: int, seed: int) -> None:
    if pieces < 1:
        raise StudyError(f"--pieces is {pieces}: give a number of at least 1")
    if not 0 <= seed < SEED_LIMIT:
        raise StudyError(f"--seed is {seed}: give a number from 0 to {SEED_LIMIT - 1}")


def _check_prompt(prompt: str) -> None:
    """Python reads bytes that are not UTF-8 as characters that no text has."""
    try:
        prompt.encode()
    except UnicodeEncodeError:
        raise StudyError("the prompt is not UTF-8: type it in a terminal that is") from None


def _trained(name: str) -> Path:
    """The folder of a run's model."""
    folder = MODELS / name
    if not (folder / "model.safetensors").exists():
        raise StudyError(f"runs.{name}: {folder} holds no model yet; run `make repro` first")
    check_stored(folder)
    return folder


def _warn_of_changes(name: str) -> None:
    """Say so if a run's model is not the one that params.yaml and the code stand for now."""
    is_followed = find_spec("dvc") is not None and Path(".dvc").is_dir()
    if is_followed and stale_stages(f"finetune@{name}"):
        print(
            f"warning: runs.{name}: params.yaml, the code or a file has changed since this model "
            "was trained; `make repro` trains it again",
            file=sys.stderr,
            flush=True,
        )
