"""The answer says what the metrics say, and no more."""

from typing import Any

from reformer_seqlen.parameters.runs import Run
from reformer_seqlen.reporting.answer import answer, beside_doublings, verdict
from tests.metrics_example import metrics_of
from tests.report_example import one_run, runs

STUDY = runs(("news", "wiki"), (256, 1024, 512))


def _values(bits: dict[str, float], study: dict[str, Run] = STUDY) -> dict[str, Any]:
    values = metrics_of(study)
    for name, value in bits.items():
        values["test"][name]["bits_per_byte"] = value
    return values


def _training(values: dict[str, Any], **changes: dict[str, Any]) -> None:
    for ends, change in changes.items():
        for name, training in values["details"]["training"].items():
            if name.endswith(ends.removeprefix("at_")):
                training.update(change)


NOTHING = (
    "No corpus has results at two sequence lengths that were trained alike yet: there are no "
    "lengths to compare."
)


def _known(values: dict[str, Any], longer: str, shorter: str, low: float, high: float) -> None:
    interval = {"bits_per_byte": (low + high) / 2, "low": low, "high": high}
    values["details"]["differences"].setdefault(longer, {})[shorter] = {"test": interval}


def test_the_change_from_the_shortest_to_the_longest_is_shared_out_over_the_doublings() -> None:
    values = _values({"news-256": 2.0, "news-1024": 2.1, "wiki-256": 3.0, "wiki-1024": 2.7})
    begin = (
        "At equal updates (1,200) and equal text, each doubling of the context from 256 to 1,024 "
        "tokens changes bits per byte of the test text (lower is better) by "
    )
    assert answer(values, STUDY)[0] == (
        f"{begin}+0.050 in news (2.000 → 2.100) and -0.150 in wiki (3.000 → 2.700)."
    )
    _known(values, "news-1024", "news-256", 0.08, 0.12)
    _known(values, "wiki-1024", "wiki-256", -0.65, 0.05)
    assert answer(values, STUDY)[0] == (
        f"{begin}+0.050 ± 0.010 in news (2.000 → 2.100) and -0.150 ± 0.175 in wiki "
        "(3.000 → 2.700): more than its uncertainty in news, not in wiki."
    )
    _known(values, "wiki-1024", "wiki-256", -0.35, -0.25)
    assert answer(values, STUDY)[0].endswith("(3.000 → 2.700): more than its uncertainty in each.")
    _known(values, "news-1024", "news-256", -0.12, 0.32)
    _known(values, "wiki-1024", "wiki-256", -0.65, 0.05)
    assert answer(values, STUDY)[0].endswith(": no more than its uncertainty in each.")


def test_each_training_seed_has_its_say() -> None:
    """Of the pairs of one seed; a seed that one end alone was trained with says nothing."""
    seeds = {
        f"wiki-{n}-seed{seed}": one_run(n, corpus="wiki", train={"seed": seed})
        for n, seed in ((256, 43), (1024, 44), (1024, 43))
    }
    study = {**STUDY, **seeds}
    values = _values({"news-256": 2.0, "news-1024": 2.1, "wiki-256": 3.0, "wiki-1024": 2.7}, study)
    values["test"]["wiki-256-seed43"]["bits_per_byte"] = 2.8
    values["test"]["wiki-1024-seed43"]["bits_per_byte"] = 2.9
    assert answer(values, study)[0].endswith(
        "+0.050 in news (2.000 → 2.100) and -0.150 in wiki (3.000 → 2.700; by seed -0.150 and "
        "+0.050)."
    )
    finetune = values["measured"]["timings"]["finetune"]
    finetune["wiki-1024-seed43"]["tokens_per_second"] = 3 * 41234.5
    assert "+100.0 % by corpus), 41,234 →" not in answer(values, study)[1]
    assert "(0 % to +29.1 % by corpus), 41,234 →" in answer(values, study)[1]


def test_the_verdict_counts_where_the_longest_context_is_better_and_worse() -> None:
    study = {
        **STUDY,
        **{f"base-{n}": one_run(n, model="base", train="none") for n in (128, 8192)},
    }
    values = _values({}, study)
    assert verdict(values, study) == ""
    _known(values, "news-1024", "news-256", 0.08, 0.12)
    assert verdict(values, study) == "Trained here, the longest context is worse than the shortest."
    _known(values, "news-1024", "news-256", -0.08, 0.12)
    assert verdict(values, study) == (
        "Trained here, the longest context is not told apart from the shortest."
    )
    _known(values, "news-1024", "news-256", 0.08, 0.12)
    _known(values, "wiki-1024", "wiki-256", -0.65, 0.05)
    _known(values, "base-8192", "base-128", -0.24, -0.12)
    assert verdict(values, study) == (
        "Trained here, the longest context is worse in 1 and not told apart in 1 of 2 comparisons "
        "with the shortest; without training here, the longest context is better than the shortest."
    )
    _training(values, at_1024={"updates": 300})
    assert verdict(values, study) == (
        "Without training here, the longest context is better than the shortest."
    )


def test_a_diverged_run_is_named_and_decides_nothing() -> None:
    values = _values({})
    values["details"]["training"]["wiki-1024"]["diverged"] = True
    assert answer(values, STUDY)[0].endswith("in wiki (1.625 → 1.625); wiki-1024 diverged.")
    _known(values, "news-1024", "news-256", 0.08, 0.12)
    _known(values, "wiki-1024", "wiki-256", 0.35, 0.65)
    assert verdict(values, STUDY) == "Trained here, the longest context is worse than the shortest."
    values["details"]["training"]["news-256"]["diverged"] = True
    assert verdict(values, STUDY) == ""


