"""A doubling changes what the ends of a line say, shared out over the doublings between them."""

from typing import Any

import pytest

from reformer_seqlen.parameters.runs import Run
from reformer_seqlen.reporting.doublings_table import doublings_table
from tests.metrics_example import metrics_of
from tests.report_example import one_run, runs

WIDE = {"train": {"updates": 300}}
STUDY = {
    **runs(("news", "wiki"), (256, 512, 1024)),
    "wide-256": one_run(256, **WIDE),
    "wide-4096": one_run(4096, **WIDE),
    "gpt2-512": one_run(512, model="gpt2"),
    "gpt2-1024": one_run(1024, model="gpt2"),
    "base-128": one_run(128, model="base", train="none"),
    "base-8192": one_run(8192, model="base", train="none"),
}
BITS = {
    "news-256": 2.0, "news-512": 9.0, "news-1024": 2.1, "wiki-256": 3.0, "wiki-1024": 2.7,
    "wide-256": 2.0, "wide-4096": 2.4, "gpt2-512": 2.0, "gpt2-1024": 1.95, "base-128": 1.18,
    "base-8192": 1.0,
}  # fmt: skip


@pytest.fixture
def values() -> dict[str, Any]:
    """Metrics of the study."""
    found = metrics_of(STUDY)
    for name, bits in BITS.items():
        found["test"][name]["bits_per_byte"] = bits
    for name, change in {"wide-256": 300, "wide-4096": 300}.items():
        found["details"]["training"][name]["updates"] = change
    speeds = found["measured"]["timings"]["finetune"]
    for name, speed in {"news-256": 9000.0, "wiki-256": 10000.0, "wiki-1024": 2000.0}.items():
        speeds[name]["tokens_per_second"] = speed
    speeds["news-1024"]["tokens_per_second"] = 9000.0
    return found


def _rows(values: dict[str, Any], study: dict[str, Run] = STUDY) -> dict[str, list[str]]:
    return {row[0]: row[1:] for row in doublings_table(values, study).rows}


def test_every_line_of_several_lengths_has_a_row(values: dict[str, Any]) -> None:
    """By hand: +0.1 and -0.3 over two doublings, +0.4 over four, -0.05 over one, -0.18 over six.

    The speed is the mean of both corpora: of 9,000 and 10,000, of 9,000 and 2,000.
    """
    table = doublings_table(values, STUDY)
    assert table.headers == ["model", "seq len", "news", "wiki", "updates", "tokens a second"]
    assert _rows(values) == {
        "tiny": ["256 → 1,024", "+0.050", "-0.150", "1,200", "9,500 → 5,500"],
        "tiny, updates 300": ["256 → 4,096", "+0.100", "", "300", "41,234 → 41,234"],
        "gpt2": ["512 → 1,024", "-0.050", "", "1,200", "41,234 → 41,234"],
        "base, not trained here": ["128 → 8,192", "-0.030", "", "", ""],
    }
    assert table.intro.startswith("What each doubling")
    assert "at equal updates and equal text; and" in table.intro
    assert table.notes == []


def test_a_change_within_its_uncertainty_and_a_diverged_run_are_marked(
    values: dict[str, Any],
) -> None:
    known = values["details"]["differences"]
    known["news-1024"] = {"news-256": {"test": {"bits_per_byte": 0.1, "low": 0.08, "high": 0.12}}}
    known["wiki-1024"] = {"wiki-256": {"test": {"bits_per_byte": -0.3, "low": -0.7, "high": 0.1}}}
    assert _rows(values)["tiny"][1:3] == ["+0.050 ± 0.010", "-0.150 ± 0.200 ≈"]
    values["details"]["training"]["news-1024"]["diverged"] = True
    assert _rows(values)["tiny"][1] == "+0.050 ± 0.010 †"
    notes = doublings_table(values, STUDY).notes
    assert [note[0] for note in notes] == ["≈", "†"]


def test_unequal_updates_stand_in_the_row(values: dict[str, Any]) -> None:
    values["details"]["training"]["gpt2-1024"]["updates"] = 600
    values["details"]["training"]["wiki-256"]["updates"] = 300
    values["details"]["training"]["wiki-1024"]["updates"] = 300
    assert _rows(values)["tiny"][3] == "1,200 / 300"
    assert _rows(values)["gpt2"][1] == "-0.050 ‡"
    assert _rows(values)["gpt2"][2:] == ["", "1,200 → 600", "41,234 → 41,234"]
    assert "equal" not in doublings_table(values, STUDY).intro


def test_corpora_with_other_lengths_have_rows_of_their_own(values: dict[str, Any]) -> None:
    study = {name: run for name, run in STUDY.items() if name != "wiki-256"}
    rows = [row[:4] for row in doublings_table(values, study).rows]
    assert rows[0] == ["tiny", "256 → 1,024", "+0.050", ""]
    assert ["tiny", "512 → 1,024", "", "+1.075"] in rows


def test_seeds_that_do_not_agree_and_windows_that_overlap_are_no_sure_line(
    values: dict[str, Any],
) -> None:
    again = {f"news-{n}-43": one_run(n, train={"seed": 43}) for n in (256, 1024)}
    study = {**STUDY, **again, "overlapping": one_run(128, evaluate={"stride": 64})}
    more = metrics_of(study)
    more["test"] |= values["test"]
    known = {"bits_per_byte": 0.1, "low": 0.08, "high": 0.12}
    more["details"]["differences"]["news-1024"] = {"news-256": {"test": known}}
    assert _rows(more, study)["tiny"][1] == "+0.050 ± 0.010 ≈"
    more["test"]["news-1024-43"]["bits_per_byte"] = 1.7
    assert _rows(more, study)["tiny"][:2] == ["256 → 1,024", "+0.050 ± 0.010"]


def test_without_two_lengths_there_is_nothing() -> None:
    study = runs(("news",), (256,))
    assert doublings_table(metrics_of(study), study).markdown() == ""
