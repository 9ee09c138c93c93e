"""`reformer-seqlen`: its help, what it imports, and what it says where packages are missing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from reformer_seqlen.commands.main import COMMANDS, missing, parser
from tests.conftest import ROOT, environment
from tests.interrupts import SWALLOWS_INTERRUPTS, assert_ends_at_ctrl_c

COMMAND = [sys.executable, "-m", "reformer_seqlen"]


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A folder with the study's parameters and, by its name, the model of a run."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    model = tmp_path / "data/models/news-512/model.safetensors"
    model.parent.mkdir(parents=True)
    model.touch()
    return tmp_path


def _typed(*words: str, folder: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words],
        cwd=folder,
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_says_what_each_command_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        parser().parse_args(["--help"])
    printed = " ".join(capsys.readouterr().out.split())
    for name, summary in COMMANDS.items():
        assert f"{name} {summary}" in printed


def test_a_word_that_is_no_command_is_refused_with_those_that_are() -> None:
    done = _typed("retrain")
    assert done.returncode == 2
    assert "invalid choice: 'retrain' (choose from" in done.stderr


def test_help_of_a_command_says_its_defaults() -> None:
    printed = " ".join(_typed("sample", "--help").stdout.split())
    assert "usage: reformer-seqlen sample" in printed
    assert "how many pieces to add, within the run's sequence length (default: 100)" in printed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["news-512", "The ", "--pieces", "0"], "--pieces is 0: give a number of at least 1"),
        (["news-512", "The ", "--seed", "-1"], "--seed is -1: give a number from 0 to 4294967295"),
        (["news-51", "The "], "news-512"),
        (["news-512", os.fsdecode(b"caf\xe9")], "the prompt is not UTF-8"),
        (["news-128", "The "], "runs.news-128: data/models/news-128 holds no model yet"),
    ],
)
def test_sample_refuses_before_it_imports_torch(
    words: list[str], message: str, trained: Path
) -> None:
    (trained / "torch.py").write_text("raise SystemExit('imported')")
    done = _typed("sample", *words, folder=trained, PYTHONPATH=os.fspath(ROOT))
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert message in done.stderr


def test_only_the_command_that_is_asked_for_is_imported() -> None:
    code = (
        "import sys; sys.argv = ['', 'repro', '--help']\n"
        "from reformer_seqlen.commands.main import main\n"
        "try: main()\n"
        "except SystemExit: print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    printed = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True)
    loaded = set(printed.splitlines()[-1].split())
    assert "pydantic" in loaded
    assert not loaded & {"torch", "transformers", "pandas", "dvc", "numpy"}


@pytest.mark.slow
def test_a_missing_package_is_named_with_how_to_install_it(trained: Path) -> None:
    (trained / "torch.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')"
    )
    done = _typed("sample", "news-512", "The ", folder=trained, PYTHONPATH=os.fspath(ROOT))
    assert done.stderr == (
        "error: `reformer-seqlen sample` needs the Python package torch: "
        'pip install "reformer-seqlen[study]"\n'
    )
    assert done.returncode == 1


def test_a_module_of_our_own_that_is_missing_is_a_bug() -> None:
    error = ModuleNotFoundError(name="reformer_seqlen.stages")
    with pytest.raises(ModuleNotFoundError):
        missing("plan", error)


@pytest.mark.slow
def test_ctrl_c_is_not_lost_while_a_command_is_imported(trained: Path) -> None:
    (trained / "torch.py").write_text(SWALLOWS_INTERRUPTS)
    command = [*COMMAND, "sample", "news-512", "The "]
    assert_ends_at_ctrl_c(command, cwd=trained, python_path=ROOT)
