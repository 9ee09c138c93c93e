"""Models of other kinds beside the study's first one."""

from typing import Any

from reformer_seqlen.reporting.answer import answer
from reformer_seqlen.reporting.rivals import rivals, rivals_table
from tests.metrics_example import metrics_of
from tests.report_example import one_run

STUDY = {
    f"{corpus}-{model}-{length}": one_run(length, corpus=corpus, model=model)
    for corpus in ("news", "wiki")
    for model in ("reformer", "gpt2")
    for length in (256, 1024)
}


def _values(study: dict[str, Any]) -> dict[str, Any]:
    """gpt2 is better by 0.1, with an interval on news; half as fast at 256, a tenth at 1,024."""
    values = metrics_of(study)
    values["details"]["models"] = {"gpt2": {"model_type": "gpt2"}}
    for length, speed in ((256, 0.5), (1024, 0.1)):
        for corpus in ("news", "wiki"):
            name = f"{corpus}-gpt2-{length}"
            values["test"][name]["bits_per_byte"] = 1.525
            timing = values["measured"]["timings"]["finetune"][name]
            timing["tokens_per_second"] *= speed
            timing["runtime_seconds"] /= speed
        interval = {"bits_per_byte": 0.1, "low": 0.08, "high": 0.12}
        pair = {f"news-gpt2-{length}": {"test": interval}}
        values["details"]["differences"][f"news-reformer-{length}"] = pair
    return values


def test_another_model_is_held_against_the_first_one_at_the_same_length() -> None:
    values = _values(STUDY)
    table = rivals_table(rivals(values, STUDY))
    assert table.headers == ["model", "seq len", "news", "wiki", "speed", "seconds", "equal"]
    assert table.rows == [
        ["gpt2", "256", "-0.100 ± 0.020", "-0.100", "0.50", "2.00", "updates"],
        ["gpt2", "1024", "-0.100 ± 0.020", "-0.100", "0.10", "10.00", "updates"],
    ]
    assert answer(values, STUDY)[2] == (
        "Beside `reformer` at the same length and updates, `gpt2` (full attention) is 0.100 bits "
        "per byte better (told apart in 2 of 4), at 0.50 (256 tokens) to 0.10 (1,024 tokens) times "
        "its speed."
    )


def test_what_seeds_do_as_well_is_not_told_apart() -> None:
    """gpt2 is 0.1 better, and the seeds of one of both are 0.11 apart."""
    study = {**STUDY, "news-reformer-256-again": one_run(256, model="reformer", train={"seed": 43})}
    values = _values(study)
    several = {"runs": ["news-reformer-256", "news-reformer-256-again"]}
    score = {"bits_per_byte": 1.625, "perplexity": 9.0, "lowest": 1.57, "highest": 1.68}
    values["details"]["seeds"] = {"news-reformer-256": {**several, "test": score}}
    slower = values["measured"]["timings"]["finetune"]["news-reformer-256-again"]
    slower["tokens_per_second"] /= 2
    table = rivals_table(rivals(values, study))
    assert table.rows[0][2:5] == ["-0.100 ± 0.020 ≈", "-0.100", "0.50 to 0.67"]
    assert table.rows[1][2] == "-0.100 ± 0.020"
    assert table.notes == [
        "≈ No more than its uncertainty, or than the seeds of one model are apart."
    ]
    assert "(told apart in 1 of 4)" in answer(values, study)[2]
    score["highest"] = 1.66
    assert "(told apart in 2 of 4)" in answer(values, study)[2]


def test_other_amounts_of_text_and_diverged_runs_are_said() -> None:
    values = _values(STUDY)
    values["details"]["training"]["news-gpt2-256"]["tokens_seen"] = 99
    values["details"]["training"]["wiki-gpt2-1024"]["diverged"] = True
    table = rivals_table(rivals(values, STUDY))
    assert table.rows[0][-1] == ""
    assert table.rows[1][2:4] == ["-0.100 ± 0.020", "-0.100 †"]
    assert [note[0] for note in table.notes] == ["†"]
    sentence = answer(values, STUDY)[2]
    assert sentence.startswith("Beside `reformer` at the same length, `gpt2`")
    assert "(told apart in 2 of 3)" in sentence


def test_equal_seconds_are_said() -> None:
    study = {**STUDY, "news-gpt2-in-time": one_run(1024, model="gpt2", train={"updates": 120})}
    values = _values(study)
    values["details"]["training"]["news-gpt2-in-time"]["updates"] = 120
    values["test"]["news-gpt2-in-time"]["bits_per_byte"] = 1.925
    for corpus in ("news", "wiki"):
        same = values["measured"]["timings"]["finetune"][f"{corpus}-gpt2-256"]
        same["runtime_seconds"] /= 2.1
    table = rivals_table(rivals(values, study))
    assert table.rows[0][-2:] == ["0.95", "updates and seconds"]
    assert table.rows[-1] == [
        "gpt2, updates 120", "1024", "+0.300", "", "1.00", "1.00", "seconds",
    ]  # fmt: skip
    begin, plain, timed = answer(values, study)[2].split("\n  - ")
    assert begin == "Beside `reformer` at the same length and updates:"
    assert plain.endswith("times its speed (equal seconds, too, with 256);")
    assert timed == (
        "trained for equal seconds, `gpt2` is 0.300 bits per byte worse (told apart in 0 of 1)."
    )


def test_better_here_and_worse_there_is_both_said() -> None:
    values = _values(STUDY)
    values["test"]["wiki-gpt2-1024"]["bits_per_byte"] = 1.65
    assert "is 0.100 bits per byte better to 0.025 worse (told" in answer(values, STUDY)[2]


def test_one_model_has_no_rivals() -> None:
    study = {name: run for name, run in STUDY.items() if run.model == "gpt2"}
    assert rivals_table(rivals(_values(STUDY), study)).rows == []
    assert not any(sentence.startswith("Beside") for sentence in answer(_values(STUDY), study))
