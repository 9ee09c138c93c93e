"""Stages as commands: the study is checked as a whole before one does any work."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from reformer_seqlen.parameters.profiles import compose
from tests.conftest import CONF, ROOT, environment


@pytest.fixture
def values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The smoke study's values, in a folder without anything else."""
    monkeypatch.chdir(tmp_path)
    return compose("smoke", CONF)


def stage(values: Any, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a stage on these values of params.yaml."""
    YAML().dump(values, Path("params.yaml"))
    return subprocess.run(
        [sys.executable, "-m", *words],
        env=environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_a_mistake_in_a_section_that_a_stage_does_not_use_stops_it_all_the_same(
    values: Any,
) -> None:
    values["memory"]["rows"]["tiny-256"]["model"] = "huge"
    done = stage(values, "stages.download", "news")
    assert done.returncode == 1
    assert done.stderr == (
        "error: params.yaml is not a valid study: "
        "memory: rows.tiny-256.model: `huge` is not among memory.models: tiny, tiny-gpt2\n"
    )
    assert [path.name for path in Path().iterdir()] == ["params.yaml"]


@pytest.mark.slow
def test_an_unknown_key_is_named_with_those_that_there_are(values: Any) -> None:
    done = stage(values, "stages.download", "novel")
    assert done.returncode == 1
    assert done.stderr == "error: corpora.novel: not in params.yaml, which has news\n"


@pytest.mark.slow
def test_a_stage_says_what_it_does(values: Any) -> None:
    done = stage(values, "stages.tokenize", "--help")
    assert done.returncode == 0
    assert "a key of `tokens` in params.yaml" in done.stdout
    assert "Reads data/texts/CORPUS" in done.stdout
