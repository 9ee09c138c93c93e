"""How fast text becomes tokens, and in how much memory: `python -m benchmarks.text`.

Everything is given as a ratio of what the machine does with the same text, so that it compares:

- tokenizing, of SentencePiece's own `encode`, line by line on one thread;
- download and split, of `unzip -p | wc -c`, where there is an `unzip`.

The text is Wikipedia's prose (3 MB of a dump in gensim's test data), repeated. A peak is the most
resident memory of the process and of each worker, added up. The last line is JSON: one object.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import chdir, redirect_stdout
from io import StringIO
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import sentencepiece

from reformer_seqlen.fetching.fetch import fetch
from reformer_seqlen.parameters.corpora import Corpus, Split
from reformer_seqlen.parameters.sources import PackageSource, PathSource
from reformer_seqlen.runtime import console, process
from reformer_seqlen.text.documents import documents
from reformer_seqlen.text.encoding import worker_count, write_tokens
from reformer_seqlen.text.tokenizers import load_tokenizer, make_tokenizer
from stages.download import download

KEY = "corpora.wikipedia.files.all"
"""Where the default study declares the text."""
WIKIPEDIA = PackageSource(
    kind="package",
    package="gensim",
    file="gensim/test/test_data/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2",
    sha256="a53f4648dec40467ebdcbc7a1307eddb51fe6e28e9309f6ebde81ba0d04bea2d",
    licence="CC BY-SA 3.0 (Wikipedia, a dump in gensim's test data)",
)
MEGABYTE = 10**6
SMALL, MEDIUM, LARGE = 10 * MEGABYTE, 100 * MEGABYTE, 1000 * MEGABYTE
TRAINED_ON = 600_000
"""Bytes of text that the tokenizer is made from."""
PIECES = 320
REPEATS = 5
LEAST_TOKENIZE, MOST_GROWTH, MOST_DOWNLOAD = 1.7, 1.2, 3.0
"""The bars: speed of tokenizing, growth of memory, time of download and split."""


def seconds(work: Callable[[], object]) -> float:
    """How long a piece of work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def best(one: Callable[[], object], other: Callable[[], object]) -> tuple[float, float]:
    """The fewest seconds of two pieces of work, which are repeated in turn."""
    pairs = [(seconds(one), seconds(other)) for _ in range(REPEATS)]
    return min(first for first, _ in pairs), min(second for _, second in pairs)


def repeated(text: bytes, size: int, folder: Path, name: str) -> None:
    """Write a text of `size` bytes as one document."""
    with (folder / f"{name}.txt").open("wb") as file:
        while (left := size - file.tell()) > 0:
            file.write(text[:left])
    np.save(folder / f"{name}.documents.npy", np.zeros(1, dtype=np.int64))


def tokenize_ratio(folder: Path, name: str) -> float:
    """How many times as fast as SentencePiece's `encode` a text is tokenized, at best of each."""
    path = folder / f"{name}.txt"
    plain = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model"))
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")

    def encode() -> None:
        for line in lines:
            plain.encode(line)

    def tokenize() -> None:
        write_tokens(load_tokenizer(folder), folder, name, folder / "tokens")

    one_thread, ours = best(encode, tokenize)
    rate = path.stat().st_size / MEGABYTE
    print(f"SentencePiece: {rate / one_thread:.1f} MB/s; tokenizing: {rate / ours:.1f} MB/s")
    return one_thread / ours


def peak_mib(folder: Path, name: str) -> float:
    """What a process of its own and its workers take to tokenize a text."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        peak: float = pool.submit(_tokenize_and_measure, folder, name).result()
    return peak


def _tokenize_and_measure(folder: Path, name: str) -> float:
    write_tokens(load_tokenizer(folder), folder, name, folder / "tokens")
    workers = worker_count((folder / f"{name}.txt").stat().st_size)
    of_a_worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss if workers > 1 else 0
    return (own_peak() + workers * of_a_worker) / (2**20 if sys.platform == "darwin" else 2**10)


def own_peak() -> int:
    """The most resident memory of this process, in KiB, or bytes on macOS.

    Linux's getrusage also counts the process that started this one.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lines = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines())
    return int(lines["VmHWM"].split()[0])


