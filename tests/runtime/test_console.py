"""How a command ends: its exit status, and what a person reads."""

import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from reformer_seqlen.runtime.console import INTERRUPTED, run
from reformer_seqlen.runtime.errors import StudyError
from tests.conftest import ROOT, environment
from tests.interrupts import SWALLOWS_INTERRUPTS, assert_ends_at_ctrl_c


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
    assert _exit_code(_reads(Path(path))) == f"error: {path}: No such file or directory"


def test_what_the_system_refuses_is_named(tmp_path: Path) -> None:
    assert _exit_code(_reads(tmp_path)) == f"error: {tmp_path}: Is a directory"
    full = OSError(errno.ENOSPC, "No space left on device")
    assert (
        _exit_code(_raises(full)) == "error: No space left on device; free some space on its disk, "
        "then run the same command again: what is finished is kept"
    )


def test_a_reader_who_has_seen_enough_ends_the_command_quietly() -> None:
    """As in `make repro | head`."""
    program = "from reformer_seqlen.runtime.console import run; run(lambda: print('x\\n' * 10**6))"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as command:
        assert command.stdout is not None
        assert command.stderr is not None
        command.stdout.readline()
        command.stdout.close()
        assert command.stderr.read() == ""


@pytest.mark.slow
def test_ctrl_c_is_not_lost_while_a_stage_starts(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text(SWALLOWS_INTERRUPTS)
    command = [sys.executable, "-m", "stages.finetune", "news-512"]
    assert_ends_at_ctrl_c(command, cwd=ROOT, python_path=tmp_path)


def test_imports_of_others_leave_ctrl_c_as_it_is() -> None:
    program = "import signal; before = signal.getsignal(signal.SIGINT); import stages; "
    program += "assert signal.getsignal(signal.SIGINT) is before"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_an_error_without_a_file_name_is_passed_on() -> None:
    with pytest.raises(FileNotFoundError, match="no queue"):
        run(_raises(FileNotFoundError("no queue")))


@pytest.mark.parametrize(
    ("encoding", "printed"),
    [
        ("ascii", b"1.5 +/- 0.1 -> 2 ~ x 2 ? ...\n"),
        ("latin-1", b"1.5 \xb1 0.1 -> 2 ~ \xd7 2 ? ...\n"),
        ("utf-8", "1.5 ± 0.1 → 2 ≈ \xd7 2 ☃ …\n".encode()),
    ],
)
def test_any_terminal_shows_the_results(encoding: str, printed: bytes) -> None:
    program = (
        "from reformer_seqlen.runtime.console import run; "
        "run(lambda: print('1.5 \\xb1 0.1 \\u2192 2 \\u2248 \\xd7 2 \\u2603 \\u2026'))"
    )
    found = subprocess.check_output(
        [sys.executable, "-c", program], cwd=ROOT, env=environment(PYTHONIOENCODING=encoding)
    )
    assert found == printed


def test_a_python_without_the_packages_says_which_one_to_take() -> None:
    """As `.venv/bin/dvc repro` finds it where no environment is activated."""
    bare = environment()
    bare.pop("PYTHONPATH", None)
    command = [sys.executable, "-S", "-m", "stages.chunk", "news-512"]
    done = subprocess.run(command, cwd=ROOT, env=bare, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        f"error: the `python` on PATH is {sys.executable}, which lacks pydantic, ruamel, "
        "sentencepiece, torch, transformers: run `make repro`, or put .venv/bin first in PATH "
        "(`. .venv/bin/activate`) before `dvc repro`\n"
    )
