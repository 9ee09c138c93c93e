"""Ctrl-C: while a command of ours imports torch, and in the middle of a training."""

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from reformer_seqlen.runtime.console import INTERRUPT_NOTE
from reformer_seqlen.training.pacemaker import Pacemaker
from tests.conftest import PATIENCE_SECONDS, environment

SWALLOWS_INTERRUPTS = """
try:
    import time
    print('ready', flush=True)
    time.sleep(600)
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
        assert process.communicate(timeout=PATIENCE_SECONDS) == ("", INTERRUPT_NOTE + "\n")
    assert process.returncode == -signal.SIGINT


@contextmanager
def interrupted_after(update: int) -> Iterator[None]:
    """Within the block, a training is interrupted at the end of this update."""
    end_of_step = Pacemaker.on_step_end

    def stop(self: Pacemaker, args: Any, state: Any, control: Any, **more: Any) -> None:
        end_of_step(self, args, state, control, **more)
        if state.global_step == update:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pacemaker, "on_step_end", stop)
        with pytest.raises(KeyboardInterrupt):
            yield
