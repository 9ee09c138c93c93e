"""Quality against cost: which points belong, and what they cost."""

from typing import Any

from reformer_seqlen.parameters.runs import Run
from reformer_seqlen.reporting.pareto_lines import COLUMNS, pareto_lines
from reformer_seqlen.reporting.records import Counted
from tests.gap_example import sums
from tests.plots_example import results, run_results, score, training_point
from tests.report_example import one_run, runs

NEWS = runs(("news",), (256, 1024))


def _lines(study: dict[str, Run], seconds: tuple[float, ...], **more: Any) -> list[dict[str, Any]]:
    """The lines by column; scores are 3 and as many bits as there are 4,096s in the length."""
    found = run_results(study)
    for name, took in zip(study, seconds, strict=True):
        timing = found["timings"][name]
        found["timings"][name] = timing.model_copy(update={"runtime_seconds": took})
    columns, *lines = pareto_lines(results(**found, **more), study)
    assert columns == COLUMNS
    return [dict(zip(map(str, columns), line, strict=True)) for line in lines]


def test_seconds_are_measured_and_memory_is_the_models_own() -> None:
    points = [training_point(curve, 6, 256) for curve in ("other", "tiny")]
    lines = _lines(NEWS, (20.0, 10.0), memory_training=points)
    shown = ("run", "bits_per_byte", "cost", "amount", "kind")
    assert [tuple(line[key] for key in shown) for line in lines] == [
        ("news-256", 3.0625, "seconds of training", 20.0, "measured"),
        ("news-1024", 3.25, "seconds of training", 10.0, "measured"),
        ("news-256", 3.0625, "MiB of an update, batch 1 (predicted)", 6 * 256, "predicted"),
    ]


def test_more_or_less_training_belongs_and_what_is_trained_otherwise_does_not() -> None:
    study = {
        **NEWS,
        "short": one_run(train={"updates": 10}),
        "epochs": one_run(train={"epochs": 3, "batch_size": 4}),
        "base": one_run(train="none"),
    }
    lines = _lines(study, (4.0, 3.0, 2.0, 2.0, 1.0))
    assert [(line["run"], line["variant"]) for line in lines] == [
        ("news-256", ""), ("news-1024", ""), ("short", "updates 10"),
    ]  # fmt: skip


def test_plain_runs_belong_whatever_a_corpus_says_for_all_of_them() -> None:
    own = {"updates": 10, "learning_rate": 0.1}
    study = {"a": one_run(train=own), "b": one_run(1024, train=own)}
    assert [line["run"] for line in _lines(study, (1.0, 2.0))] == ["a", "b"]


def test_counting_is_a_level_where_there_are_points() -> None:
    count = Counted(
        validation=score(2.5), test=score(2.0),
        corpus="news", model="tiny", order=3, text="own", tokens_counted=5,
    )  # fmt: skip
    last = _lines(NEWS, (1.0, 2.0), counts={"news-3gram": count})[-1]
    shown = ("run", "model", "bits_per_byte", "kind", "label_at", "amount")
    assert [last[key] for key in shown] == ["news-3gram", "3-gram", 2.0, "counted", 2.0, None]
    base = {"base": one_run(train="none")}
    assert _lines(base, (1.0,), counts={"news-3gram": count}) == []


def test_seeds_are_one_point_of_their_mean() -> None:
    study = {"a": one_run(), "b": one_run(train={"seed": 43})}
    blocks = {
        name: dict.fromkeys(("validation", "test"), sums(bits))
        for name, bits in (("a", 2.0), ("b", 2.5))
    }
    (line,) = _lines(study, (10.0, 20.0), blocks=blocks)
    assert (line["run"], line["amount"], round(line["bits_per_byte"], 9)) == ("a", 15.0, 2.25)
