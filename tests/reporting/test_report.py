"""The report as a whole, on a made-up finished study."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from reformer_seqlen.parameters.runs import Run
from reformer_seqlen.parameters.study import Study
from reformer_seqlen.reporting import report
from reformer_seqlen.reporting.report import print_results, write_report
from reformer_seqlen.runtime.errors import StudyError
from tests.conftest import ROOT
from tests.gpu_example import write_card
from tests.report_example import one_run, runs, study_of, write_results

pytestmark = pytest.mark.slow

README = "# Mine\n\n<!-- results:answer -->\nold\n<!-- /results:answer -->\n\nEnd."
STUDY = study_of(runs())


def _finish(root: Path, study: Study = STUDY, rows: tuple[int, ...] = (256, 1024)) -> None:
    """Leave a study that is finished and not reported."""
    write_results(root / "data", dict(study.runs), rows, next(iter(study.models)))
    (root / "README.md").write_text(README, encoding="utf-8")


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished study that is reported; tests leave it as it is."""
    root = tmp_path_factory.mktemp("reported")
    _finish(root)
    write_report(STUDY, root)
    return root


def _files(root: Path, *folders: str) -> dict[str, bytes]:
    paths = (path for folder in folders for path in (root / folder).rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(paths)}


def test_it_writes_everything_that_git_keeps(reported: Path) -> None:
    assert list(_files(reported, "metrics")) == [
        "metrics/details/counts.json",
        "metrics/details/differences.json",
        "metrics/details/memory.json",
        "metrics/details/models.json",
        "metrics/details/scores.json",
        "metrics/details/texts.json",
        "metrics/details/training.json",
        "metrics/measured/machine.json",
        "metrics/measured/memory.json",
        "metrics/measured/provenance.json",
        "metrics/measured/shapes.json",
        "metrics/measured/timings.json",
        "metrics/memory/memory-1024.json",
        "metrics/memory/memory-256.json",
        *(
            f"metrics/{split}/{corpus}-{length}.json"
            for split in ("test", "validation")
            for corpus in ("news", "wiki")
            for length in (1024, 256)
        ),
    ]
    assert (reported / "results/README.md").read_text().startswith("# Results\n")
    figures = [path.stem for path in sorted((reported / "results/figures").iterdir())]
    plots = [path.stem for path in sorted((reported / "plots").iterdir())]
    below_the_answer = {"cost", "update_memory"}
    without_numbers = {"gap", "hash_rounds", "untrained"}
    assert set(plots) - set(figures) == below_the_answer | without_numbers


def test_the_same_results_give_the_same_bytes(reported: Path, tmp_path: Path) -> None:
    again = shutil.copytree(reported, tmp_path / "again")
    write_report(STUDY, again)
    assert _files(again, ".") == _files(reported, ".")


def test_only_what_stands_between_markers_changes_in_the_readme(reported: Path) -> None:
    text = (reported / "README.md").read_text()
    assert text.startswith("# Mine\n\n<!-- results:answer -->\n- Each doubling of the context")
    assert text.endswith("<!-- /results:answer -->\n\nEnd.")
    assert "old" not in text


def test_what_was_measured_on_a_gpu_is_reported(tmp_path: Path) -> None:
    _finish(tmp_path)
    text = "<!-- results:gpu -->\n<!-- /results:gpu -->"
    (tmp_path / "README.md").write_text(text, encoding="utf-8")
    write_card(tmp_path / "results/gpu/imaginary")
    write_report(STUDY, tmp_path)
    assert "**Measured on Imaginary GPU**" in (tmp_path / "README.md").read_text()
    assert "Imaginary GPU: loss against time" in (tmp_path / "results/README.md").read_text()


def test_what_is_published_stands_beside_what_is_predicted(reported: Path) -> None:
    text = (reported / "results/README.md").read_text()
    assert "| reformer-cp, axial positions | published | 1,015 |        |" in text
    assert "|                              | predicted | 1,015 |  1,207 |" in text
    assert "|                              | error     |   0 % |        |" in text


def test_every_figure_is_on_the_page_and_every_link_leads_somewhere(reported: Path) -> None:
    linked = re.findall(r"\]\((figures/.*?)\)", (reported / "results/README.md").read_text())
    drawn = (reported / "results").rglob("*.svg")
    assert sorted(linked) == sorted(
        path.relative_to(reported / "results").as_posix() for path in drawn
    )
    assert "(results/figures/answer.svg)" in (reported / "README.md").read_text()


def test_any_grid_will_do_and_no_readme_is_needed(tmp_path: Path) -> None:
    study = study_of({"only": Run(corpus="poems", model="other", sequence_length=64)})
    _finish(tmp_path, study, ())
    (tmp_path / "README.md").unlink()
    write_report(study, tmp_path)
    assert _files(tmp_path, "metrics/memory") == {}
    assert not list((tmp_path / "results/figures").glob("memory*.svg"))
    text = (tmp_path / "results/README.md").read_text()
    assert "No corpus has results at two sequence lengths" in text
    assert "## Memory" not in text
    assert not (tmp_path / "README.md").exists()


