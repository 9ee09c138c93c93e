"""The sentence on whether models use the context that they are given."""

from typing import Any

from reformer_seqlen.reporting.context_use import context_use
from tests.metrics_example import metrics_of
from tests.report_example import runs

NEWS = runs(("news",), (256, 1024))


def _scored(contexts: dict[str, dict[str, float] | None]) -> dict[str, Any]:
    return {
        length: {"bits_per_byte": 2.0, "difference": known} for length, known in contexts.items()
    }


def _interval(low: float, high: float) -> dict[str, float]:
    return {"bits_per_byte": (low + high) / 2, "low": low, "high": high}


def test_the_shortest_windows_of_each_run_are_held_against_its_own() -> None:
    values = metrics_of(NEWS)
    scores = values["details"]["scores"]
    sure, unsure = _interval(0.03, 0.05), _interval(-0.01, 0.03)
    scores["news-1024"]["test"]["contexts"] = _scored({"512": unsure, "64": sure})
    scores["news-256"]["test"]["contexts"] = _scored({"64": unsure})
    assert context_use(values, NEWS) == (
        "In windows of 64 tokens instead of its own, the same model's bits per byte change by "
        "`news-256` +0.010 ± 0.020 and `news-1024` +0.040 ± 0.010 (surely worse in 1 of 2)."
    )
    scores["news-256"]["test"]["contexts"] = _scored({"64": sure})
    assert context_use(values, NEWS).endswith(
        "(surely worse in 2 of 2): it uses what a longer window gives it."
    )


def test_nothing_is_said_where_no_difference_is_known() -> None:
    values = metrics_of(NEWS)
    assert context_use(values, NEWS) == ""
    values["details"]["scores"]["news-256"]["test"]["contexts"] = _scored({"64": None})
    assert context_use(values, NEWS) == ""
