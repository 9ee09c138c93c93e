"""The report as a whole, on a made-up finished study, and the README's sections."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from reformer_seqlen.parameters.report import Reporting
from reformer_seqlen.parameters.runs import Run
from reformer_seqlen.parameters.study import Study
from reformer_seqlen.reporting import figures, memory_figures, readme
from reformer_seqlen.reporting.metrics import read_metrics
from reformer_seqlen.reporting.report import print_results, readme_sections, write_report
from reformer_seqlen.runtime.errors import StudyError
from stages import report
from tests.conftest import ROOT
from tests.report_example import LENGTHS, runs, write_results

MakeStudy = Callable[..., Study]
SECTION = "<!-- results:{0} -->\nold\n<!-- /results:{0} -->"
README = "\n\n".join(["# Mine", *map(SECTION.format, ("perplexity", "figures", "memory")), "End."])


def params_of(study: dict[str, Run], rows: tuple[int, ...] = LENGTHS) -> Study:
    """As much of params.yaml as the report looks at."""
    values = SimpleNamespace(
        runs=study,
        report=Reporting(),
        corpora=dict.fromkeys(run.corpus for run in study.values()),
        models={run.model: SimpleNamespace(pretraining=True) for run in study.values()},
        memory=SimpleNamespace(rows=dict.fromkeys(f"memory-{length}" for length in rows)),
    )
    return cast("Study", values)


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeStudy:
    """Leave a finished study in an empty folder, and be there."""
    monkeypatch.chdir(tmp_path)

    def make(made: dict[str, Run] | None = None, rows: tuple[int, ...] = LENGTHS) -> Study:
        made = runs() if made is None else made
        write_results(Path("data"), made, rows, next(iter(made.values())).model)
        Path("README.md").write_text(README, encoding="utf-8")
        params = params_of(made, rows)
        monkeypatch.setattr(report, "load_study", lambda *_: params)
        return params

    return make


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw no figures: they take most of a report's time, and most tests look elsewhere."""
    monkeypatch.setattr(figures, "loss_figure", lambda *_: "drawn")
    for name in ("memory_figure", "composition_figure", "cards_figure", "training_figure"):
        monkeypatch.setattr(memory_figures, name, lambda *_: "drawn")


def _files(*folders: str) -> dict[str, bytes]:
    paths = (path for folder in folders for path in Path(folder).rglob("*") if path.is_file())
    return {path.as_posix(): path.read_bytes() for path in sorted(paths)}


def test_it_writes_everything_that_git_keeps(study: MakeStudy) -> None:
    write_report(study())
    assert list(_files("metrics", "plots")) == [
        "metrics/data.json",
        "metrics/machine.json",
        "metrics/memory.json",
        "metrics/memory_cards.json",
        "metrics/memory_training.json",
        "metrics/models.json",
        "metrics/quality.json",
        "metrics/timings.json",
        "metrics/training.json",
        "plots/figures/memory.svg",
        "plots/figures/memory_cards.svg",
        "plots/figures/memory_composition.svg",
        "plots/figures/memory_training.svg",
        "plots/figures/training_loss-news.svg",
        "plots/figures/training_loss-wiki.svg",
        "plots/figures/validation_loss-news.svg",
        "plots/figures/validation_loss-wiki.svg",
        "plots/memory/cards.csv",
        "plots/memory/composition.csv",
        "plots/memory/memory.csv",
        "plots/memory/training.csv",
        "plots/training_loss/news.csv",
        "plots/training_loss/wiki.csv",
        "plots/validation_loss/news.csv",
        "plots/validation_loss/wiki.csv",
    ]


def test_the_same_results_give_the_same_bytes(study: MakeStudy) -> None:
    params = study()
    write_report(params)
    first = _files("metrics", "plots", ".")
    write_report(params)
    assert _files("metrics", "plots", ".") == first


