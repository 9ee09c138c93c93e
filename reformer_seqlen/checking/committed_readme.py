"""README.md against the one of git's HEAD: what it has lost, and what a merge has left in it."""

from contextlib import suppress

from reformer_seqlen.checking import head
from reformer_seqlen.checking.differences import Difference
from reformer_seqlen.reporting import readme
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.files import read_text
from reformer_seqlen.runtime.paths import README

MEND = f"`git checkout HEAD {README}` brings back the committed one"
CONFLICT = ("<<<<<<< ", ">>>>>>> ")


def compare_with_committed() -> list[Difference]:
    """The sections that the pipeline fills and README.md has lost, and the lines of a conflict.

    Raises:
        StudyError: the file can't be read, or its markers do not match.
    """
    text = read_text(README, readme.MEND) if README.exists() else ""
    lost = _sections_of_head() - readme.sections(text).keys()
    sections = [
        Difference(str(README), f"section `{name}`", f"is committed and not here: {MEND}")
        for name in sorted(lost)
    ]
    conflicts = [
        Difference(str(README), f"line {line}", f"`{words}` is left of a merge: {MEND}")
        for line, words in enumerate(text.splitlines(), 1)
        if words.startswith(CONFLICT)
    ]
    return sections + conflicts


def _sections_of_head() -> set[str]:
    """By name; none where the committed file is broken: nothing can be lost of it."""
    with suppress(StudyError):
        return {*readme.sections(head.text_of(README) or "")}
    return set()
