"""Fetch a corpus, check it, and split its text: `python -m stages.download CORPUS`.

Writes data/texts/CORPUS: train, validation and test as text, and source.json.
"""

import tempfile
from argparse import ArgumentParser
from collections.abc import Iterable, Mapping
from pathlib import Path

from stages.fetching.fetch import fetch
from stages.fetching.http_download import sha256_of
from stages.study.console import run
from stages.study.layout import TEXTS, WORK
from stages.study.outputs import whole_folder, write_json
from stages.study.params import Corpus, SplitFile, known, load_params
from stages.study.sources import PathSource, licence_line
from stages.text.corpora import (
    documents,
    first,
    first_lines,
    shuffled_lines,
    split_parts,
    write_text,
)


def read_corpus(corpus: Corpus, raw: Mapping[SplitFile, Path]) -> dict[str, Iterable[bytes]]:
    """The documents of each split of a corpus whose raw files are at hand."""
    parts: dict[str, Iterable[bytes]] = {
        name: first_lines(
            first(documents(path, corpus.format), corpus.first_bytes), corpus.first_rows
        )
        for name, path in raw.items()
    }
    if corpus.split is None:
        return parts
    whole = parts["all"]
    if corpus.shuffle_lines_seed is not None:
        whole = shuffled_lines(whole, corpus.shuffle_lines_seed)
    return {**split_parts(whole, corpus.split)}


def _undeclared(key: str, source: PathSource) -> str:
    """What to say of a file without a sha256: DVC sees params.yaml change, not the file."""
    path = Path(source.path).expanduser()
    found = f", it is {sha256_of(path)} now" if path.is_file() else ""
    return f"{key}: no sha256 is declared{found}; without it no later change of the file is seen"


def download(name: str, corpus: Corpus, target: Path, mirror: str | None) -> None:
    """Fetch a corpus's files and write its splits to `target`."""
    WORK.mkdir(exist_ok=True)
    with whole_folder(target) as folder, tempfile.TemporaryDirectory(dir=WORK) as temporary:
        raw = {split: Path(temporary) / split for split in corpus.files}
        fetched = []
        for split, source in corpus.files.items():
            print(licence_line(source))
            if isinstance(source, PathSource) and source.sha256 is None:
                print(_undeclared(f"corpora.{name}.files.{split}", source))
            fetched.append({"file": split, **fetch(source, raw[split], mirror=mirror).model_dump()})
        splits = {
            split: write_text(folder, split, parts, f"corpora.{name}")
            for split, parts in read_corpus(corpus, raw).items()
        }
        licences = dict.fromkeys(source.licence for source in corpus.files.values())
        record = {
            "corpus": name,
            "licence": "; ".join(licences),
            "sources": fetched,
            "splits": splits,
        }
        write_json(folder / "source.json", record)


def main() -> None:
    """Download the corpus named on the command line."""
    parser = ArgumentParser(prog="python -m stages.download", description=__doc__)
    parser.add_argument("corpus", help="a key of `corpora` in params.yaml")
    name = parser.parse_args().corpus
    params = load_params()
    corpus = known("corpora", params.corpora, name)
    download(name, corpus, TEXTS / name, params.sources.mirror)


if __name__ == "__main__":
    run(main)
