"""`make repro PROFILE=NAME`: params.yaml is as `dvc exp run` would make it, nothing is lost."""

import subprocess
from pathlib import Path

import pytest

from reformer_seqlen.commands.params_file import make_params
from reformer_seqlen.parameters.study import load_study
from reformer_seqlen.runtime.errors import StudyError
from tests.conftest import CONF, ROOT

PARAMS = Path("params.yaml")
OWN_LINE = "# a line of one's own\nprofile: smoke\n"


def _git(*arguments: str) -> None:
    identity = ("-c", "user.email=test@example.org", "-c", "user.name=test")
    subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)


@pytest.fixture(autouse=True)
def _in_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the committed study, which DVC has written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf").symlink_to(CONF)
    PARAMS.write_bytes((ROOT / "params.yaml").read_bytes())
    _git("init", "--quiet")
    _git("add", str(PARAMS))
    _git("commit", "--quiet", "--message", "a study")


def test_the_bytes_are_dvcs() -> None:
    PARAMS.unlink()
    make_params("quick")
    assert PARAMS.read_bytes() == (ROOT / "params.yaml").read_bytes()


def test_a_committed_study_makes_way_and_so_does_another_profile() -> None:
    PARAMS.write_text(OWN_LINE)
    _git("commit", "--quiet", "--all", "--message", "of one's own")
    for profile in ("controlled", "smoke"):
        make_params(profile)
        assert load_study(PARAMS).profile == profile


@pytest.mark.parametrize("lines", [OWN_LINE, "profile: mine\n", "profile: [\n"])
def test_lines_that_nothing_else_has_are_not_lost(lines: str) -> None:
    PARAMS.write_text(lines)
    with pytest.raises(StudyError, match=r"params\.yaml has lines that would be lost, since no "):
        make_params("smoke")
    assert PARAMS.read_text() == lines


def test_what_says_the_same_is_left_as_it_is() -> None:
    commented = f"# why it is so\n{PARAMS.read_text()}"
    PARAMS.write_text(commented)
    make_params("quick")
    assert PARAMS.read_text() == commented