def bytes_a_token(folder: Path, name: str) -> float:
    """What ids and byte counts take on disk."""
    ids, counts = (np.load(folder / f"tokens/{name}.{kind}.npy", "r") for kind in ("ids", "bytes"))
    return float((ids.nbytes + counts.nbytes) / len(ids))


def download_ratio(folder: Path, name: str) -> float | None:
    """How many times as long as `unzip -p | wc -c` download and split take; None without unzip."""
    if shutil.which("unzip") is None:
        return None
    with ZipFile(folder / "text.zip", "w", ZIP_DEFLATED) as archive:
        archive.write(folder / f"{name}.txt", name)
    corpus = Corpus(
        format="bytes",
        split=Split(validation=0.1, test=0.1, between="lines"),
        files={"all": PathSource(kind="path", path="text.zip", member=name, licence="a benchmark")},
    )
    with chdir(folder), redirect_stdout(StringIO()):
        unzipped, ours = best(
            unzip_and_count, lambda: download("benchmark", corpus, Path("split"), None)
        )
    return ours / unzipped


def unzip_and_count() -> None:
    """Run `unzip -p text.zip | wc -c`."""
    with subprocess.Popen(["unzip", "-p", "text.zip"], stdout=subprocess.PIPE) as unzip:  # noqa: S607
        subprocess.run(["wc", "-c"], stdin=unzip.stdout, stdout=subprocess.DEVNULL, check=True)  # noqa: S607


def measure(
    text: bytes, folder: Path, small: int = SMALL, medium: int = MEDIUM, large: int = LARGE
) -> dict[str, float]:
    """Measure a text, repeated to some sizes in bytes; print the ratios.

    Args:
        text: a real one.
        folder: an empty one.
        small: of the text that is timed, and whose peak is the one to compare with.
        medium: of the text that is split.
        large: of the text whose peak is compared.
    """
    (folder / "train.txt").write_bytes(text[: text.rfind(b"\n", 0, TRAINED_ON) + 1])
    make_tokenizer("sentencepiece", folder / "train.txt", PIECES, folder, "benchmark")
    (folder / "tokens").mkdir()
    for name, size in (("small", small), ("medium", medium), ("large", large)):
        repeated(text, size, folder, name)
    ratio = tokenize_ratio(folder, "small")
    print(
        f"tokenizing is {ratio:.2f} times as fast as SentencePiece's encode on one thread, at least"
        f" {LEAST_TOKENIZE} times are wanted"
    )
    peaks = [peak_mib(folder, name) for name in ("small", "large")]
    print(
        f"a text of {large / MEGABYTE:g} MB takes {peaks[1] / peaks[0]:.2f} times the memory of"
        f" one of {small / MEGABYTE:g} MB, at most {MOST_GROWTH} times are wanted"
    )
    split = download_ratio(folder, "medium")
    if split is not None:
        print(
            f"download and split take {split:.2f} times as long as `unzip -p | wc -c`, at most"
            f" {MOST_DOWNLOAD:g} times are wanted"
        )
    return {
        "tokenize_over_sentencepiece": round(ratio, 2),
        "peak_mib_10mb": round(peaks[0], 1),
        "peak_mib_1gb": round(peaks[1], 1),
        "bytes_a_token": round(bytes_a_token(folder, "large"), 2),
    }


def main() -> None:
    """Measure; the last line is JSON."""
    argparse.ArgumentParser(
        prog="python -m benchmarks.text",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    process.imported()
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        fetch(WIKIPEDIA, folder / "wikipedia.xml", KEY)
        text = b"".join(documents(folder / "wikipedia.xml", "wikipedia_prose", KEY))
        print(json.dumps(measure(text, folder)))


if __name__ == "__main__":
    console.run(main)
