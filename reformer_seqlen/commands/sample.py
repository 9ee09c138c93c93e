"""Continue a text with a run's model.

Pieces are drawn one by one from those that together have nine tenths of the probability. The same
seed gives the same text.
"""

from argparse import ArgumentParser, Namespace

import torch

from reformer_seqlen.parameters.common.quantities import SEED_LIMIT
from reformer_seqlen.parameters.common.reading import known
from reformer_seqlen.parameters.study import Study, load_study
from reformer_seqlen.reformer.model import load_reformer
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.paths import MODELS
from reformer_seqlen.text.tokens import load_tokenizer
from reformer_seqlen.training import determinism


def continuation(name: str, params: Study, prompt: str, pieces: int, seed: int) -> str:
    """The prompt and `pieces` more, drawn from a run's model.

    Raises:
        StudyError: the run has not been trained yet, the prompt is empty, or a number is out of
            range.
    """
    if pieces < 1:
        raise StudyError(f"--pieces is {pieces}: give a number of at least 1")
    if not 0 <= seed < SEED_LIMIT:
        raise StudyError(f"--seed is {seed}: give a number from 0 to {SEED_LIMIT - 1}")
    folder = MODELS / name
    if not (folder / "model.safetensors").exists():
        raise StudyError(f"runs.{name}: {folder} holds no model yet; run `make repro` first")
    tokenizer = load_tokenizer(folder)
    ids = tokenizer.encode(prompt)
    if not ids:
        raise StudyError('give a prompt that is not empty: make sample RUN=... PROMPT="The "')
    determinism.make_deterministic(params.evaluation(name).threads)
    determinism.seed(seed)
    length = params.runs[name].sequence_length
    model = load_reformer(
        folder, sequence_length=length, **params.options(name).model_dump()
    ).eval()
    room = length - len(ids)
    if room < 1:
        raise StudyError(f"the prompt has {len(ids)} pieces, runs.{name} reads at most {length}")
    with torch.no_grad():
        drawn = model.generate(
            torch.tensor([ids]), max_new_tokens=min(pieces, room), do_sample=True, top_p=0.9
        )
    return str(tokenizer.decode(drawn[0].tolist()))


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
    """Print a continuation of the prompt on the command line."""
    params = load_study()
    known("runs", params.runs, given.run)
    print(continuation(given.run, params, given.prompt, given.pieces, given.seed))
