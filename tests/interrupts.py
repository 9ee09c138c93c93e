"""Ctrl-C while a command of ours imports torch."""

import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from reformer_seqlen.runtime.console import INTERRUPT_NOTE
from tests.conftest import environment

SWALLOWS_INTERRUPTS = """
try:
    import time
    print('ready', flush=True)
    time.sleep(60)
except BaseException:
    print('lost')
"""
"""Stands in for torch: a library that catches whatever its own imports raise."""


def assert_ends_at_ctrl_c(command: Sequence[str], cwd: Path, python_path: Path) -> None:
    """Interrupt a command in its import of torch: it says so once and ends as the signal does."""
    with subprocess.Popen(
        command,
        cwd=cwd,
        env=environment(PYTHONPATH=str(python_path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60) == ("", INTERRUPT_NOTE + "\n")
    assert process.returncode == -signal.SIGINT
