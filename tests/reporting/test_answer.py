"""The answer says what the metrics say, and no more."""

from typing import Any

from reformer_seqlen.parameters.runs import Run
from reformer_seqlen.reporting.answer import answer
from tests.metrics_example import metrics_of
from tests.report_example import runs

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


def test_the_shortest_and_the_longest_are_compared_corpus_by_corpus() -> None:
    worse = {"news-256": 2.0, "news-1024": 2.1, "wiki-256": 3.0, "wiki-1024": 3.3}
    assert answer(_values(worse), STUDY)[0] == (
        "From 256 to 1,024 tokens of context, bits per byte of the test text (lower is better) "
        "rise: news 2.000 → 2.100 (+5.0 %) and wiki 3.000 → 3.300 (+10.0 %)."
    )
    better = {"news-256": 2.1, "news-1024": 2.0, "wiki-256": 3.3, "wiki-1024": 3.0}
    assert "fall: news 2.100 → 2.000 (-4.8 %)" in answer(_values(better), STUDY)[0]
    mixed = {**worse, "wiki-1024": 2.7}
    assert (
        "change: news 2.000 → 2.100 (+5.0 %) and wiki 3.000 → 2.700 (-10.0 %)"
        in (answer(_values(mixed), STUDY)[0])
    )
    assert "stay the same: news 1.625 → 1.625 (0 %)" in answer(_values({}), STUDY)[0]


def test_a_diverged_run_is_named() -> None:
    values = _values({})
    values["details"]["training"]["wiki-1024"]["diverged"] = True
    assert answer(values, STUDY)[0].endswith("wiki 1.625 → 1.625 (0 %); wiki-1024 diverged.")


def test_lengths_are_named_where_corpora_differ_in_them() -> None:
    study = {**runs(("news",), (256, 1024)), **runs(("wiki",), (512, 2048))}
    sentence = answer(_values({}, study), study)[0]
    assert sentence.startswith("From the shortest to the longest context, bits per byte")
    assert "wiki 1.625 → 1.625 (512 → 2,048 tokens, 0 %)" in sentence


def test_models_are_named_where_there_are_several() -> None:
    study = {
        f"{model}-{length}": Run(corpus="news", model=model, sequence_length=length)
        for model in ("small", "large")
        for length in (256, 1024)
    }
    assert "news (large) 1.625 → 1.625" in answer(_values({}, study), study)[0]


def test_unequal_updates_are_said() -> None:
    values = _values({})
    _training(values, at_256={"updates": 171}, at_1024={"updates": 42})
    values["details"]["training"]["wiki-256"]["updates"] = 198
    assert answer(values, STUDY)[1] == (
        "Equal epochs are not equal updates: the shortest made 171 to 198 and the longest 42, "
        "so context alone does not explain the difference."
    )
    _training(values, at_256={"epochs": 1})
    assert answer(values, STUDY)[1].startswith("Epochs and updates differ: the shortest made")


def test_equal_updates_on_equal_text_are_said_too() -> None:
    values = _values({})
    assert answer(values, STUDY)[1] == (
        "Both ends made the same number of updates (1,200) on as many tokens."
    )
    _training(values, at_256={"tokens_seen": 1000}, at_1024={"tokens_seen": 4000})
    assert answer(values, STUDY)[1] == (
        "Equal updates (1,200) are not equal text: the shortest saw 1,000 tokens and the longest "
        "4,000, so context alone does not explain the difference."
    )


def test_the_cost_is_speed_and_memory() -> None:
    values = _values({})
    values["measured"]["timings"]["finetune"]["news-256"]["tokens_per_second"] = 30000.0
    speed = (
        "Training runs at 30,000 to 41,234 tokens a second at the shortest and 41,234 at the "
        "longest (Imaginary CPU, 2 threads)"
    )
    assert answer(values, STUDY)[2] == f"{speed}."
    place = {"model": "cp", "positions": "axial", "allocations": "today", "batch_size": 16}
    for name, length, mib in (("a", 16384, 6057.0), ("b", 256, 1015.0)):
        values["details"]["memory"]["rows"][name] = {**place, "sequence_length": length}
        values["memory"][name] = {"mib": mib}
    assert answer(values, STUDY)[2] == (
        f"{speed}; the memory of a forward pass is predicted to grow from 1,015 MiB at 256 tokens "
        "to 6,057 MiB at 16,384 tokens (cp, axial positions, batch 16)."
    )
    curve = {"curve": "reformer", "layers": 6, "batch_size": 1}
    values["details"]["memory"]["training"] = {
        str(length): {**curve, "sequence_length": length, "predicted_allocated_mib": mib}
        for length, mib in ((256, 25.0), (2048, 69.4))
    }
    assert answer(values, STUDY)[2] == (
        f"{speed}; the memory of an update is predicted to grow from 25 MiB at 256 tokens to "
        "69 MiB at 2,048 tokens (`reformer`, 6 layers, batch 1)."
    )


def test_only_runs_with_results_are_compared() -> None:
    values = metrics_of(runs(("news",), (256, 512)))
    assert "From 256 to 512 tokens" in answer(values, STUDY)[0]
    del values["test"]["news-512"]["bits_per_byte"]  # a loss that is no number
    nothing = "No corpus has results at two sequence lengths yet: there is nothing to compare."
    assert answer(values, STUDY) == [nothing]
    assert answer(metrics_of({}), STUDY) == [nothing]
