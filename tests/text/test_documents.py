"""From a source's bytes to documents."""

from pathlib import Path

import pytest

from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.text.documents import Rest, documents, wikipedia_prose

KEY = "corpora.mine.files.all"
DUMP = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/">
<page><title>Old name</title><revision><text>#REDIRECT [[Tree]]</text></revision></page>
<page><title>Tree</title><revision><text>
A '''tree''' is a [[perennial plant|plant]].&lt;ref&gt;Smith&lt;/ref&gt;
[[File:Tree.jpg|thumb|A tree]]
{{Infobox plant|name=Tree}}
== Growth ==
It  grows.</text></revision></page>
</mediawiki>
"""


def test_each_line_is_a_document(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.write_bytes(b"one\n\ntwo")
    assert list(documents(raw, "lines", KEY)) == [b"one\n", b"two\n"]


def test_bytes_are_left_as_they_are(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.write_bytes(b"  a\r\n\n b")
    assert b"".join(documents(raw, "bytes", KEY)) == b"  a\r\n\n b"


def test_a_long_text_comes_in_parts_of_whole_lines(tmp_path: Path) -> None:
    raw, text = tmp_path / "raw", b"a line of text\r\n" * 100_000
    raw.write_bytes(text)
    first, *rest = documents(raw, "bytes", KEY)
    assert first + b"".join(rest) == text
    assert rest
    assert all(isinstance(part, Rest) and part.startswith(b"a line") for part in rest)


def test_a_carriage_return_ends_no_line(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.write_bytes(b"one\rtwo\r\n\r\n")
    assert list(documents(raw, "lines", KEY)) == [b"one\rtwo\r\n"]
    raw.write_text("book = 'one\\rtwo\\nthree'\n")
    assert list(documents(raw, "python_string", KEY)) == [b"one\rtwo\n", b"three\n"]


def test_wikipedia_prose_has_no_markup_redirects_notes_or_pictures(tmp_path: Path) -> None:
    raw = tmp_path / "dump.xml"
    raw.write_text(DUMP, encoding="utf-8")
    assert list(documents(raw, "wikipedia_prose", KEY)) == [
        b"Tree\nA tree is a plant.\nGrowth\nIt grows.\n"
    ]


GERMAN = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/"><siteinfo><namespaces>
<namespace key="-2">Medium</namespace><namespace key="0" /><namespace key="6">Datei</namespace>
<namespace key="10">Vorlage</namespace><namespace key="14">Kategorie</namespace>
</namespaces></siteinfo>
<page><title>Baum</title><ns>0</ns><revision><model>wikitext</model><text>
Ein Baum. [[Datei:Baum.jpg|mini|Ein Baum]] [[Kategorie:Pflanze]]</text></revision></page>
<page><title>Vorlage:Baum</title><ns>10</ns><revision><text>Eine Vorlage.</text></revision></page>
<page><title>Bäume</title><ns>0</ns><redirect title="Baum" /><revision>
<text>#WEITERLEITUNG [[Baum]]</text></revision></page>
<page><title>Baum.css</title><ns>0</ns><revision><model>css</model><text>a {}</text></revision>
</page></mediawiki>
"""


def test_only_articles_of_a_dump_are_read_whatever_its_language(tmp_path: Path) -> None:
    raw = tmp_path / "dump.xml"
    raw.write_text(GERMAN, encoding="utf-8")
    assert list(documents(raw, "wikipedia_prose", KEY)) == [b"Baum\nEin Baum.\n"]


@pytest.mark.parametrize("content", ["no dump\n", GERMAN[:-20]])
def test_what_is_no_whole_dump_is_named(content: str, tmp_path: Path) -> None:
    raw = tmp_path / "dump.xml"
    raw.write_text(content, encoding="utf-8")
    with pytest.raises(StudyError, match=rf"^{KEY}: this is no whole XML dump .*line"):
        list(documents(raw, "wikipedia_prose", KEY))


def test_tables_and_nested_notes_are_left_out() -> None:
    text = "Before.\n{|\n| cell <ref>note</ref>\n|}\nAfter."
    assert wikipedia_prose("Title", text) == "Title\nBefore.\nAfter.\n"


def test_the_longest_string_of_a_module_is_read_without_running_it(tmp_path: Path) -> None:
    raw = tmp_path / "book.py"
    raw.write_text('raise SystemExit\nname = "short"\ntext = """\nIn the\nbeginning\n"""\n')
    assert list(documents(raw, "python_string", KEY)) == [b"In the\n", b"beginning\n"]


def test_a_file_that_is_no_module_is_named(tmp_path: Path) -> None:
    raw = tmp_path / "book.py"
    for content in (b"In the beginning", b"book = '\xff'"):
        raw.write_bytes(content)
        with pytest.raises(StudyError, match=rf"^{KEY}: this is not a Python module"):
            list(documents(raw, "python_string", KEY))
