"""What results say of where they were computed and by which code."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from reformer_seqlen.runtime import machine
from tests.conftest import ROOT, environment

ASK = (
    "import json, torch; torch.set_num_threads(2); "
    "from reformer_seqlen.runtime import machine; print(json.dumps(machine.hardware()))"
)


def _hardware(**variables: str) -> Any:
    """What a process with these variables says."""
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=ROOT,
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def _git(*arguments: str) -> None:
    author = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    subprocess.run(["git", *author, *arguments], check=True, capture_output=True)


@pytest.mark.slow
def test_the_instructions_are_those_that_torch_uses() -> None:
    found = machine.instruction_set().split(", ")
    assert found[0] == torch.backends.cpu.get_cpu_capability()
    less = _hardware(ATEN_CPU_CAPABILITY="default")
    assert less["instruction_set"].split(", ")[0] in ("DEFAULT", "NO AVX")
    assert less["switches"] == "ATEN_CPU_CAPABILITY=default"


@pytest.mark.slow
def test_threads_that_openmp_refuses_are_not_counted() -> None:
    assert _hardware()["threads"] == 2
    assert _hardware(OMP_THREAD_LIMIT="1")["threads"] == 1


def test_the_commit_is_named_and_whether_the_code_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert machine.code()["commit"] is None
    assert machine.code()["dirty"] is None
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages/train.py").write_text("RATE = 1\n")
    (tmp_path / "params.yaml").write_text("rate: 1\n")
    _git("init", "-q")
    _git("add", "--all")
    _git("commit", "-qm", "code")
    clean = machine.code()
    assert len(str(clean["commit"])) == 40
    assert clean["dirty"] is False
    (tmp_path / "dvc.lock").write_text("written by each stage\n")
    assert machine.code()["dirty"] is False
    (tmp_path / "params.yaml").write_text("rate: 2\n")
    assert machine.code() == {**clean, "dirty": True}


def test_without_git_there_is_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert machine.code()["commit"] is None
    assert torch.__version__.startswith(str(machine.code()["torch"]))  # a build may be left out
