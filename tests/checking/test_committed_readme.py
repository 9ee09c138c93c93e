"""README.md against the committed one."""

import subprocess
from pathlib import Path

import pytest

from reformer_seqlen.checking.committed_readme import compare_with_committed

TEXT = "# Mine\n\n<!-- results:headline -->\nold\n<!-- /results:headline -->\n"
README = Path("README.md")


def commit(text: str) -> None:
    README.write_text(text)
    author = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    for arguments in (["init", "-q"], ["add", "--all"], [*author, "commit", "-qm", "text"]):
        subprocess.run(["git", *arguments], check=True)


@pytest.fixture(autouse=True)
def _committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    commit(TEXT)


def test_a_lost_section_is_named_and_the_advice_brings_it_back() -> None:
    assert compare_with_committed() == []
    README.write_text("# Mine\n")
    [lost] = compare_with_committed()
    assert str(lost) == (
        "README.md: section `headline`: is committed and not here: `git checkout HEAD README.md` "
        "brings back the committed one"
    )
    subprocess.run(["git", "add", "README.md"], check=True)
    subprocess.run(["git", "checkout", "-q", "HEAD", "README.md"], check=True)
    assert compare_with_committed() == []


def test_what_a_merge_leaves_is_named() -> None:
    README.write_text(f"<<<<<<< HEAD\n{TEXT}=======\n# Yours\n>>>>>>> theirs\n")
    first, last = map(str, compare_with_committed())
    assert first.startswith("README.md: line 1: `<<<<<<< HEAD` is left of a merge: `git checkout")
    assert last.startswith("README.md: line 9: `>>>>>>> theirs` is left of a merge")


def test_of_a_committed_file_that_is_broken_nothing_is_lost() -> None:
    commit(f"{TEXT}{TEXT}")
    README.write_text(TEXT)
    assert compare_with_committed() == []


def test_a_file_that_is_gone_has_lost_all_its_sections() -> None:
    README.unlink()
    [lost] = compare_with_committed()
    assert lost.key == "section `headline`"
