"""A damaged dvc.yaml is told, where DVC alone would find nothing to do."""

import shutil
from pathlib import Path

import pytest

from reformer_seqlen.pipeline.dvc_file import check_stages, inputs
from reformer_seqlen.runtime.errors import StudyError
from tests.conftest import ROOT

WHOLE = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
LAST = WHOLE[: WHOLE.index("  report:\n    desc")]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A dvc.yaml beside the modules of the stages."""
    shutil.copytree(ROOT / "stages", tmp_path / "stages")
    return tmp_path / "dvc.yaml"


def test_the_projects_own_is_whole() -> None:
    check_stages(ROOT / "dvc.yaml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no stage benchmark_memory, chunk, count, download, evaluate, finetune, pretrain"),
        ("stages: {}", "has no stage benchmark_memory, chunk"),
        ("stages: [1]", "has no stage benchmark_memory, chunk"),
        ("just words", "has no stage benchmark_memory, chunk"),
        (LAST, "has no stage report: `git checkout HEAD dvc.yaml` brings back"),
        (f"<<<<<<< HEAD\n{WHOLE}=======\n>>>>>>> longer\n", "is not YAML: `git checkout"),
        (WHOLE[: len(WHOLE) // 2], "has no stage benchmark_memory|is not YAML"),
        (
            WHOLE.replace("foreach: ${corpora}", "foreach: {}"),
            r"the stage download is to run for each of \{\}, which is no section of params.yaml",
        ),
        (WHOLE.replace("foreach: ${runs}", "foreach: ${nothing}", 1), "each of '.{nothing}'"),
    ],
)
def test_a_damaged_one_is_told(text: str, words: str, written: Path) -> None:
    written.write_text(text, encoding="utf-8")
    with pytest.raises(StudyError, match=words):
        check_stages(written)


def test_one_that_is_missing_or_not_text_is_told(written: Path) -> None:
    with pytest.raises(StudyError, match=r"dvc.yaml is missing: `git checkout HEAD dvc.yaml`"):
        check_stages(written)
    written.write_bytes(b"stages:\n  \xff\n")
    with pytest.raises(StudyError, match=r"not UTF-8 \(byte 0xff in line 2\): `git checkout"):
        check_stages(written)


def test_a_stage_reads_what_its_dependencies_name() -> None:
    """All of `data/`, with the values of its item; code is not data."""
    item = {"corpus": "news", "model": "small", "sequence_length": 512}
    found = {str(path) for path in inputs("finetune", "news-512", item, ROOT / "dvc.yaml")}
    assert found == {"data/bases/small", "data/tokenizers/small", "data/tokens/news-small",
                     "data/windows/news-512"}  # fmt: skip
    assert Path("data/texts") in inputs("report", None, {}, ROOT / "dvc.yaml")
    assert inputs("report", None, {}, Path("nowhere/dvc.yaml")) == []
