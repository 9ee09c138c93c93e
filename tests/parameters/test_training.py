"""How long a training lasts, said in several ways."""

from typing import Any

import pytest
from pydantic import ValidationError

from reformer_seqlen.parameters.runs import overridden
from reformer_seqlen.parameters.training import Training
from reformer_seqlen.runtime.errors import StudyError


def test_the_defaults_are_the_published_studys() -> None:
    settings = Training()
    assert (settings.batch_size, settings.epochs, settings.warmup_updates) == (16, 30, 0)
    assert settings.updates_on(windows=100, sequence_length=256) == 30 * 7
    assert settings.windows_read(windows=100, sequence_length=256) == 30 * 100
    assert settings.evaluated_after(windows=100, sequence_length=256)[:2] == [7, 14]


@pytest.mark.parametrize(
    ("values", "sequences", "updates", "windows_read"),
    [
        ({"batch_size": 4, "epochs": 2}, 4, 6, 20),
        ({"tokens_per_update": 512, "epochs": 2}, 8, 4, 20),
        ({"tokens_per_update": 512, "updates": 3}, 8, 3, 18),
        ({"tokens_per_update": 512, "tokens": 1025}, 8, 3, 18),
        ({"batch_size": 4, "updates": 7}, 4, 7, 24),
    ],
)
def test_updates_follow_from_what_is_said(
    values: dict[str, Any], sequences: int, updates: int, windows_read: int
) -> None:
    """Ten windows of 64 tokens."""
    settings = Training(**values)
    assert settings.sequences(64) == sequences
    assert settings.updates_on(10, 64) == updates
    assert settings.windows_read(10, 64) == windows_read


def test_evaluations_are_spread_evenly_and_end_with_the_training() -> None:
    assert Training(updates=10, evaluations=3).evaluated_after(10, 64) == [3, 6, 10]
    assert Training(updates=2, evaluations=3).evaluated_after(10, 64) == [1, 2]


def test_warmup_and_decay_are_updates_or_shares() -> None:
    assert Training(warmup_share=0.1).warmup(200) == 20
    assert Training(warmup_updates=7).warmup(200) == 7
    assert Training().decay(200) is None
    assert Training(decay_share=0.25).decay(200) == 50
    assert Training(decay_updates=9).decay(200) == 9
    assert Training(warmup_updates=20, decay_updates=180).decay(200) == 180


def test_a_decay_begins_after_the_warmup() -> None:
    said = "the warm-up of 20 and the decay of 181 updates are more than the 200 of the training"
    with pytest.raises(StudyError, match=said):
        Training(warmup_updates=20, decay_updates=181).decay(200)
    with pytest.raises(ValidationError, match=said):
        Training(warmup_updates=20, decay_updates=181, updates=200)


def test_a_runs_own_way_takes_the_place_of_what_holds_for_all() -> None:
    base = Training(batch_size=4, epochs=3, warmup_updates=5)
    own = overridden(base, {"tokens_per_update": 512, "updates": 9, "warmup_share": 0.1}, "train")
    assert (own.batch_size, own.tokens_per_update) == (None, 512)
    assert (own.epochs, own.updates) == (None, 9)
    assert (own.warmup_updates, own.warmup_share) == (None, 0.1)
    assert overridden(base, {"seed": 1}, "train").epochs == 3


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"epochs": 1, "updates": 2}, "give one of `epochs` and `updates`, not both"),
        ({"batch_size": 1, "tokens_per_update": 2}, "`batch_size` and `tokens_per_update`"),
        ({"optimizer": "muon"}, "`matrix_learning_rate` is what `optimizer: muon` needs"),
        ({"matrix_learning_rate": 0.1}, "`matrix_learning_rate` is what `optimizer: muon` needs"),
        ({"schedule": "constant_with_warmup", "decay_share": 0.1}, "has no decay"),
        ({"updates": 0}, "greater than 0"),
        ({"processes": 0}, "greater than 0"),
        ({"fsdp": True}, "`fsdp` parts no states of `optimizer: adafactor`"),
        ({"warmup_share": 1.5}, "less than or equal to 1"),
    ],
)
def test_what_contradicts_itself_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Training(**values)
    assert words in str(refused.value)


def test_tokens_of_an_update_are_whole_sequences() -> None:
    with pytest.raises(StudyError, match="tokens_per_update: 500 is no multiple of 64"):
        Training(tokens_per_update=500).sequences(64)
