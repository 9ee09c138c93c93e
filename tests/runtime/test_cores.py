"""How many cores a process may use."""

from pathlib import Path

import pytest

from reformer_seqlen.runtime import cores


@pytest.mark.parametrize(
    ("said", "expected"), [("150000 100000", 1.5), ("max 100000", None), ("", None)]
)
def test_a_container_of_version_2_has_a_quota(
    said: str, expected: float | None, tmp_path: Path
) -> None:
    (tmp_path / "cpu.max").write_text(f"{said}\n")
    assert cores.quota_cores(tmp_path) == expected


@pytest.mark.parametrize(("quota", "expected"), [("200000", 2.0), ("-1", None)])
def test_so_has_one_of_version_1(quota: str, expected: float | None, tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text(f"{quota}\n")
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert cores.quota_cores(tmp_path) == expected


def test_without_control_groups_there_is_no_quota(tmp_path: Path) -> None:
    assert cores.quota_cores(tmp_path) is None


@pytest.mark.parametrize(("quota", "expected"), [("50000", 1), ("300000", 3), ("6400000", 8)])
def test_the_smaller_of_affinity_and_quota_holds(
    quota: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu.max").write_text(f"{quota} 100000\n")
    monkeypatch.setattr(cores, "CGROUPS", tmp_path)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert cores.cores() == expected
