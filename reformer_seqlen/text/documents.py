"""From a source's bytes to documents, each of whole lines."""

import ast
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from reformer_seqlen.parameters.corpora import Format
from reformer_seqlen.runtime import progress
from reformer_seqlen.runtime.messages import text as messages
from reformer_seqlen.text.blocks import read_parts, split_lines

MEDIA_LINKS = ("file:", "image:", "category:", "media:")
"""How links to them begin in every language; a dump names those of its own."""
MEDIA_NAMESPACES = {"-2", "6", "14"}
"""Media, files and categories, as MediaWiki numbers them."""
ARTICLES = "0"
"""The namespace of articles."""
WIKITEXT = "wikitext"
"""The content model of pages of prose; others hold style sheets, programs or data."""


class Rest(bytes):
    """More of a document that is too long to be read at once: it goes on with this."""


def documents(raw: Path, text_format: Format, key: str) -> Iterator[bytes]:
    """Read a source's documents, one at a time, as UTF-8 bytes that end with a newline.

    Formats:
        lines: each line that is not blank is a document (news stories, sentences).
        wikipedia_prose: each article's prose, without markup, from a MediaWiki XML dump;
            other pages and redirects are left out.
        bytes: the whole file is one document, byte for byte; what follows its first block, of
            whole lines unless one is longer, comes as `Rest`.
        python_string: the longest string literal in a Python module, each line a document; the
            module is parsed, never imported.

    Args:
        raw: the file.
        text_format: how it is read.
        key: the source's place in params.yaml, for messages.

    Raises:
        StudyError: the file is not of this format.
    """
    with raw.open("rb") as file, progress.of_bytes(raw.name, raw.stat().st_size) as bar:
        if text_format == "lines":
            for line in file:
                bar.update(len(line))
                if line.strip():
                    yield closed(line)
        elif text_format == "wikipedia_prose":
            for article in _wikipedia_articles(file, key):
                bar.update(file.tell() - bar.n)
                yield article
        elif text_format == "python_string":
            lines = split_lines(_longest_string(raw, key))
            yield from (closed(line) for line in lines if line.strip())
        else:
            kind: type[bytes] = bytes
            for part, _ in read_parts(file, len):
                bar.update(len(part))
                yield kind(part)
                kind = Rest


def closed(line: bytes) -> bytes:
    """The line with a newline at its end."""
    return line if line.endswith(b"\n") else line + b"\n"


def _longest_string(module: Path, key: str) -> bytes:
    try:
        tree = ast.parse(module.read_text(encoding="utf-8"))
        strings = (
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        )
        return max(strings, key=len, default="").encode()
    except (SyntaxError, UnicodeError, RecursionError, MemoryError) as error:
        raise messages.no_python_module(key, error) from error


def _wikipedia_articles(dump: BinaryIO, key: str) -> Iterator[bytes]:
    """The prose of a dump's articles.

    Raises:
        StudyError: the dump is no XML, or is cut off.
    """
    media = set(MEDIA_LINKS)
    try:
        for _, element in ElementTree.iterparse(dump):  # noqa: S314 - checked by its sha256
            kind = _tag(element)
            if kind == "namespace" and element.get("key") in MEDIA_NAMESPACES and element.text:
                media.add(f"{element.text.lower()}:")
            elif kind == "page":
                page = {_tag(child): child.text or "" for child in element.iter()}
                if _is_article(page):
                    title, text = page.get("title", ""), page.get("text", "")
                    yield wikipedia_prose(title, text, tuple(media)).encode()
                element.clear()
    except ElementTree.ParseError as error:
        raise messages.no_dump(key, error) from error


def _tag(element: ElementTree.Element) -> str:
    """An element's name without its namespace."""
    return element.tag.rpartition("}")[2]


def _is_article(page: Mapping[str, str]) -> bool:
    """Whether a page, its elements' texts by name, is one of prose, and no redirect to one."""
    return (
        "text" in page
        and page.get("ns", ARTICLES) == ARTICLES
        and page.get("model", WIKITEXT) == WIKITEXT
        and "redirect" not in page
        and not page["text"].lower().startswith("#redirect")
    )


def wikipedia_prose(title: str, wikitext: str, media: tuple[str, ...] = MEDIA_LINKS) -> str:
    """An article's prose: its title, then one line a paragraph, without markup, notes or tables.

    Args:
        title: of the article.
        wikitext: its text.
        media: how links to pictures and categories begin, in lower case.
    """
    # mwparserfromhell is slow to import and only this format needs it.
    import mwparserfromhell
    from mwparserfromhell.nodes import Tag, Wikilink

    def is_no_prose(node: Any) -> bool:
        if isinstance(node, Wikilink):
            return str(node.title).strip().lower().startswith(media)
        return isinstance(node, Tag) and str(node.tag).lower() in {"table", "ref"}

    code = mwparserfromhell.parse(wikitext)
    _leave_out(code, is_no_prose)
    lines = (" ".join(line.split()) for line in code.strip_code().split("\n"))
    return "".join(f"{line}\n" for line in (title, *lines) if line)


def _leave_out(code: Any, unwanted: Callable[[Any], bool]) -> None:
    """Remove nodes at any depth; `code.remove` would search the whole article for each."""
    nodes = [node for node in code.nodes if not unwanted(node)]
    if len(nodes) < len(code.nodes):
        code.nodes[:] = nodes
    for node in nodes:
        for inner in node.__children__():
            _leave_out(inner, unwanted)
