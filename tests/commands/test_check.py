"""`make check`: what it compares, how exactly, and what it says."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reformer_seqlen.checking.profile import compare_profile
from reformer_seqlen.commands import check
from reformer_seqlen.commands.check import (
    TOLERANCE,
    compare_report,
    machine_tolerance,
)
from reformer_seqlen.reporting.report import write_report
from reformer_seqlen.runtime.errors import StudyError
from tests.conftest import ROOT
from tests.report_example import runs, study_of, write_results

PROFILE = "# @package _global_\nprofile: tiny\ntrain: {batch_size: 4}\n"
README = "# Mine\n\n<!-- results:headline -->\nold\n<!-- /results:headline -->\n"
STUDY = study_of(runs())


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reported study in a git repository with everything committed."""
    root = tmp_path_factory.mktemp("reported")
    write_results(root / "data", runs())
    (root / "README.md").write_text(README)
    write_report(STUDY, root)
    (root / "conf/profile").mkdir(parents=True)
    (root / "conf/config.yaml").write_text("defaults:\n  - profile: tiny\n  - _self_\n")
    (root / "conf/profile/tiny.yaml").write_text(PROFILE)
    (root / "params.yaml").write_text("profile: tiny\ntrain:\n  batch_size: 4\n")
    author = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    for arguments in (["init", "-q"], ["add", "--all"], [*author, "commit", "-qm", "study"]):
        subprocess.run(["git", *arguments], cwd=root, check=True)
    return root


