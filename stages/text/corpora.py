"""From a source's bytes to the text of three splits, nothing shuffled unless asked for.

A corpus is a sequence of documents, each a sequence of whole lines. Splits are contiguous runs of
documents or of lines, so no text stands in two of them.
"""

import ast
import io
import itertools
import math
import random
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stages.study.errors import StudyError
from stages.study.outputs import whole_file

if TYPE_CHECKING:
    from stages.study.params import Format, Split

MEDIA_LINKS = ("file:", "image:", "category:", "media:")


def documents(raw: Path, text_format: "Format") -> Iterator[bytes]:
    """Read a source's documents, one at a time, as UTF-8 bytes that end with a newline.

    Formats:
        lines: each line that is not blank is a document (news stories, sentences).
        wikipedia_prose: each article's prose, without markup, from a MediaWiki XML dump.
        bytes: the whole file is one document, byte for byte.
        python_string: the longest string literal in a Python module, each line a document; the
            module is parsed, never imported.
    """
    if text_format == "lines":
        with raw.open("rb") as file:
            yield from (_closed(line) for line in file if line.strip())
    elif text_format == "wikipedia_prose":
        yield from _wikipedia_articles(raw)
    elif text_format == "python_string":
        lines = _longest_string(raw).encode().splitlines(keepends=True)
        yield from (_closed(line) for line in lines if line.strip())
    else:
        yield raw.read_bytes()


def _closed(line: bytes) -> bytes:
    return line if line.endswith(b"\n") else line + b"\n"


