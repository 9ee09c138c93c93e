"""Whether more training changes what a longer context costs is told of the same two lengths."""

from typing import Any

import pytest

from reformer_seqlen.reporting.more_training import more_training
from tests.metrics_example import metrics_of
from tests.report_example import one_run, runs

STUDY = {
    **runs(("wiki", "news"), (256, 1024, 4096)),
    "long-256": one_run(256, train={"updates": 3000}),
    "long-1024": one_run(1024, train={"updates": 3000}),
}


@pytest.fixture
def values() -> dict[str, Any]:
    """After 1,200 updates a doubling costs 0.1 bits per byte, after 3,000 it costs 0.01."""
    found = metrics_of(STUDY)
    bits = {"news-256": 2.0, "news-1024": 2.2, "long-256": 1.8, "long-1024": 1.82}
    for name, value in bits.items():
        found["test"][name]["bits_per_byte"] = value
    for name in ("long-256", "long-1024"):
        found["details"]["training"][name] |= {"updates": 3000, "tokens_seen": 12_288_000}
    return found


def _known(values: dict[str, Any], longer: str, shorter: str, low: float, high: float) -> None:
    interval = {"bits_per_byte": (low + high) / 2, "low": low, "high": high}
    values["details"]["differences"].setdefault(longer, {})[shorter] = {"test": interval}


def test_the_same_lengths_are_compared(values: dict[str, Any]) -> None:
    sentence = (
        "In news, from 256 to 1,024 tokens, each doubling changes bits per byte by +0.100 after "
        "1,200 updates (`tiny`) and +0.010 after 3,000 updates (`tiny, updates 3000`)."
    )
    assert more_training(values, STUDY) == sentence
    turned = dict(reversed(STUDY.items()))
    assert more_training(values, turned) == sentence


@pytest.mark.parametrize(
    ("after_more", "verdict"),
    [
        ((0.01, 0.03), ": surely a smaller change."),
        ((-0.19, 0.03), ": surely another change."),
        ((-0.03, 0.01), ": surely a smaller change."),
        ((0.3, 0.4), ": surely a larger change."),
        ((-0.4, -0.3), ": from worse to better."),
        ((0.15, 0.19), ": no more apart than their uncertainty."),
    ],
)
def test_a_trend_is_said_where_the_intervals_tell_them_apart(
    values: dict[str, Any], after_more: tuple[float, float], verdict: str
) -> None:
    """After less training, a doubling surely changes 0.09 to 0.11; of the other, this is two."""
    _known(values, "news-1024", "news-256", 0.18, 0.22)
    _known(values, "long-1024", "long-256", *after_more)
    assert more_training(values, STUDY).endswith(verdict)


def test_a_change_may_turn_from_better_to_worse(values: dict[str, Any]) -> None:
    _known(values, "news-1024", "news-256", -0.22, -0.18)
    _known(values, "long-1024", "long-256", 0.01, 0.03)
    assert more_training(values, STUDY).endswith(": from better to worse.")


def test_what_is_not_to_be_compared_says_nothing(values: dict[str, Any]) -> None:
    """Runs that diverged, updates that differ with the length, amounts that hardly differ."""
    training = values["details"]["training"]
    training["long-256"]["diverged"] = True
    assert more_training(values, STUDY) == ""
    training["long-256"] |= {"diverged": False, "updates": 9000}
    assert more_training(values, STUDY) == ""
    for name in ("long-256", "long-1024"):
        training[name] |= {"updates": 1300, "tokens_seen": 5_300_000}
    assert more_training(values, STUDY) == ""


def test_equal_amounts_and_other_differences_say_nothing(values: dict[str, Any]) -> None:
    for name in ("long-256", "long-1024"):
        values["details"]["training"][name]["tokens_seen"] = 4_915_200
    assert more_training(values, STUDY) == ""
    slower = {
        **runs(("news",), (256, 1024)),
        "slow-256": one_run(256, train={"learning_rate": 1e-4}),
        "slow-1024": one_run(1024, train={"learning_rate": 1e-4}),
    }
    assert more_training(metrics_of(slower), slower) == ""
    assert more_training(metrics_of({}), STUDY) == ""
