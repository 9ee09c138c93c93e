"""A stage that a warm process runs is one that runs alone, to whoever starts, stops or kills it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from reformer_seqlen.commands.warm import kept
from reformer_seqlen.runtime import ranks
from reformer_seqlen.runtime.console import INTERRUPT_NOTE, INTERRUPTED
from reformer_seqlen.runtime.warm import ADDRESS
from tests.conftest import PATIENCE_SECONDS, ROOT, Project, digests, environment

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux ends children with their parents"
)

SAYS = """
import os, sys
from pathlib import Path
from reformer_seqlen.runtime.console import run
from reformer_seqlen.runtime.errors import StudyError

def main():
    print(sys.argv, Path.cwd(), sys.stdin.read(), os.environ["COLOUR"])
    print("aside", file=sys.stderr)
    if "wrong" in sys.argv:
        raise StudyError("mend this")

if __name__ == "__main__":
    run(main)
"""
WAITS = """
import os, time
from reformer_seqlen.runtime.console import run

def main():
    print(os.getpid(), flush=True)
    time.sleep(600)

if __name__ == "__main__":
    run(main)
"""

KEEPS = """
import os, time, psutil
from reformer_seqlen.commands.warm import kept
with kept(os.environ):
    [server] = psutil.Process().children()
    print(server.pid, flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose stages take no time."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "stages").mkdir()
    (folder / "stages/__init__.py").write_bytes((ROOT / "stages/__init__.py").read_bytes())
    (folder / "stages/says.py").write_text(SAYS)
    (folder / "stages/waits.py").write_text(WAITS)
    return folder


@pytest.fixture
def warm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The environment of stages, with a warm process that is ready to run them."""
    monkeypatch.chdir(folder)
    with kept(environment(PYTHONPATH=str(ROOT), COLOUR="red")) as variables:
        _wait_until_ready(variables[ADDRESS])
        yield dict(variables)
    assert _servers() == []


def _wait_until_ready(address: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        while connection.connect_ex(address):
            time.sleep(0.01)


def _servers() -> list[psutil.Process]:
    """The warm processes that this process has started."""
    children = psutil.Process().children()
    return [child for child in children if "reformer_seqlen.commands.warm" in child.cmdline()]


@contextmanager
def _started(variables: dict[str, str]) -> Iterator[tuple[subprocess.Popen[str], psutil.Process]]:
    """Start the stage that waits: the process that was started, and the one that runs it."""
    with subprocess.Popen(
        [sys.executable, "-m", "stages.waits"],
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as started:
        try:
            yield started, _runs(started)
        finally:
            started.kill()


def _runs(started: subprocess.Popen[str]) -> psutil.Process:
    assert started.stdout is not None
    return psutil.Process(int(started.stdout.readline()))


def _ends(process: psutil.Process) -> bool:
    return not psutil.wait_procs([process], timeout=PATIENCE_SECONDS)[1]


@pytest.mark.parametrize("words", [["one", "two"], ["wrong"]])
def test_it_says_and_returns_what_it_does_alone(warm: dict[str, str], words: list[str]) -> None:
    alone = {name: value for name, value in warm.items() if name != ADDRESS}
    [first, second] = [
        subprocess.run(
            [sys.executable, "-m", "stages.says", *words],
            env=variables,
            input="typed",
            capture_output=True,
            text=True,
        )
        for variables in (warm, alone)
    ]
    assert first.returncode == second.returncode == (1 if "wrong" in words else 0)
    assert (first.stdout, first.stderr) == (second.stdout, second.stderr)
    assert first.stdout.endswith(f"{Path.cwd()} typed red\n")


def test_it_is_a_child_of_the_warm_process(warm: dict[str, str]) -> None:
    with _started(warm) as (started, runs):
        assert runs.pid != started.pid
        assert [runs.parent()] == _servers()


@pytest.mark.parametrize("variable", ["COLOUR", "OMP_NUM_THREADS"])
def test_another_environment_runs_alone(warm: dict[str, str], variable: str) -> None:
    with _started({**warm, variable: "7"}) as (started, runs):
        assert runs.pid == started.pid


def test_another_process_of_a_training_is_its_child_too(warm: dict[str, str]) -> None:
    numbers = {ranks.RANK: "1", ranks.SIZE: "2", ranks.LOCAL_RANK: "1", ranks.STORE: "1234"}
    with _started({**warm, **numbers}) as (started, runs):
        assert runs.pid != started.pid
        started.kill()
        assert _ends(runs)


def test_code_that_has_changed_since_runs_alone(warm: dict[str, str], folder: Path) -> None:
    """DVC records the code that is there, which the warm process has not imported."""
    module = folder / "stages/says.py"
    module.write_text(SAYS)  # the same bytes, at another time
    with _started(warm) as (started, runs):
        assert runs.pid == started.pid


def test_several_run_side_by_side(warm: dict[str, str]) -> None:
    with _started(warm) as (_, runs), _started(warm) as (started, _):
        started.send_signal(signal.SIGTERM)
        assert started.wait(PATIENCE_SECONDS) == -signal.SIGTERM
        assert runs.is_running()


def test_ctrl_c_interrupts_it_once(warm: dict[str, str]) -> None:
    with _started(warm) as (started, runs):
        os.killpg(started.pid, signal.SIGINT)
        assert started.communicate(timeout=PATIENCE_SECONDS) == ("", f"{INTERRUPT_NOTE}\n")
        assert started.returncode == INTERRUPTED
        assert _ends(runs)


def test_ctrl_z_stops_it_until_it_is_told_to_go_on(warm: dict[str, str]) -> None:
    with _started(warm) as (started, runs):
        both = [runs, psutil.Process(started.pid)]
        for told, stopped in ((signal.SIGTSTP, True), (signal.SIGCONT, False)):
            os.killpg(started.pid, told)
            while any((each.status() == psutil.STATUS_STOPPED) != stopped for each in both):
                time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("of", ["what was started", "what runs"])
def test_a_signal_ends_both_and_is_what_is_told_of(
    warm: dict[str, str], number: signal.Signals, of: str
) -> None:
    with _started(warm) as (started, runs):
        os.kill(started.pid if of == "what was started" else runs.pid, number)
        assert started.wait(PATIENCE_SECONDS) == -number
        assert _ends(runs)


@pytest.mark.slow
def test_it_runs_alone_when_the_warm_process_is_killed(warm: dict[str, str]) -> None:
    with _started(warm) as (started, runs):
        [server] = _servers()
        server.kill()
        assert _runs(started).pid == started.pid
        assert _ends(runs)
        started.send_signal(signal.SIGINT)
        assert started.communicate(timeout=PATIENCE_SECONDS) == ("", f"{INTERRUPT_NOTE}\n")
        assert started.returncode == INTERRUPTED


@pytest.mark.slow
def test_it_does_not_run_again_when_both_are_told_to_end(warm: dict[str, str]) -> None:
    with _started(warm) as (started, runs):
        runs.suspend()
        while runs.status() != psutil.STATUS_STOPPED:  # or it would still end by itself
            time.sleep(0.01)
        started.send_signal(signal.SIGTERM)
        [server] = _servers()
        server.kill()
        assert started.wait(PATIENCE_SECONDS) == -signal.SIGTERM
        assert _ends(runs)


@pytest.mark.slow
def test_the_warm_process_ends_with_the_one_that_keeps_it(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KEEPS],
        cwd=folder,
        env=environment(PYTHONPATH=str(ROOT)),
        stdout=subprocess.PIPE,
        text=True,
    ) as keeper:
        server = _runs(keeper)
        keeper.kill()
        assert _ends(server)


@pytest.mark.slow
def test_a_model_is_trained_and_scored_to_the_same_bytes(
    own_smoke: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = ("data/models/news-64", "data/histories", "data/evaluations/news-64")
    before = digests(own_smoke.root, *results)
    monkeypatch.chdir(own_smoke.root)
    with kept(environment()) as variables:
        _wait_until_ready(variables[ADDRESS])
        [server] = _servers()
        for stage in ("finetune", "evaluate"):
            command = [sys.executable, "-m", f"stages.{stage}", "news-64"]
            with subprocess.Popen(command, env=variables) as started:
                while not server.children():
                    assert started.poll() is None
            assert started.returncode == 0
    assert digests(own_smoke.root, *results) == before
