"""The sections of README.md that the pipeline fills: what stands between two markers.

    <!-- results:NAME -->
    ... replaced ...
    <!-- /results:NAME -->

All else in the file is a person's and is left alone.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.files import read_text, whole_file
from reformer_seqlen.runtime.paths import README

MEND = f"save it as UTF-8, or `git checkout HEAD {README}` brings back the committed one"
_MARKER = re.compile(r"<!-- (?P<closes>/?)results:(?P<name>[\w-]+) -->")
_OPENING = re.compile(r"^<!-- results:(?P<name>[\w-]+) -->\n", re.MULTILINE)
_SECTION = re.compile(
    r"^<!-- results:(?P<name>[\w-]+) -->\n(?P<body>.*?)^<!-- /results:(?P=name) -->$",
    re.MULTILINE | re.DOTALL,
)


def sections(text: str, where: str = str(README)) -> dict[str, str]:
    """What stands between the markers, by name.

    Raises:
        StudyError: a section is opened and not closed, or stands there twice.
    """
    found: dict[str, str] = {}
    for match in _SECTION.finditer(text):
        if match["name"] in found:
            raise StudyError(f"{where}: the section `{match['name']}` is there twice: keep one")
        if inner := _MARKER.search(match["body"]):
            raise StudyError(
                f"{where}: `{inner[0]}` stands within the section `{match['name']}`: each section "
                "has one line that opens it and one that closes it"
            )
        found[match["name"]] = match["body"].strip("\n")
    for name in (match["name"] for match in _OPENING.finditer(text)):
        if name not in found:
            raise StudyError(
                f"{where}: `<!-- results:{name} -->` is not closed: "
                f"put `<!-- /results:{name} -->` on a line of its own after it"
            )
    for marker in _MARKER.finditer(text):
        if marker["closes"] and marker["name"] not in found:
            raise StudyError(
                f"{where}: `{marker[0]}` closes nothing: put "
                f"`<!-- results:{marker['name']} -->` on a line of its own before it"
            )
    return found


def filled(text: str, contents: Mapping[str, str], where: str = str(README)) -> str:
    """The text with these sections' contents in place of what stood there.

    A section without markers in the text is left out: a README may show fewer.

    Raises:
        StudyError: as `sections`, or the text has a section that nothing fills.
    """
    for name in sections(text, where):
        if name not in contents:
            raise StudyError(
                f"{where}: nothing fills the section `{name}`; there are {', '.join(contents)}"
            )

    def replacement(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in contents:
            return match[0]
        return f"<!-- results:{name} -->\n{contents[name]}\n<!-- /results:{name} -->"

    return _SECTION.sub(replacement, text)


def fill(path: Path, contents: Mapping[str, str]) -> None:
    """Fill a file's sections; a file that is already right is not touched."""
    text = read_text(path, MEND)
    new = filled(text, contents, str(path))
    if new != text:
        with whole_file(path) as partial:
            partial.write_text(new, encoding="utf-8")
