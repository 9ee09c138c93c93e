"""Fetch a corpus, check it, and split its text: `python -m stages.download CORPUS`.

Writes data/texts/CORPUS: train, validation and test as text, and source.json.
"""

import tempfile
from pathlib import Path

from reformer_seqlen.fetching.checks import unchecked
from reformer_seqlen.fetching.fetch import fetch_text
from reformer_seqlen.parameters.common.reading import known, read_section
from reformer_seqlen.parameters.corpora import Corpus
from reformer_seqlen.parameters.sources import declared_mirror, licence_line
from reformer_seqlen.runtime.files import whole_folder, write_json
from reformer_seqlen.runtime.paths import TEXTS, WORK
from reformer_seqlen.text.plain import make_plain
from reformer_seqlen.text.splitting import write_splits


def download(name: str, corpus: Corpus, target: Path, mirror: str | None) -> None:
    """Fetch a corpus's files and write its splits to `target`."""
    WORK.mkdir(exist_ok=True)
    with whole_folder(target) as folder, tempfile.TemporaryDirectory(dir=WORK) as temporary:
        raw = {split: Path(temporary) / split for split in corpus.files}
        fetched = []
        for split, source in corpus.files.items():
            key = f"corpora.{name}.files.{split}"
            print(licence_line(source))
            for note in unchecked(source, key):
                print(note)
            found = fetch_text(source, raw[split], key, mirror=mirror)
            fetched.append({"file": split, **found.model_dump()})
            for note in make_plain(raw[split], source, key):
                print(note)
        splits = write_splits(corpus, raw, folder, Path(temporary), f"corpora.{name}")
        licences = dict.fromkeys(source.licence for source in corpus.files.values())
        record = {
            "corpus": name,
            "licence": "; ".join(licences),
            "sources": fetched,
            "splits": splits,
        }
        write_json(folder / "source.json", record)


def main(name: str) -> None:
    """Download a corpus."""
    corpus = known("corpora", read_section("corpora", dict[str, Corpus]), name)
    mirror = declared_mirror()
    download(name, corpus, TEXTS / name, mirror)


if __name__ == "__main__":
    from reformer_seqlen.commands.stage import run_each

    run_each(main, "corpora")