def test_a_run_that_is_not_trained_stands_in_every_table(tmp_path: Path) -> None:
    study = study_of({**STUDY.runs, "news-256-base": one_run(train="none")})
    _finish(tmp_path, study)
    write_report(study, tmp_path)
    text = (tmp_path / "results/README.md").read_text()
    rows = [
        re.sub(" +", " ", line)
        for line in text.splitlines()
        if "not trained here" in line and "|" in line
    ]
    bits, perplexities = "≥ 1.696 ± 0.050 / ≥ 1.762 ± 0.050", "10.50 / 11.50"
    peeking = "11.50 → 11.27 (-2.00 ± 1.74 %)"
    assert rows == [
        f"| tiny, not trained here | 256 | {bits} | | not trained here | |",
        f"| tiny, not trained here | 256 | {perplexities} | |",
        f"| tiny, not trained here | 256 | {peeking} | |",
        "| news-256-base | not trained here | | | | | | | 2,600,000 | 100,000 |",
        "| tiny, not trained here | 256 | | |",
    ]
    assert "diverged" not in text
    assert "news-256-base" not in (tmp_path / "plots/training_loss.csv").read_text()


def test_what_a_reader_must_know_of_a_model_stands_below_the_scores(tmp_path: Path) -> None:
    study = study_of(runs(), tiny="It has surely seen this text.")
    _finish(tmp_path, study)
    write_report(study, tmp_path)
    note = "`tiny`: It has surely seen this text.\n\nMeasured on"
    assert note in (tmp_path / "results/README.md").read_text()


def test_a_diverged_run_is_marked(tmp_path: Path) -> None:
    _finish(tmp_path)
    path = tmp_path / "data/histories/news-256.json"
    history = json.loads(path.read_text())
    history["evaluations"][-1]["validation_loss"] = None
    path.write_text(json.dumps(history))
    write_report(STUDY, tmp_path)
    assert "10.50 / 11.50 †" in (tmp_path / "results/README.md").read_text()


@pytest.mark.parametrize(
    "path",
    [
        "data/histories/news-256.json",
        "data/timings/pretrain/tiny.json",
        "data/timings/finetune/wiki-256.json",
        "data/timings/evaluate/wiki-256.json",
        "data/windows/wiki-1024/report.json",
        "data/bases/tiny/card.json",
        "data/memory/rows.json",
        "data/memory/gpus.json",
        "data/memory/training.json",
    ],
)
def test_a_missing_result_is_named_and_nothing_is_written(tmp_path: Path, path: str) -> None:
    _finish(tmp_path)
    (tmp_path / path).unlink()
    with pytest.raises(StudyError, match=f"{path} is missing: run `make repro`"):
        write_report(STUDY, tmp_path)
    assert _files(tmp_path, "metrics", "plots", "results") == {}
    assert (tmp_path / "README.md").read_text() == README


@pytest.mark.parametrize(
    ("broken", "said"), [('{"updates"', "Invalid JSON"), ("{}", "updates: Field required")]
)
def test_a_broken_result_is_named(tmp_path: Path, broken: str, said: str) -> None:
    _finish(tmp_path)
    (tmp_path / "data/histories/wiki-256.json").write_text(broken)
    with pytest.raises(StudyError, match=f"histories/wiki-256.json is not a result.*{said}"):
        write_report(STUDY, tmp_path)


def test_the_results_can_be_printed_again(
    reported: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    more = study_of({**STUDY.runs, **runs(("news",), (4096,))})
    monkeypatch.setattr(report, "load_study", lambda *_: more)
    print_results(reported)
    shown = capsys.readouterr().out
    assert shown.startswith("Each doubling of the context from 256 to 1,024 tokens changes")
    assert re.search(r"^4096 +not computed yet", shown, re.MULTILINE)
    assert f"everything  {reported / 'results/README.md'}" in shown
    assert "Published" not in shown


def test_printing_without_results_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "load_study", lambda *_: STUDY)
    with pytest.raises(StudyError, match=r"details/scores.json is missing: run `make repro`"):
        print_results(tmp_path)


WITH_LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
from reformer_seqlen.reporting.figures import draw_figures
from reformer_seqlen.reporting.report import write_report
from tests.reporting.test_report import STUDY
resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33))
write_report(STUDY, Path(sys.argv[1]))
"""


def test_a_drawing_library_that_dies_for_memory_leaves_all_else_written(
    reported: Path, tmp_path: Path
) -> None:
    _finish(tmp_path)
    command = [sys.executable, "-c", WITH_LITTLE_MEMORY, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "StudyError: the figures could not be drawn: vl-convert was ended by SIG" in done.stderr
    assert "Metrics, tables and plots/*.csv are written." in done.stderr
    for kept in ("metrics", "plots"):
        assert _files(tmp_path, kept) == _files(reported, kept)
    for page in ("results/README.md", "README.md"):
        assert (tmp_path / page).read_bytes() == (reported / page).read_bytes()
    assert not (tmp_path / "results/figures").exists()
