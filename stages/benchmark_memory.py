"""The stage `benchmark_memory`: the memory that models take, predicted and measured.

    python -m stages.benchmark_memory ROW [ROW ...]     rows of memory.rows
    python -m stages.benchmark_memory --cards-study     what fits each of memory.cards
    python -m stages.benchmark_memory --training-study  training over depth and length

and a table for a model of one's own:

    python -m stages.benchmark_memory --config config.json --batch-size 16 --sequence-length 16384
"""

import gc
import os
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from pathlib import Path

from stages.study.console import run
from stages.study.layout import MEMORY, MEMORY_STUDY
from stages.study.memory import MemoryStudy
from stages.study.outputs import write_json
from stages.study.params import known, load_params


def arguments() -> Namespace:
    """The command line."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="of memory.rows in params.yaml")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--cards-study", action="store_true", help="write data/memory_study")
    what.add_argument("--training-study", action="store_true", help="write data/memory_study")
    what.add_argument("--config", type=Path, help="a model's config.json, or the folder it is in")
    what.add_argument("--model", help="a model of the Hugging Face hub, by name")
    own = parser.add_argument_group("with --config or --model")
    options = [
        own.add_argument("--batch-size", type=int, default=1),
        own.add_argument("--sequence-length", type=int, default=1024),
        own.add_argument(
            "--card", action="append", help="a card of memory.cards; all, if not given"
        ),
        own.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], default="float32"),
        own.add_argument("--attention", choices=["sdpa", "eager"]),
        own.add_argument("--positions", choices=["axial", "learned", "own"], default="own"),
        own.add_argument("--no-cache", action="store_true", help="without the key/value cache"),
        own.add_argument(
            "--training", action="store_true", help="two updates, not one forward pass"
        ),
        own.add_argument("--optimizer", choices=["adafactor", "adamw"], default="adafactor"),
        own.add_argument("--checkpointing", action="store_true", help="recompute each layer"),
        own.add_argument(
            "--not-reversible", action="store_true", help="keep a Reformer's activations"
        ),
    ]
    given = parser.parse_args()
    others = given.cards_study or given.training_study or given.config or given.model
    if bool(given.rows) == bool(others):
        parser.error("give rows, or one of the options that stand beside them")
    if not (given.config or given.model):
        for option in options:
            if getattr(given, option.dest) != option.default:
                parser.error(f"{option.option_strings[0]} goes with --config or --model alone")
    return given


def import_without_collecting() -> None:
    """Import torch and transformers in 2.7 s instead of 4.3, which is most of what a row takes.

    They make a million objects that all stay, and the garbage collector would look through them
    again and again. And transformers would import scipy, for losses of image models.
    """
    gc.disable()
    sys.modules["scipy"] = None  # type: ignore[assignment]
    from transformers.utils import logging

    import stages.memory.rows  # noqa: F401

    del sys.modules["scipy"]
    logging.set_verbosity_error()
    gc.freeze()
    gc.enable()


def write_rows(study: MemoryStudy, names: list[str]) -> None:
    """Write the result of each row; one that fails says why and leaves the others alone."""
    import torch

    from stages.memory.rows import row_result

    for name in names:
        result = row_result(study, name, torch.get_num_threads())
        write_json(MEMORY / f"{name}.json", result)
        if result["why"] is not None:
            print(f"{name}: {result['why']}", file=sys.stderr)


def main() -> None:
    """Do what the command line asks for."""
    given = arguments()
    study = load_params().memory
    for name in given.rows:
        known("memory.rows", study.rows, name)
    import_without_collecting()
    if given.rows:
        write_rows(study, given.rows)
    elif given.cards_study:
        from stages.memory.rows import cards_result

        write_json(MEMORY_STUDY / "cards.json", cards_result(study))
    elif given.training_study:
        from stages.memory.rows import training_result

        write_json(MEMORY_STUDY / "training.json", training_result(study))
    else:
        from stages.memory.table import print_table

        print_table(given, study.cards)
    leave_at_once()


def leave_at_once() -> None:
    """End the process without taking 3000 modules apart first, which takes 0.7 s."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    run(main)
