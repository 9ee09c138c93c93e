"""Which length to take."""

from typing import Any

from reformer_seqlen.reporting.advice import advice
from tests.metrics_example import metrics_of
from tests.report_example import one_run, runs

STUDY = runs(("news",), (256, 1024, 4096))


def _values(study: dict[str, Any], *bits: float) -> dict[str, Any]:
    values = metrics_of(study)
    for name, value in zip(study, bits, strict=True):
        values["test"][name] |= {"bits_per_byte": value, "low": value - 0.1, "high": value + 0.1}
    return values


def _known(values: dict[str, Any], one: str, other: str, low: float, high: float) -> None:
    interval = {"bits_per_byte": (low + high) / 2, "low": low, "high": high}
    values["details"]["differences"].setdefault(one, {})[other] = {"test": interval}


def test_the_best_is_taken_where_it_is_the_shortest() -> None:
    assert advice(_values(STUDY, 2.0, 2.1, 2.2), STUDY) == [
        "For news, on this machine and with 1,200 updates (1:11:32), take 256 tokens: "
        "2.000 ± 0.100 bits per byte scores best (next: 1,024 tokens, +0.100), at 41,234 tokens a "
        "second."
    ]


def test_the_shortest_is_taken_that_cannot_be_told_from_the_best() -> None:
    values = _values(STUDY, 2.1, 2.02, 2.0)
    _known(values, "news-4096", "news-1024", -0.05, 0.01)
    _known(values, "news-4096", "news-256", -0.15, -0.05)
    values["measured"]["timings"]["finetune"]["news-256"]["tokens_per_second"] = 50000.0
    assert advice(values, STUDY) == [
        "For news, on this machine and with 1,200 updates (1:11:32), take 1,024 tokens: "
        "2.020 ± 0.100 bits per byte can't be told from the best (4,096 tokens: -0.020 ± 0.030), "
        "at 41,234 tokens a second (fastest: 256 tokens, 50,000)."
    ]


def test_the_fastest_model_is_taken_of_those_that_are_as_good() -> None:
    study = {
        "slow-256": one_run(model="slow"),
        "fast-256": one_run(model="fast"),
        "slow-1024": one_run(1024, model="slow"),
    }
    values = _values(study, 2.01, 2.02, 2.0)
    values["measured"]["timings"]["finetune"]["fast-256"]["tokens_per_second"] = 50000.0
    for name in ("slow-256", "fast-256"):
        _known(values, "slow-1024", name, -0.03, 0.01)
    (sentence,) = advice(values, study)
    assert "take `fast` at 256 tokens: 2.020 ± 0.100" in sentence
    assert "the best (`slow` at 1,024 tokens: -0.010 ± 0.020)" in sentence


def test_what_is_not_trained_or_has_one_length_needs_no_advice() -> None:
    base = {f"base-{n}": one_run(n, train="none") for n in (128, 512)}
    assert advice(_values(base, 1.0, 1.1), base) == []
    one = {"a": one_run(), "b": one_run(1024, corpus="wiki")}
    assert advice(_values(one, 1.0, 1.1), one) == []