@pytest.mark.usefixtures("undrawn")
def test_the_metrics(study: MakeStudy) -> None:
    write_report(study())
    quality = json.loads(Path("metrics/quality.json").read_text())
    assert list(quality) == ["news-256", "news-1024", "wiki-256", "wiki-1024"]
    assert quality["news-256"] == {
        "validation_perplexity": 10.5,
        "test_perplexity": 11.5,
        "unigram_perplexity": 90.0,
        "test_unigram_perplexity": 90.0,
        "validation_tokens": 10_000,
        "test_tokens": 10_000,
        "validation_bits_per_byte": round(math.log2(10.5) / 2, 4),
        "test_bits_per_byte": round(math.log2(11.5) / 2, 4),
        "unknown_rate": 0.0013,
        "test_unknown_rate": 0.0013,
        "diverged": False,
        "hash_draws": 2,
        "validation_perplexity_spread": 0.01,
        "test_perplexity_spread": 0.01,
        "validation_perplexity_published_lsh": 10.29,
        "test_perplexity_published_lsh": 11.27,
        "validation_perplexity_published_lsh_spread": 0.4,
        "test_perplexity_published_lsh_spread": 0.4,
    }
    training = json.loads(Path("metrics/training.json").read_text())["wiki-1024"]
    assert training["updates"] == 12
    assert training["epochs"] == 3
    assert training["tokens_seen"] == 12 * 1024 * 16
    assert training["best_validation_loss"] == training["final_validation_loss"]
    assert training["final_training_loss"] == round(2 + 2 * math.exp(-12 / 16), 4)
    timings = json.loads(Path("metrics/timings.json").read_text())
    assert list(timings) == [*quality, "pretrain-tiny"]
    assert timings["news-256"] == {
        "runtime_seconds": 3723.456,
        "steps_per_second": 16.0,
        "samples_per_second": 256.0,
        "tokens_per_second": 65536.0,
    }
    machine = json.loads(Path("metrics/machine.json").read_text())
    assert machine == {"processor": "Imaginary CPU", "threads": "2", "torch": "2.13.0"}
    memory = json.loads(Path("metrics/memory.json").read_text())
    assert memory["memory-256"] == {
        "model": "reformer",
        "positions": "axial",
        "allocations": "today",
        "batch_size": 16,
        "sequence_length": 256,
        "device": "cpu",
        "measured_mib": 114.0,
        "measured_allocated_mib": None,
        "measured_reserved_mib": None,
        "measured_error_percent": 0.5,
        "predicted_mib": 1264.0,
        "predicted_allocated_mib": 114.25,
        "predicted_reserved_mib": 345.0,
        "context_mib": 919,
        "weights_mib": None,
        "published_mib": 1264.0,
        "error_percent": 0.0,
        "why": None,
    }
    cards = json.loads(Path("metrics/memory_cards.json").read_text())
    assert cards["memory-256"]["cards"]["large"]["largest_batch"] == 2127
    trained = json.loads(Path("metrics/memory_training.json").read_text())
    assert list(trained) == [f"reversible-{n}-{length}" for n in (6, 12) for length in LENGTHS]
    assert trained["reversible-12-1024"]["predicted_allocated_mib"] == 524.0


@pytest.mark.usefixtures("undrawn")
def test_runs_from_several_machines_name_them_all(study: MakeStudy) -> None:
    params = study()
    path = Path("data/timings/wiki-256.json")
    path.write_text(path.read_text().replace("Imaginary CPU", "Other CPU"))
    write_report(params)
    machine = json.loads(Path("metrics/machine.json").read_text())
    assert machine["processor"] == "Imaginary CPU + Other CPU"


@pytest.mark.usefixtures("undrawn")
def test_the_curves_are_tidy(study: MakeStudy) -> None:
    write_report(study())
    lines = Path("plots/validation_loss/news.csv").read_text().splitlines()
    assert lines[0] == "run,model,sequence_length,step,epoch,validation_loss,unigram_loss"
    assert lines[1] == "news-256,tiny,256,4,1.0,2.8358,4.4998"
    assert len(lines) == 1 + 2 * 3
    lines = Path("plots/training_loss/wiki.csv").read_text().splitlines()
    assert lines[0] == "run,model,sequence_length,step,epoch,training_loss"
    assert len(lines) == 1 + 2 * 12
    memory = {path.stem: path.read_text().splitlines() for path in Path("plots/memory").iterdir()}
    place = 'memory-256,"reformer, axial positions",reformer,axial,today,16,256'
    assert memory["memory"][1:5] == [
        f"{place},published,1264.0",
        f"{place},predicted,1264.0",
        f"{place},predicted_in_use,114.25",
        f"{place},measured,114.0",
    ]
    assert memory["composition"][1] == f"{place},activations,64.0"
    assert memory["cards"][1:3] == [
        f"{place},large,81920,512,largest batch,2127,memory",
        f"{place},large,81920,512,longest sequence,4096,positions",
    ]
    assert memory["training"][1] == "reversible,reformer,6,1,256,adafactor,12.0,134.0,154.0"


@pytest.mark.usefixtures("undrawn")
def test_only_what_stands_between_markers_changes_in_the_readme(study: MakeStudy) -> None:
    write_report(study())
    text = Path("README.md").read_text()
    assert text.startswith("# Mine\n\n<!-- results:perplexity -->\n| seq len ")
    assert text.endswith("<!-- /results:memory -->\n\nEnd.")
    assert "(plots/figures/training_loss-news.svg)" in text
    assert "old" not in text


