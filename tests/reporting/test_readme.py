"""The sections of README.md that the pipeline fills."""

import pytest

from reformer_seqlen.reporting import readme
from reformer_seqlen.runtime.errors import StudyError

SECTION = "<!-- results:{0} -->\nold\n<!-- /results:{0} -->"


def test_markers_must_be_closed_known_and_unique() -> None:
    with pytest.raises(StudyError, match="`<!-- results:a -->` is not closed"):
        readme.sections("<!-- results:a -->\ntext\n")
    with pytest.raises(StudyError, match="`a` is there twice"):
        readme.sections("\n".join([SECTION.format("a")] * 2))
    with pytest.raises(StudyError, match="nothing fills the section `a`; there are b"):
        readme.filled(SECTION.format("a"), {"b": "text"})


def test_filling_is_idempotent_and_takes_text_as_it_is() -> None:
    contents = {"a": r"\1 \g<name> 100 %", "b": "not shown"}
    once = readme.filled(SECTION.format("a"), contents)
    assert readme.sections(once) == {"a": contents["a"]}
    assert readme.filled(once, contents) == once


def test_markers_that_are_lost_or_doubled_are_told() -> None:
    with pytest.raises(StudyError, match="`<!-- /results:a -->` closes nothing"):
        readme.sections("text\n<!-- /results:a -->\n")
    with pytest.raises(StudyError, match="`<!-- results:a -->` stands within the section `a`"):
        readme.sections("<!-- results:a -->\n" + SECTION.format("a"))
    with pytest.raises(StudyError, match="`<!-- results:b -->` stands within the section `a`"):
        readme.sections(SECTION.format("a").replace("old", "<!-- results:b -->"))
