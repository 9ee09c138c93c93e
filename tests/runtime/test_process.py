"""How processes end: at once when they have succeeded, and not after their parents."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.conftest import PATIENCE_SECONDS

LEAVES = """
import atexit, threading, time
from reformer_seqlen.runtime.process import leave
atexit.register(print, "taken apart")
threading.Thread(target=time.sleep, args=(600,)).start()
print("done")
leave()
"""
WAITS = """
import os, time
from reformer_seqlen.runtime.process import end_with_parent
if os.fork() == 0:
    end_with_parent()
    print(os.getpid(), flush=True)
time.sleep(600)
"""


def test_leaving_prints_what_waits_and_waits_for_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LEAVES], capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of a parent's end")
def test_a_child_ends_with_its_parent_however_that_ends() -> None:
    with subprocess.Popen([sys.executable, "-c", WAITS], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        assert psutil.wait_procs([child], timeout=PATIENCE_SECONDS)[1] == []


@pytest.mark.slow
def test_a_child_ends_silently_at_an_interrupt() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WAITS], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        time.sleep(0.1)
        os.kill(child, signal.SIGINT)
        time.sleep(0.5)
        parent.kill()
        assert parent.communicate()[1] == b""
