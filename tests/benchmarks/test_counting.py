"""The counting benchmark prints a sentence and, last, one JSON line."""

import json

import pytest

from benchmarks.counting import main


@pytest.mark.slow
def test_prints_what_was_counted_and_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.counting.TOKENIZER_LINES", 400)
    main(["--pieces", "40000", "--scored", "5000", "--order", "3"])
    sentence, last = capsys.readouterr().out.splitlines()
    result = json.loads(last)
    assert (result["order"], result["pieces"], result["pieces_scored"]) == (3, 40000, 4999)
    assert 320 < result["ngrams"] < 3 * 40000
    assert 1 < result["perplexity"] < 320
    assert 0 <= result["seconds_counting"] <= result["seconds"]
    assert result["before_mib"] <= result["peak_mib"] < 4096
    assert sentence.startswith("40,000 pieces, order 3: ")