@pytest.mark.usefixtures("undrawn")
def test_any_grid_will_do(study: MakeStudy) -> None:
    one = {"only": Run(corpus="poems", model="other", sequence_length=64)}
    write_report(study(one, ()))
    for name in ("memory", "memory_cards", "memory_training"):
        assert json.loads(Path(f"metrics/{name}.json").read_text()) == {}
    assert not list(Path("plots/figures").glob("memory*.svg"))
    assert all(len(path.read_text().splitlines()) == 1 for path in Path("plots/memory").iterdir())
    text = Path("README.md").read_text()
    assert "memory.svg" not in text
    assert "No memory rows were asked for." in text
    assert "training_loss-poems.svg" in text


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("rows", [LENGTHS, ()])
def test_the_readme_shows_the_memory_figures_that_are_drawn(
    study: MakeStudy, rows: tuple[int, ...]
) -> None:
    params = study(runs(), rows)
    write_report(params)
    sections = readme_sections(read_metrics(), params.runs)
    shown = {
        line.partition("(")[2].rstrip(")")
        for name, line in sections.items()
        if name.startswith("figure-") and line
    }
    assert shown == {path.as_posix() for path in Path("plots/figures").glob("memory*.svg")}


@pytest.mark.usefixtures("undrawn")
def test_a_diverged_run_without_a_last_loss_is_reported(study: MakeStudy) -> None:
    params = study()
    path = Path("data/histories/news-256.json")
    history = json.loads(path.read_text())
    history["diverged"] = True
    history["steps"][-1]["training_loss"] = None
    history["evaluations"][-1] |= {"training_loss": None, "validation_loss": None}
    path.write_text(json.dumps(history))
    write_report(params)
    training = json.loads(Path("metrics/training.json").read_text())["news-256"]
    assert training["final_validation_loss"] is None
    best = history["evaluations"][1]["validation_loss"]
    assert training["best_validation_loss"] == round(best, 4)
    assert "10.50 †" in Path("README.md").read_text()


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    "path",
    [
        "data/histories/news-256.json",
        "data/timings/pretrain-tiny.json",
        "data/windows/wiki-1024/report.json",
        "data/bases/tiny/card.json",
        "data/memory/memory-256.json",
        "data/memory_study/cards.json",
        "data/memory_study/training.json",
    ],
)
def test_a_missing_result_is_named_and_nothing_is_written(study: MakeStudy, path: str) -> None:
    params = study()
    Path(path).unlink()
    with pytest.raises(StudyError, match=f"{path} is missing: run `make repro`"):
        write_report(params)
    assert _files("metrics", "plots") == {}
    assert Path("README.md").read_text() == README


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("broken", "said"), [('{"updates"', "Invalid JSON"), ("{}", "updates: Field required")]
)
def test_a_broken_result_is_named(study: MakeStudy, broken: str, said: str) -> None:
    params = study()
    Path("data/histories/wiki-256.json").write_text(broken)
    with pytest.raises(StudyError, match=f"histories/wiki-256.json is not a result.*{said}"):
        write_report(params)


def test_the_results_can_be_printed_again(
    study: MakeStudy, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    write_report(study())
    capsys.readouterr()
    print_results()
    shown = capsys.readouterr().out
    assert "Evaluation perplexity (validation split" in shown
    assert "1:02:03.46" in shown
    assert f"README   {tmp_path / 'README.md'}" in shown
    assert "Published" not in shown


@pytest.mark.usefixtures("undrawn")
def test_printing_without_results_says_what_to_do(study: MakeStudy) -> None:
    study()
    with pytest.raises(StudyError, match=r"metrics/quality.json is missing: run `make repro`"):
        print_results()


@pytest.mark.usefixtures("undrawn")
def test_every_section_of_the_projects_readme_can_be_filled(study: MakeStudy) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    params = study()
    write_report(params)
    metrics = read_metrics()
    sections = readme_sections(metrics, params.runs)
    assert set(sections) <= set(readme.sections(text)), "the README leaves a table out"
    readme.filled(text, sections)


def test_markers_must_be_closed_known_and_unique() -> None:
    with pytest.raises(StudyError, match="`<!-- results:a -->` is not closed"):
        readme.sections("<!-- results:a -->\ntext\n")
    with pytest.raises(StudyError, match="`a` is there twice"):
        readme.sections("\n".join([SECTION.format("a")] * 2))
    with pytest.raises(StudyError, match="nothing fills the section `a`; there are b"):
        readme.filled(SECTION.format("a"), {"b": "text"})


def test_filling_is_idempotent_and_takes_text_as_it_is() -> None:
    contents = {"a": r"\1 \g<name> 100 %", "b": "not shown"}
    once = readme.filled(SECTION.format("a"), contents)
    assert readme.sections(once) == {"a": contents["a"]}
    assert readme.filled(once, contents) == once
