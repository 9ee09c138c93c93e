"""Scoring a run's model."""

from pathlib import Path
from typing import Any

import pytest
import torch

from reformer_seqlen.parameters.evaluation import Evaluation
from reformer_seqlen.parameters.runs import Run
from reformer_seqlen.reformer.hash_rules import hash_rules
from reformer_seqlen.reformer.inputs import Texts
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.scoring.scorer import Scorer
from stages.evaluate import check_unknown, load_scorer
from tests.reformer_example import small_reformer


def _record(unknown: int) -> dict[str, object]:
    known = {"tokens": 100, "unknown": 0, "unknown_characters": {}}
    test = {"tokens": 100, "unknown": unknown, "unknown_characters": {"é": unknown}}
    return {"splits": {"train": test, "validation": known, "test": test}}


def test_a_text_that_the_tokenizer_does_not_know_is_not_scored() -> None:
    with pytest.raises(StudyError) as refused:
        check_unknown("mine-128", _record(6), 0.05)
    message = str(refused.value)
    assert message.startswith("runs.mine-128: 6.00% of the pieces of test are unknown")
    assert "'é' (LATIN SMALL LETTER E WITH ACUTE) 6 times" in message
    assert "more than evaluate.unknown_limit, 5.00%" in message
    assert "runs.mine-128.evaluate.unknown_limit" in message


def test_as_many_as_the_limit_are_scored() -> None:
    check_unknown("mine-128", _record(5), 0.05)


@pytest.fixture
def scorer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes what scores a run of 128 tokens whose model has these layers."""
    monkeypatch.chdir(tmp_path)

    def made(kind: str, **changes: Any) -> Scorer:
        model = small_reformer(kind, max_position_embeddings=128, **changes)
        model.save_pretrained(tmp_path / "data/models/mine-128")
        run = Run(corpus="mine", model="tiny", sequence_length=128)
        return load_scorer("mine-128", run, Evaluation(), {"positions": "learned"}, tmp_path)

    return made


def test_what_peeks_hashes_as_the_model_does(scorer: Any) -> None:
    """Whatever the configuration says of the published rule's buckets."""
    own = scorer("mixed", num_buckets=[64, 128])
    strict, published = (
        hash_rules(
            model.config, model.config.lsh_causality, torch.tensor([7, 0]),
            Texts(torch.zeros(2, 128, 32), None, None, None), None, torch.zeros(()),
        )[1]
        for model in (own.model, own.peeking)
    )  # fmt: skip
    assert (strict.causality, published.causality) == ("strict", "published")
    assert strict.factors == published.factors == (16,)
    assert torch.equal(strict.rotations, published.rotations)


@pytest.mark.parametrize(
    ("kind", "changes"), [("local", {}), ("lsh", {"lsh_num_chunks_before": 8}), ("mixed", {})]
)
def test_only_a_model_that_may_peek_is_scored_so(
    kind: str, changes: dict[str, Any], scorer: Any
) -> None:
    """Not without layers that hash, nor where the rule would hold a chunk of the text twice."""
    assert (scorer(kind, **changes).peeking is not None) == (kind == "mixed")
