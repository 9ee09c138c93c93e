"""How a command ends: its exit status, and what a person reads."""

from collections.abc import Callable
from pathlib import Path

import pytest

from stages.study.console import INTERRUPTED, run
from stages.study.errors import StudyError


def _raises(error: BaseException) -> Callable[[], None]:
    def main() -> None:
        raise error

    return main


def _reads(path: Path) -> Callable[[], None]:
    def main() -> None:
        path.read_bytes()

    return main


def _exit_code(main: Callable[[], None]) -> str | int | None:
    with pytest.raises(SystemExit) as ended:
        run(main)
    return ended.value.code


def test_success_is_zero() -> None:
    assert _exit_code(lambda: None) == 0


def test_a_study_error_is_its_message() -> None:
    assert _exit_code(_raises(StudyError("mend this"))) == "error: mend this"


def test_an_interrupted_command_can_be_run_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert _exit_code(_raises(KeyboardInterrupt())) == INTERRUPTED
    assert "run the same command again" in capsys.readouterr().err


@pytest.mark.parametrize("absolute", [False, True])
def test_a_missing_result_is_the_work_of_an_earlier_stage(
    absolute: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("data/tokens/news-tiny/tokens.json")
    shown = path.absolute() if absolute else path
    said = f"error: {shown} is missing; an earlier stage writes it: `make repro`"
    assert _exit_code(_reads(shown)) == said


@pytest.mark.parametrize("path", ["README.md", "database/tokens.json", "/nowhere/data/x.json"])
def test_another_missing_file_is_not_said_to_be(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=path):
        run(_reads(Path(path)))


def test_an_error_without_a_file_name_is_passed_on() -> None:
    with pytest.raises(FileNotFoundError, match="no queue"):
        run(_raises(FileNotFoundError("no queue")))
