"""The installed project: a wheel whose command and model need none of the study's packages."""

import json
import os
import shutil
import subprocess
import sys
import venv
from importlib.metadata import distribution
from pathlib import Path

import pytest

from tests.conftest import ROOT, copy_project, environment
from tests.memory_example import TINY_REFORMER

pytestmark = pytest.mark.slow

STUDY_ONLY = (
    "accelerate", "altair", "datasets", "dvc", "gensim", "hydra", "mwparserfromhell", "pandas",
    "pynvml", "sentencepiece", "vl_convert",
)  # fmt: skip
"""Packages of the extra `study`; here importing one of them fails."""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment with the project's wheel and this one's other packages."""
    folder = tmp_path_factory.mktemp("installed")
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index", "--no-build-isolation"]
    source = copy_project(folder / "source").root  # a build writes into its source
    subprocess.run([*pip, "wheel", *offline, "--wheel-dir", folder, source], check=True)
    [wheel] = folder.glob("*.whl")
    venv.create(folder / "venv", symlinks=True)
    [packages] = (folder / "venv").glob("lib/python*/site-packages")
    target: list[str | Path] = [
        "--python",
        folder / "venv/bin/python",
        "install",
        "--no-deps",
        "--no-index",
    ]
    subprocess.run([*pip, *target, wheel], check=True)
    this = Path(str(distribution("torch").locate_file("")))
    blocked = "; ".join(f"sys.modules[{name!r}] = None" for name in STUDY_ONLY)
    (packages / "others.pth").write_text(f"{this}\nimport sys; {blocked}\n")
    return folder / "venv/bin"


def _run(*command: str | Path, folder: Path) -> str:
    return subprocess.check_output(command, cwd=folder, env=environment(), text=True)


def test_the_wheel_holds_the_library_and_its_data_alone(installed: Path) -> None:
    [packages] = installed.parent.glob("lib/python*/site-packages")
    assert (packages / "reformer_seqlen/reporting/published.json").is_file()
    own = {path.name.partition("-")[0] for path in packages.iterdir()}
    assert own <= {"reformer_seqlen", "others.pth"}


def test_the_command_says_what_memory_a_model_takes(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(TINY_REFORMER))
    words = ["memory", "--config", "config.json", "--sequence-length", "4096", "--gpu", "T4"]
    printed = _run(installed / "reformer-seqlen", *words, folder=tmp_path)
    assert "1 x 4096 tokens" in printed
    assert "MiB" in printed


def test_a_command_of_the_study_says_what_to_install(installed: Path, tmp_path: Path) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    model = tmp_path / "data/models/news-512/model.safetensors"
    model.parent.mkdir(parents=True)
    model.touch()
    done = subprocess.run(
        [installed / "reformer-seqlen", "sample", "news-512", "The "],
        cwd=tmp_path,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.endswith('pip install "reformer-seqlen[study]"\n')
    assert "Traceback" not in done.stderr


def test_the_model_is_imported_by_its_short_name(installed: Path, tmp_path: Path) -> None:
    code = "from reformer_seqlen.reformer import Reformer; print(Reformer.__module__)"
    printed = _run(installed / "python", "-c", code, folder=tmp_path)
    assert printed == "reformer_seqlen.reformer.language_model\n"