@pytest.fixture
def committed(reported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be in a copy of that repository."""
    shutil.copytree(reported, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(check, "load_study", lambda *_: STUDY)


def _change(path: str, change: Callable[[Any], None]) -> None:
    value = json.loads(Path(path).read_text())
    change(value)
    Path(path).write_text(json.dumps(value, indent=2) + "\n")


def _set(path: str, **values: Any) -> None:
    _change(path, lambda file: file.update(values))


def _on_another_machine() -> None:
    _set("metrics/measured/machine.json", processor="Other CPU")


def _found(tolerance: float = 0.0) -> list[str]:
    return [str(difference) for difference in check.compare_results(tolerance)]


@pytest.mark.slow
@pytest.mark.usefixtures("committed")
def test_what_was_just_committed_is_right(capsys: pytest.CaptureFixture[str]) -> None:
    check.main()
    shown = capsys.readouterr().out
    assert (
        "byte for byte: both were computed on Imaginary CPU, instructions AVX512, avx512_bf16, "
        "2 threads, torch 2.13.0, C library glibc 2.36\n"
    ) in shown
    assert shown.splitlines()[-1].startswith("ok: ")


@pytest.mark.usefixtures("committed")
def test_one_digit_of_a_score_is_found_on_the_same_machine(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _set("metrics/test/news-256.json", perplexity=11.5001)
    with pytest.raises(StudyError, match="1 value differs"):
        check.main()
    assert (
        "metrics/test/news-256.json: perplexity: committed 11.5, computed 11.5001"
        in capsys.readouterr().out
    )


@pytest.mark.usefixtures("committed")
def test_other_bytes_of_the_same_values_are_found() -> None:
    path = Path("metrics/details/training.json")
    path.write_text(json.dumps(json.loads(path.read_text())))
    assert _found() == [
        "metrics/details/training.json: layout: same values, other bytes: "
        "write it with `python -m stages.report`"
    ]


@pytest.mark.usefixtures("committed")
def test_another_machine_has_a_tolerance_and_it_is_said() -> None:
    _on_another_machine()
    tolerance, reason = machine_tolerance()
    assert tolerance == TOLERANCE
    assert reason.startswith("within 5%: committed was computed on Imaginary CPU")
    assert "here Other CPU" in reason
    _set("metrics/test/news-256.json", perplexity=11.5 * 1.04)
    _change(
        "metrics/details/scores.json",
        lambda scores: scores["news-256"]["test"].update(perplexity_spread=0.02),
    )
    assert _found(tolerance) == []
    _set("metrics/test/news-256.json", perplexity=11.5 * 1.06)
    assert len(_found(tolerance)) == 1


@pytest.mark.usefixtures("committed")
@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("instruction_set", "AVX2", "instructions AVX2"),
        ("threads", "1", "1 threads"),
        ("libm", "glibc 2.41", "C library glibc 2.41"),
        ("switches", "MKL_CBWR=COMPATIBLE", "MKL_CBWR=COMPATIBLE"),
    ],
)
def test_what_decides_bytes_decides_the_tolerance(key: str, value: str, shown: str) -> None:
    _set("metrics/measured/machine.json", **{key: value})
    tolerance, reason = machine_tolerance()
    assert tolerance == TOLERANCE
    committed, here = reason.split(", here ")
    assert shown in here
    assert shown not in committed


@pytest.mark.usefixtures("committed")
def test_two_machines_of_which_not_all_is_known_are_not_taken_for_the_same() -> None:
    _change("metrics/measured/machine.json", lambda machine: machine.pop("libm"))
    subprocess.run(["git", "add", "--all"], check=True)
    author = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    subprocess.run(["git", *author, "commit", "-qm", "an older report"], check=True)
    tolerance, reason = machine_tolerance()
    assert tolerance == TOLERANCE
    assert "C library unknown" in reason


@pytest.mark.usefixtures("committed")
@pytest.mark.parametrize(("key", "value"), [("updates", 13), ("diverged", True)])
def test_counts_and_verdicts_are_exact_everywhere(key: str, value: Any) -> None:
    _change(
        "metrics/details/training.json",
        lambda training: training["wiki-1024"].update({key: value}),
    )
    [found] = _found(TOLERANCE)
    assert f"wiki-1024.{key}: " in found


@pytest.mark.usefixtures("committed")
def test_timings_and_measured_memory_are_not_compared() -> None:
    _change(
        "metrics/measured/timings.json",
        lambda timings: timings["finetune"]["news-256"].update(runtime_seconds=1.0),
    )
    _change(
        "metrics/measured/memory.json",
        lambda memory: memory["memory-256"].update(measured_mib=1.0, device="Imaginary GPU"),
    )
    path = Path("plots/memory.csv")
    path.write_text(path.read_text().replace("measured,114.0", "measured,1.0"))
    assert _found() == []


@pytest.mark.usefixtures("committed")
@pytest.mark.parametrize("tolerance", [0.0, TOLERANCE])
def test_predicted_memory_is_compared_exactly_on_every_machine(tolerance: float) -> None:
    _set("metrics/memory/memory-256.json", mib=1015.0001)
    _change(
        "metrics/details/memory.json",
        lambda memory: memory["gpus"]["memory-256"]["gpus"]["small"].update(largest_batch=375),
    )
    path = Path("plots/memory.csv")
    path.write_text(path.read_text().replace("predicted,1207.0", "predicted,1207.001"))
    details, total, point = _found(tolerance)
    assert details == (
        "metrics/details/memory.json: gpus.memory-256.gpus.small.largest_batch: "
        "committed 376, computed 375"
    )
    assert total == "metrics/memory/memory-256.json: mib: committed 1015.0, computed 1015.0001"
    assert point.startswith(f"{path}: memory-1024, kind predicted")
    assert point.endswith("committed 1207.0, computed 1207.001")


@pytest.mark.usefixtures("committed")
def test_a_file_that_is_gone_and_one_that_is_new_are_found() -> None:
    Path("metrics/test/news-256.json").rename("metrics/test/poems-256.json")
    assert _found() == [
        "metrics/test/news-256.json: all of it: committed a file, computed nothing",
        "metrics/test/poems-256.json: all of it: committed nothing, computed a file",
    ]


@pytest.mark.usefixtures("committed")
def test_tables_that_show_other_numbers_are_found() -> None:
    assert compare_report() == []
    for path, old, new in (
        ("results/README.md", "10.50 / ", "10.51 / "),
        ("README.md", "1.762", "1.763"),
    ):
        text = Path(path).read_text()
        assert old in text
        Path(path).write_text(text.replace(old, new))
    page, section = compare_report()
    assert str(page).startswith("results/README.md: all of it: shows ")
    shown, given = page.what.split(", the metrics give ")
    assert "10.51 / " in shown
    assert "10.50 / " in given
    assert given.endswith("write it with `python -m stages.report`")
    assert section.key == "section `headline`"


@pytest.mark.usefixtures("committed")
def test_a_page_of_results_that_is_missing_is_found_and_no_readme_is_needed() -> None:
    Path("README.md").unlink()
    assert compare_report() == []
    Path("results/README.md").unlink()
    [found] = compare_report()
    assert found.file == "results/README.md"


@pytest.mark.usefixtures("committed")
def test_a_section_that_nothing_fills_is_a_difference(capsys: pytest.CaptureFixture[str]) -> None:
    readme = Path("README.md")
    markers = "<!-- results:mine -->\n<!-- /results:mine -->\n"
    readme.write_text(readme.read_text("utf-8") + markers, "utf-8")
    with pytest.raises(StudyError, match="1 value differs"):
        check.main()
    assert "section `mine`: nothing fills it: remove its markers" in capsys.readouterr().out


@pytest.mark.usefixtures("committed")
def test_a_section_that_the_readme_lost_is_a_difference(capsys: pytest.CaptureFixture[str]) -> None:
    Path("README.md").write_text("# Mine\n")
    with pytest.raises(StudyError, match="1 value differs"):
        check.main()
    assert "README.md: section `headline`: is committed and not here" in capsys.readouterr().out


@pytest.mark.usefixtures("committed")
def test_metrics_that_are_not_json_are_named() -> None:
    Path("metrics/details/training.json").write_text("<<<<<<< HEAD")
    with pytest.raises(StudyError, match=r"details/training.json is not JSON"):
        check.main()


@pytest.mark.usefixtures("committed")
def test_params_that_are_not_their_profile_are_found() -> None:
    assert compare_profile() == []
    Path("params.yaml").write_text("profile: tiny\ntrain:\n  batch_size: 8\n  epochs: 2\n")
    assert [str(found) for found in compare_profile()] == [
        "params.yaml: train.batch_size: params.yaml has 8, profile tiny has 4",
        "params.yaml: train.epochs: params.yaml has 2, profile tiny has nothing",
    ]


@pytest.mark.usefixtures("committed")
def test_what_to_do_about_lines_that_no_profile_has_is_said() -> None:
    Path("params.yaml").write_text("profile: tiny\ntrain:\n  batch_size: 8\n")
    advice = (
        r"(?s)1 value differs.*put the lines into conf/profile/NAME\.yaml.* profile of your own"
    )
    with pytest.raises(StudyError, match=advice):
        check.main()


@pytest.mark.usefixtures("committed")
def test_a_profile_that_is_not_there_is_named() -> None:
    Path("params.yaml").write_text("profile: huge\n")
    with pytest.raises(StudyError, match="there is no profile `huge`: choose one of tiny"):
        compare_profile()


def test_outside_git_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(StudyError, match="no commit to compare with"):
        check.main()


def test_without_git_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StudyError, match="git is not installed, or not on PATH"):
        check.main()


def test_this_projects_tables_show_this_projects_metrics() -> None:
    assert [str(found) for found in compare_report(ROOT)] == []


def test_this_projects_params_are_their_profile() -> None:
    assert [str(found) for found in compare_profile(ROOT / "params.yaml", ROOT / "conf")] == []


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut": lambda content: content[: len(content) // 2],
    "a list": lambda _: b"[]\n",
    "a word": lambda _: b'"words"\n',
    "conflict": lambda content: b"<<<<<<< HEAD\n" + content + b"=======\n>>>>>>> longer\n",
    "conflict within": lambda content: content[:150] + b"\n<<<<<<< HEAD\n" + content[150:],
    "not UTF-8": lambda content: b"\xff\xe9" + content,
}
DAMAGED = (
    "metrics/test/news-256.json",
    "metrics/memory/memory-256.json",
    "metrics/details/training.json",
    "metrics/details/scores.json",
    "metrics/details/texts.json",
    "metrics/details/memory.json",
    "metrics/measured/machine.json",
    "metrics/measured/timings.json",
    "plots/answer.csv",
    "plots/training_loss.csv",
    "results/README.md",
    "README.md",
)


@pytest.mark.slow
@pytest.mark.usefixtures("committed")
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_named(
    name: str, damage: Callable[[bytes], bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(name)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(StudyError) as said:
        check.main()
    assert name in f"{said.value}{capsys.readouterr().out}"


@pytest.mark.usefixtures("committed")
@pytest.mark.parametrize(
    ("name", "lacking"),
    [
        ("details/training", "news-256, news-1024, wiki-256, wiki-1024"),
        ("details/texts", "corpora, windows"),
        ("measured/machine", "processor, threads, torch"),
        ("measured/timings", "pretrain, finetune, evaluate"),
    ],
)
def test_a_file_of_metrics_that_lost_its_keys_says_which(name: str, lacking: str) -> None:
    Path(f"metrics/{name}.json").write_text("{}")
    with pytest.raises(StudyError, match=rf"{name}.json lacks .*`python -m stages.report`") as said:
        check.main()
    assert set(lacking.split(", ")) == set(
        str(said.value).partition("lacks ")[2].partition(":")[0].split(", ")
    )


@pytest.mark.usefixtures("committed")
def test_what_git_refuses_is_said_in_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a repository of another user: this variable has git see every one as that."""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(StudyError, match=r"git refuses: .*dubious ownership"):
        check.main()
