"""The tables of what went into the study."""

from typing import Any

from reformer_seqlen.reporting.data_tables import data_tables, models_in_words
from reformer_seqlen.reporting.metrics import Metrics
from reformer_seqlen.reporting.table import Table
from tests.metrics_example import metrics_of
from tests.report_example import one_run, runs


def _table(name: str, values: Metrics, corpora: tuple[str, ...] = ("news",)) -> Table:
    study = runs(corpora, (256, 2048))
    return next(table for table in data_tables(values, study) if table.name == name)


def test_kept_and_dropped_under_each_policy() -> None:
    values = metrics_of(runs(("news",), (256,)))
    assert _table("kept", values).rows == [
        ["news-256", "contiguous", "1,000", *["99.8 % (-2)"] * 3, *["76.8 % (-232)"] * 3],
        ["news-2048", "not computed yet", *[""] * 7],
    ]


def test_pieces_are_shown_once_for_a_corpus_and_a_model() -> None:
    values = metrics_of(runs(("news", "wiki"), (2048,)))
    whole = {split: {"bytes": 1840, "documents": 1} for split in ("train", "validation", "test")}
    values["details"]["texts"]["corpora"] = {"news": {"licence": "free", "splits": whole}}
    assert _table("pieces", values, ("news", "wiki", "poems")).rows == [
        ["news", "tiny", "1,000", "1,000", "1,000", "1.840", "4.03 % / 4.03 %"],
        ["wiki", "tiny", "1,000", "1,000", "1,000", "", "4.03 % / 4.03 %"],
        ["poems", "tiny", "not computed yet", "", "", "", ""],
    ]


def test_corpora_have_bytes_documents_and_a_licence() -> None:
    values = metrics_of(runs())
    split = {"bytes": 51189, "documents": 1}
    values["details"]["texts"]["corpora"] = {"wiki": {"licence": "CC", "splits": {"train": split}}}
    assert _table("corpora", values).rows == [["wiki", "CC", "51,189 (1)"]]


def test_base_models_say_where_their_weights_are_from() -> None:
    counts = {"total": 2_600_000, "position_table": 100_000, "without_positions": 2_500_000}
    counts["embeddings"] = 80_000
    shape = {
        "model_type": "reformer",
        "layers": ["local", "lsh"],
        "hidden_size": 256,
        "num_attention_heads": 2,
    }
    card = {"parameters": counts, **shape, "vocabulary": 320, "pretraining": None}
    values = metrics_of(runs())
    learnt = {"tokens_seen": 1_000_000, "validation_loss": 2.5}
    values["details"]["models"] = {
        "made": {**card, "pretraining": learnt, "checkpoint": None},
        "fetched": {**card, "checkpoint": {"what": "a/b on the hub", "revision": "abc"}},
    }
    values["details"]["models"]["another"] = {
        **values["details"]["models"]["made"], "model_type": "mamba", "layers": 12,
        "num_attention_heads": None,
    }  # fmt: skip
    made, fetched, another = _table("models", values).rows
    assert made[3] == "made here: 1,000,000 tokens, validation loss 2.50 nats"
    assert fetched[3] == "a/b on the hub, revision abc"
    assert made[4:] == ["256", "2", "320", "2,600,000", "100,000", "2,500,000", "80,000"]
    assert another[1:3] == ["mamba", "12"]
    assert another[5] == ""


def test_the_models_of_the_runs_are_told_in_a_sentence() -> None:
    study = {name: one_run(model=name) for name in ("small", "large", "fetched")}
    values = metrics_of(study)
    assert models_in_words(values, study) == ""
    made: dict[str, Any] = {"pretraining": {"tokens_seen": 0}, "checkpoint": None}
    fetched = {"pretraining": None, "checkpoint": {"what": "a/b on the hub", "revision": None}}
    values["details"]["models"] = {
        "small": {**made, "parameters": {"total": 2_551_616}},
        "large": {**made, "parameters": {"total": 134_515_008}},
        "fetched": {**fetched, "parameters": {"total": 3_000_000}},
        "of-no-run": {},
    }
    assert models_in_words(values, study) == (
        "The models are `small` and `large` (2.6 and 134.5 million parameters; made here: random "
        "weights) and `fetched` (3.0 million parameters; a/b on the hub)."
    )
    alone = {"small": study["small"]}
    assert models_in_words(values, alone).startswith("The model is `small` (2.6 million parameters")
