"""The training benchmark prints a table and, last, one JSON line."""

import json

import pytest

from benchmarks.training import Case, contestants, main, training_operations


@pytest.mark.slow
def test_prints_a_table_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = "--lengths 64 128 --batch-sizes 1 2 --most-tokens 128 --repeats 1 --generate 1"
    main(sizes.split())
    *table, last = capsys.readouterr().out.splitlines()
    results = json.loads(last)
    cases = [(r["batch_size"], r["sequence_length"], r["dtype"]) for r in results]
    shapes = [(1, 64), (2, 64), (1, 128)]
    assert cases == [(*shape, dtype) for shape in shapes for dtype in ("float32", "bfloat16")]
    for result in results:
        assert result["ours_tokens_per_second"] > 0
        assert result["stock_tokens_per_second"] > 0
        assert result["ratio"] > 0
        assert 0 < result["share_of_limit"] < 2
        assert result["evaluation_ratio"] > 0
    text = "\n".join(table)
    for expected in (
        "skipped 2 x 128",
        "share_of_limit",
        "of training time at 128 against 64",
        "strict takes",
        "generation:",
    ):
        assert expected in text


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--lengths", "100"], "--lengths must be multiples of 64"),
        (["--repeats", "0"], "--batch-sizes and --repeats must be at least 1"),
        (["--batch-sizes", "0"], "--batch-sizes and --repeats must be at least 1"),
    ],
)
def test_what_can_not_be_measured_is_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert complaint in capsys.readouterr().err


def test_operations_are_those_of_the_published_architecture() -> None:
    _, ours = contestants(Case(1, 64, "float32", "strict"))
    local, lsh, feed_forward, head = 4 * 128 * 256, 3 * 128 * 256, 2 * 256 * 512, 512 * 320
    attention = 2 * 128 * 128
    layers = 3 * local + 3 * lsh + 6 * (feed_forward + attention)
    assert training_operations(ours.model) == 6 * (layers + head)
