"""Files of this machine that are not what was read: DVC sees their declared sums, not the files."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from reformer_seqlen.fetching.unpacking import packing
from reformer_seqlen.parameters.sources import PathSource, describe
from reformer_seqlen.parameters.study import Study
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.files import read_json, sha256_of
from reformer_seqlen.runtime.paths import BASES, TEXTS


def changed_files(params: Study) -> Iterator[str]:
    """A line for each file of this machine that is not what was read: DVC does not look at it."""
    for name, corpus in params.corpora.items():
        was = _read_before(TEXTS / name / "source.json")
        for split, source in corpus.files.items():
            part = (split, describe(source))
            if isinstance(source, PathSource) and part in was:
                yield from _changed(f"corpora.{name}.files.{split}", source, was[part])
    for name, model in params.models.items():
        text = model.pretraining and model.pretraining.file
        if isinstance(text, PathSource):
            read = _base_read_before(BASES / name / "card.json").get(describe(text))
            if read is not None:
                yield from _changed(f"models.{name}.pretraining.file", text, read)


def _changed(key: str, source: PathSource, read: str) -> Iterator[str]:
    """A line, if a file is there and is not the declared one, or the one that was read."""
    # What is recorded of a packed file is the text in it.
    packed = source.member or packing(Path(source.path).name, source.compression)
    expected = source.sha256 or (None if packed else read)
    path = Path(source.path).expanduser()
    if expected and path.is_file() and (found := sha256_of(path)) != expected:
        yield (
            f"{key}: {source.path} has changed since it was read; "
            f"to read it again, declare `sha256: {found}`"
        )


def _read_before(record: Path) -> dict[tuple[str, str], str]:
    """The sha256 of what a text was made of, by split and description.

    Nothing where the record is damaged: DVC runs its stage again.
    """
    if not record.exists():
        return {}
    with suppress(StudyError, KeyError, TypeError):
        parts = read_json(record)["sources"]
        return {(part["file"], part["what"]): part["sha256"] for part in parts}
    return {}


def _base_read_before(card: Path) -> dict[str, str]:
    """The sha256 of the text that a base was made from, by its description; nothing for others."""
    if not card.exists():
        return {}
    with suppress(StudyError, KeyError, TypeError):
        text = read_json(card)["pretraining"]["text"]
        return {text["what"]: text["sha256"]}
    return {}
