"""What counting n-grams takes: `python -m benchmarks.counting`.

All the text that the installed packages hold is cut into the pieces of a tokenizer made from its
beginning. A model is counted on the first of them, in a process of its own, and scores the ones
after. The last line is JSON: one object.
"""

import argparse
import itertools
import json
import resource
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from reformer_seqlen.counting.kneser_ney import nats, train
from reformer_seqlen.fetching.fetch import fetch
from reformer_seqlen.parameters.profiles import compose
from reformer_seqlen.parameters.study import parse_study
from reformer_seqlen.runtime import console
from reformer_seqlen.runtime.paths import CONF
from reformer_seqlen.text.blocks import split_lines
from reformer_seqlen.text.documents import documents
from reformer_seqlen.text.tokenizers import load_tokenizer, make_tokenizer

if TYPE_CHECKING:
    from reformer_seqlen.counting.ngrams import Pieces

VOCABULARY = 320
TOKENIZER_LINES = 4000
"""The tokenizer is made from so many lines, all of them of the base model's text."""
MOST_SECONDS, MOST_MIB = 60, 4096
"""The bars, for 5.9M pieces and order 7 on two cores."""


def lines() -> Iterator[bytes]:
    """Every line of the default study's sources, whole files, a base model's text first."""
    study = parse_study(compose("quick", CONF), "quick")
    recipes = {name: model.pretraining for name, model in study.models.items()}
    sources = [
        (f"models.{name}.pretraining.file", recipe.file, recipe.format)
        for name, recipe in recipes.items()
        if recipe is not None
    ]
    sources += [
        (f"corpora.{name}.files.all", corpus.files["all"], corpus.format)
        for name, corpus in study.corpora.items()
    ]
    with TemporaryDirectory() as folder:
        for key, source, text_format in sources:
            fetch(source, Path(folder) / "raw", key)
            for document in documents(Path(folder) / "raw", text_format, key):
                yield from split_lines(document)


def pieces(most: int) -> "Pieces":
    """The ids of that many pieces, or of all that there are."""
    text = lines()
    beginning = list(itertools.islice(text, TOKENIZER_LINES))
    with TemporaryDirectory() as folder:
        (Path(folder) / "sample.txt").write_bytes(b"".join(beginning))
        sample = Path(folder) / "sample.txt"
        make_tokenizer("sentencepiece", sample, VOCABULARY, Path(folder), "benchmark")
        tokenizer = load_tokenizer(Path(folder))
    encoded, count = [], 0
    for line in itertools.chain(beginning, text):
        encoded.append(tokenizer.encode([line]).ids.astype(np.uint16))
        count += len(encoded[-1])
        if count >= most:
            break
    return np.concatenate(encoded)[:most]


def measure(text: "Pieces", counted: int, order: int) -> dict[str, float]:
    """Count the first pieces of a text and score the others; the process is this one alone's."""
    before_mib = peak_mib()
    began = time.perf_counter()
    model = train(text[:counted], order, VOCABULARY)
    trained = time.perf_counter()
    loss = nats(model, text[counted:])[1:].mean()
    scored = time.perf_counter()
    return {
        "order": order,
        "pieces": counted,
        "pieces_scored": len(text) - counted - 1,
        "ngrams": sum(len(level.keys) for level in model.levels),
        "perplexity": round(float(np.exp(loss)), 4),
        "seconds": round(scored - began, 2),
        "seconds_counting": round(trained - began, 2),
        "peak_mib": round(peak_mib()),
        "before_mib": round(before_mib),
    }


def peak_mib() -> float:
    """The most resident memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure one size; the last line is JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.counting",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--pieces", type=int, default=5_900_000, help="to count")
    parser.add_argument("--scored", type=int, default=590_000, help="pieces after those")
    parser.add_argument("--order", type=int, default=7)
    given = parser.parse_args(arguments)
    text = pieces(given.pieces + given.scored)
    if len(text) < given.pieces + given.scored:
        parser.error(f"there are no more than {len(text):,} pieces to count and to score")
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        result = pool.submit(measure, text, given.pieces, given.order).result()
    print(
        f"{result['pieces']:,} pieces, order {given.order}: {result['ngrams']:,} n-grams, "
        f"{result['seconds']} s, at most {MOST_SECONDS} are wanted; {result['peak_mib']:,} MiB at "
        f"the peak, at most {MOST_MIB:,} are wanted"
    )
    print(json.dumps(result))


if __name__ == "__main__":
    console.run(main)
