"""The benchmark of the way from text to tokens, on a small text."""

from pathlib import Path

import pytest

from benchmarks.text import MEGABYTE, bytes_a_token, measure, repeated

TEXT = b"The tree grows by the river, and the trees grow: ten, twenty, thirty of them.\n" * 9000


def test_a_text_is_repeated_to_a_size(tmp_path: Path) -> None:
    repeated(b"abc\n", 10, tmp_path, "x")
    assert (tmp_path / "x.txt").read_bytes() == b"abc\nabc\nab"


@pytest.mark.slow
def test_it_gives_the_figures_that_have_bars(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.text.PIECES", 130)
    results = measure(TEXT, tmp_path, MEGABYTE // 4, MEGABYTE // 2, MEGABYTE)
    assert list(results) == [
        "tokenize_over_sentencepiece", "peak_mib_10mb", "peak_mib_1gb", "bytes_a_token",
    ]  # fmt: skip
    assert results["tokenize_over_sentencepiece"] > 0.1
    assert 30 < results["peak_mib_10mb"] < 300
    assert 30 < results["peak_mib_1gb"] < 300
    assert results["bytes_a_token"] == bytes_a_token(tmp_path, "small") == 2  # 130 pieces
    printed = capsys.readouterr().out
    ratio = results["tokenize_over_sentencepiece"]
    assert f"tokenizing is {ratio:.2f} times as fast as SentencePiece's encode" in printed
    assert "a text of 1 MB takes " in printed