def test_lengths_are_named_where_corpora_differ_in_them() -> None:
    study = {**runs(("news",), (256, 1024)), **runs(("wiki",), (512, 2048))}
    sentence = answer(_values({}, study), study)[0]
    assert "each doubling of the context changes bits per byte" in sentence
    assert "+0.000 in wiki (512 → 2,048 tokens: 1.625 → 1.625)" in sentence


def test_the_first_model_is_the_one_whose_lengths_are_compared() -> None:
    study = {
        f"{model}-{length}": Run(corpus="news", model=model, sequence_length=length)
        for model in ("small", "large")
        for length in (256, 1024)
    }
    values = _values({"small-256": 2.0, "small-1024": 2.5, "large-256": 1.0}, study)
    assert "by +0.250 in news (2.000 → 2.500)" in answer(values, study)[0]


def test_unequal_updates_are_said() -> None:
    values = _values({})
    _training(values, at_256={"updates": 171}, at_1024={"updates": 42})
    values["details"]["training"]["wiki-256"]["updates"] = 198
    sentences = answer(values, STUDY)
    assert sentences[0].startswith("Each doubling of the context from 256 to 1,024 tokens changes")
    assert sentences[1] == (
        "Equal epochs are not equal updates: the shortest made 171 to 198 and the longest 42, "
        "so context alone does not explain the difference."
    )
    _training(values, at_256={"epochs": 1})
    assert answer(values, STUDY)[1].startswith("Epochs and updates differ: the shortest made")


def test_equal_updates_on_unequal_text_are_said() -> None:
    values = _values({})
    _training(values, at_256={"tokens_seen": 1000}, at_1024={"tokens_seen": 4000})
    assert answer(values, STUDY)[1] == (
        "Equal updates (1,200) are not equal text: the shortest saw 1,000 tokens and the longest "
        "4,000, so context alone does not explain the difference."
    )


def test_the_cost_is_speed_and_memory() -> None:
    values = _values({})
    for name in ("news-256", "wiki-256"):
        values["measured"]["timings"]["finetune"][name]["tokens_per_second"] = 41234.5 / 4
    speed = (
        "Each doubling changes the speed of training `tiny` by +100.0 %, 10,309 → 41,234 tokens a "
        "second on Imaginary CPU, 2 threads"
    )
    assert answer(values, STUDY)[1] == f"{speed}."
    place = {"model": "cp", "positions": "axial", "allocations": "today", "batch_size": 16}
    for name, length, mib in (("a", 16384, 6400.0), ("b", 256, 100.0)):
        values["details"]["memory"]["rows"][name] = {**place, "sequence_length": length}
        values["memory"][name] = {"mib": mib}
    assert answer(values, STUDY)[1] == (
        f"{speed}, and multiplies the predicted memory of a forward pass by 2.00 (cp, axial "
        "positions, batch 16: 100 MiB at 256 tokens, 6,400 MiB at 16,384)."
    )
    values["details"]["memory"]["training"] = {
        f"{curve}-{length}": {
            "curve": curve, "layers": 6, "batch_size": 1, "sequence_length": length,
            "predicted_allocated_mib": mib,
        }
        for curve in ("gpt2", "tiny")
        for length, mib in ((256, 25.0), (1024, 100.0))
    }  # fmt: skip
    assert answer(values, STUDY)[1] == (
        f"{speed}, and multiplies the predicted memory of an update by 2.00 (`tiny`, 6 layers, "
        "batch 1, so twice the tokens each time, unlike in these runs: 25 MiB at 256 tokens, 100 "
        "MiB at 1,024)."
    )
    values["details"]["training"]["news-1024"]["updates"] = 300
    assert "so twice the tokens each time: 25 MiB" in answer(values, STUDY)[2]


def test_the_change_of_speed_is_told_by_corpus_where_corpora_differ() -> None:
    values = _values({})
    finetune = values["measured"]["timings"]["finetune"]
    for corpus, speeds in (("news", (100.0, 144.0)), ("wiki", (100.0, 100.0))):
        for length, speed in zip((256, 1024), speeds, strict=True):
            finetune[f"{corpus}-{length}"]["tokens_per_second"] = speed
    assert answer(values, STUDY)[1].startswith(
        "Each doubling changes the speed of training `tiny` by +9.5 % (0 % to +20.0 % by corpus, "
        "each timed once), 100 → "
    )


def test_what_a_table_says_is_told_once() -> None:
    values = _values({})
    assert beside_doublings(values, STUDY) == answer(values, STUDY)[1:]
    assert beside_doublings(metrics_of({}), STUDY) == []


def test_models_that_are_not_trained_alone_have_no_cost() -> None:
    study = {f"base-{n}": one_run(n, model="base", train="none") for n in (128, 8192)}
    assert answer(_values({}, study), study) == []


def test_what_is_trained_otherwise_is_not_compared_with_the_plain_runs() -> None:
    study = {**runs(("news",), (256,)), "longer": one_run(1024, train={"updates": 100})}
    assert answer(_values({}, study), study) == [NOTHING]


def test_only_runs_with_results_are_compared() -> None:
    values = metrics_of(runs(("news",), (256, 512)))
    assert "from 256 to 512 tokens" in answer(values, STUDY)[0]
    del values["test"]["news-512"]["bits_per_byte"]  # a loss that is no number
    assert answer(values, STUDY) == [NOTHING]
    assert answer(metrics_of({}), STUDY) == [NOTHING]
