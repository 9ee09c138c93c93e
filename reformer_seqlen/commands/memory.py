"""What a model of your own takes on a GPU, predicted without one: memory by purpose and by module.

    reformer-seqlen memory --config config.json --batch-size 16 --sequence-length 16384 --gpu T4
    reformer-seqlen memory --model gpt2 --training --optimizer adamw

The model is any causal language model of transformers. Only its configuration is read: no weights
are fetched and nothing is computed. The second table says for every GPU whether this shape fits,
and the longest sequence and the largest batch that do.
"""

from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from functools import partial
from pathlib import Path

from reformer_seqlen.parameters.common.quantities import MOST_SEQUENCES, MOST_TOKENS
from reformer_seqlen.parameters.memory import GPUS, Gpu, MemoryStudy
from reformer_seqlen.runtime import console, process
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.paths import PARAMS

MOST_DIGITS = 20
"""Of a number on the command line; Python reads no number of thousands."""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this command."""
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument(
        "--config", type=Path, metavar="PATH", help="a model's config.json, or its folder"
    )
    model.add_argument(
        "--model",
        metavar="NAME",
        help="a model of the Hugging Face hub, or a folder with its files",
    )
    shape = parser.add_argument_group("shape and GPUs")
    shape.add_argument(
        "--batch-size",
        type=partial(_whole_number, most=MOST_SEQUENCES),
        default=1,
        metavar="N",
        help="sequences (default: 1)",
    )
    shape.add_argument(
        "--sequence-length",
        type=partial(_whole_number, most=MOST_TOKENS),
        default=1024,
        metavar="N",
        help="tokens of each sequence (default: 1024)",
    )
    shape.add_argument(
        "--dtype",
        choices=["float32", "bfloat16", "float16"],
        help="of weights and activations (default: the configuration's, or float32)",
    )
    shape.add_argument(
        "--gpu",
        action="append",
        metavar="NAME",
        help=f"a GPU, may be given again (default: all of memory.gpus in {PARAMS}; "
        f"without that file {', '.join(GPUS)})",
    )
    changes = parser.add_argument_group("changes of the configuration")
    changes.add_argument(
        "--attention",
        choices=["sdpa", "eager"],
        help="torch's scaled_dot_product_attention, or matrix products (default: transformers')",
    )
    changes.add_argument(
        "--positions",
        choices=["axial", "learned", "own"],
        default="own",
        help="a Reformer's positions (default: own, the configuration's)",
    )
    changes.add_argument(
        "--no-cache", action="store_true", help="inference that keeps no keys and values"
    )
    changes.add_argument(
        "--not-reversible",
        action="store_true",
        help="a Reformer with plain residual layers, which keeps every activation for training",
    )
    training = parser.add_argument_group("training")
    training.add_argument(
        "--training",
        action="store_true",
        help="the peak of two updates with gradients and optimizer, not of one forward pass",
    )
    training.add_argument(
        "--optimizer", choices=["adafactor", "adamw"], help="with --training (default: adafactor)"
    )
    training.add_argument(
        "--checkpointing",
        action="store_true",
        help="with --training: recompute each layer's activations in the backward pass",
    )


def run(given: Namespace) -> None:
    """Print the tables.

    Args:
        given: what a parser made of the options of `add_arguments`.

    Raises:
        StudyError: an option that has no effect, an unknown GPU, a configuration that does not
            build, a length beyond the positions, a shape that the model does not run on.
    """
    _refuse_options_without_effect(given)
    gpus = _chosen(given.gpu, _known_gpus())
    # torch and transformers take seconds to import; `--help` needs neither.
    with process.importing():
        from reformer_seqlen.commands.memory_table import print_tables
    print_tables(given, gpus)


def main(arguments: list[str] | None = None) -> None:
    """Run the command.

    Args:
        arguments: those of the command line, unless others are given.
    """
    parser = ArgumentParser(
        prog="reformer-seqlen memory",
        description=__doc__,
        formatter_class=RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    run(parser.parse_args(arguments))


def _whole_number(text: str, most: int) -> int:
    number = int(text) if text.isdecimal() and len(text) <= MOST_DIGITS else 0
    if not 1 <= number <= most:
        raise ArgumentTypeError(f"must be a whole number from 1 to {most}, but it is {text:.40}")
    return number


def _refuse_options_without_effect(given: Namespace) -> None:
    if not given.training:
        for option, value in (
            ("--optimizer", given.optimizer),
            ("--checkpointing", given.checkpointing),
        ):
            if value:
                raise StudyError(f"{option} has no effect on inference: add --training")
    elif given.no_cache:
        raise StudyError("--no-cache has no effect on --training, which never keeps a cache")


def _known_gpus() -> dict[str, Gpu]:
    """Those of the study that is here, if one is."""
    if not PARAMS.exists():
        return GPUS
    from reformer_seqlen.parameters.common.reading import read_section, read_values
    from reformer_seqlen.runtime.messages.parameters import not_yaml

    try:
        values = read_values()
    except (ValueError, RecursionError) as error:  # not UTF-8, or a tag that does not fit
        raise not_yaml(PARAMS, error) from error
    is_a_study = isinstance(values, dict) and "memory" in values
    return read_section("memory", MemoryStudy).gpus if is_a_study else GPUS


def _chosen(names: list[str] | None, known: dict[str, Gpu]) -> dict[str, Gpu]:
    for name in names or ():
        if name not in known:
            raise StudyError(f"--gpu {name} is unknown; known are {', '.join(known)}")
    return {name: known[name] for name in names or known}


if __name__ == "__main__":
    process.prepare()
    console.run(main)
