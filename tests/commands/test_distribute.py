"""`reformer-seqlen distribute`: what its command line refuses before it looks at the study."""

from argparse import ArgumentParser
from pathlib import Path

import pytest

from reformer_seqlen.commands import distribute
from reformer_seqlen.runtime.errors import StudyError


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ray", "--workers", "0"], "--workers is 0: give a number of at least 1"),
        (["ray", "--workers", "1", "--gres", "gpu:1"], "--gres and --sbatch are Slurm's"),
        (["local", "--workers", "1", "--sbatch=--x"], "--gres and --sbatch are Slurm's"),
        (["local", "--workers", "1", "--clones", "/shared"], "--clones has no effect on"),
    ],
)
def test_what_has_no_effect_is_refused(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where there is no study to run
    parser = ArgumentParser()
    distribute.add_arguments(parser)
    with pytest.raises(StudyError, match=message):
        distribute.run(parser.parse_args(["--engine", *words]))