def _longest_string(module: Path) -> str:
    try:
        tree = ast.parse(module.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise StudyError(f"{module.name} is not a Python module: {error}") from error
    strings = (
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    return max(strings, key=len, default="")


def _wikipedia_articles(dump: Path) -> Iterator[bytes]:
    title = ""
    for _, element in ElementTree.iterparse(dump):  # noqa: S314 - checked by its sha256
        tag = element.tag.rpartition("}")[2]
        if tag == "title":
            title = element.text or ""
        elif tag == "text" and not (element.text or "").lower().startswith("#redirect"):
            yield wikipedia_prose(title, element.text or "").encode()
        elif tag == "page":
            element.clear()


def wikipedia_prose(title: str, wikitext: str) -> str:
    """An article's prose: its title, then one line a paragraph, without markup, notes or tables."""
    # mwparserfromhell is slow to import and only this format needs it.
    import mwparserfromhell

    code = mwparserfromhell.parse(wikitext)
    for link in code.filter_wikilinks():
        if str(link.title).strip().lower().startswith(MEDIA_LINKS):
            _remove(code, link)
    for tag in code.filter_tags(matches=lambda node: str(node.tag).lower() in {"table", "ref"}):
        _remove(code, tag)
    lines = (" ".join(line.split()) for line in code.strip_code().split("\n"))
    return "".join(f"{line}\n" for line in (title, *lines) if line)


def _remove(code: object, node: object) -> None:
    try:
        code.remove(node)  # type: ignore[attr-defined]
    except ValueError:
        return  # it stood inside a node that is already gone


def first(parts: Iterable[bytes], first_bytes: int | None) -> Iterator[bytes]:
    """The documents that fit into `first_bytes`; the first one too long is cut at a line."""
    left = first_bytes
    for part in parts:
        if left is None:
            yield part
        elif len(part) <= left:
            left -= len(part)
            yield part
        else:
            cut = part[: part.rfind(b"\n", 0, left) + 1]
            if cut:
                yield cut
            return


def first_lines(parts: Iterable[bytes], lines: int | None) -> Iterator[bytes]:
    """The documents up to a number of lines; the last one is cut after the last of them."""
    left = lines
    for part in parts:
        if left is None:
            yield part
            continue
        taken = list(itertools.islice(io.BytesIO(part), left))
        left -= len(taken)
        yield b"".join(taken)
        if not left:
            return


def shuffled_lines(parts: Iterable[bytes], seed: int) -> list[bytes]:
    """All lines in an order drawn from `seed`, each a document: how the study read enwik8.

    A last line without a newline gets one, or the line that then follows it would be part of it.
    """
    lines = [_closed(line) for part in parts for line in part.splitlines(keepends=True)]
    random.Random(seed).shuffle(lines)  # noqa: S311 - no secret
    return lines


def cut_points(sizes: Sequence[int], validation: float, test: float) -> tuple[int, int]:
    """Where validation and test begin among parts of these sizes, taken in order.

    Each split takes parts until it holds its share of the bytes; the cut falls before the part in
    which the share is reached.

    Example: `cut_points([10] * 10, 0.2, 0.1)` is `(7, 9)`.
    """
    ends = np.cumsum(sizes)
    total = int(ends[-1]) if len(ends) else 0
    shares = np.array([1 - validation - test, 1 - test]) * total
    begin_validation, begin_test = np.searchsorted(ends, np.round(shares), side="left") + 1
    return int(begin_validation), int(begin_test)


def counted_cut_points(parts: int, validation: float, test: float) -> tuple[int, int]:
    """Where validation and test begin by the number of parts, rounded down as the study did.

    Example: `counted_cut_points(19, 0.1, 0.1)` is `(15, 16)`: what is left over goes to test.
    """
    # Rounded first, because 1 - 0.7 - 0.1 is a little less than 0.2.
    shares = (round(share * parts, 6) for share in (1 - validation - test, validation))
    begin_validation, length = map(math.floor, shares)
    return begin_validation, begin_validation + length


def split_parts(parts: Iterable[bytes], split: "Split") -> dict[str, list[bytes]]:
    """Cut documents into contiguous train, validation and test.

    With `between: lines` the cut may fall inside a document; the rest of the document is the first
    one of the next split.
    """
    whole = list(parts)
    if split.between == "documents":
        ranges = _ranges(whole, split)
        return {name: whole[begin:end] for name, (begin, end) in ranges.items()}
    lines = [part.splitlines(keepends=True) for part in whole]
    ranges = _ranges(list(itertools.chain.from_iterable(lines)), split)
    return {name: _lines_between(lines, begin, end) for name, (begin, end) in ranges.items()}


def _ranges(parts: Sequence[bytes], split: "Split") -> dict[str, tuple[int, int]]:
    if split.shares_of == "bytes":
        cuts = cut_points([len(part) for part in parts], split.validation, split.test)
    else:
        cuts = counted_cut_points(len(parts), split.validation, split.test)
    return {"train": (0, cuts[0]), "validation": cuts, "test": (cuts[1], len(parts))}


def _lines_between(lines: Sequence[Sequence[bytes]], begin: int, end: int) -> list[bytes]:
    offsets = itertools.accumulate((len(part) for part in lines), initial=0)
    inside = (
        b"".join(part[max(begin - offset, 0) : max(end - offset, 0)])
        for part, offset in zip(lines, offsets, strict=False)
    )
    return [part for part in inside if part]


def write_text(folder: Path, split: str, parts: Iterable[bytes], key: str) -> dict[str, int]:
    """Write `SPLIT.txt` and `SPLIT.documents.npy`, where each document begins (int64 bytes).

    Returns:
        How many bytes and documents were written.

    Raises:
        StudyError: the split is empty; the message names `key`, the text's place in params.yaml.
    """
    starts = [0]
    with whole_file(folder / f"{split}.txt") as path, path.open("wb") as file:
        for part in parts:
            file.write(part)
            starts.append(starts[-1] + len(part))
        if starts[-1] == 0:
            raise StudyError(
                f"{key}: the {split} split is empty, no line or document of the text falls into"
                " its share; give a larger `first_bytes` or share, or a longer text"
            )
    np.save(folder / f"{split}.documents.npy", np.array(starts[:-1], dtype=np.int64))
    return {"bytes": starts[-1], "documents": len(starts) - 1}


def read_rows(folder: Path, split: str) -> Iterator[bytes]:
    """The lines of a split, in order, each with its newline."""
    with (folder / f"{split}.txt").open("rb") as file:
        yield from file


def document_starts(folder: Path, split: str) -> NDArray[np.int64]:
    """The byte at which each document of a split begins."""
    starts: NDArray[np.int64] = np.load(folder / f"{split}.documents.npy", allow_pickle=False)
    return starts
