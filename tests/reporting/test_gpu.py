"""What the report says of GPUs, measured or not."""

from pathlib import Path

import pytest

from reformer_seqlen.reporting.gpu import read_card, read_cards, summary
from reformer_seqlen.runtime.errors import StudyError
from tests.gpu_example import write_card


def test_without_results_it_says_that_nothing_was_measured(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("how to measure", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    assert read_cards(tmp_path) == []
    assert read_cards(tmp_path / "missing") == []
    assert summary([]).startswith("**Not measured on a GPU.**")


def test_the_summary_says_what_each_part_found(tmp_path: Path) -> None:
    write_card(tmp_path / "one")
    assert summary(read_cards(tmp_path)) == (
        "**Measured on Imaginary GPU** (driver 570.86.15, torch 2.11.0, transformers 5.17.0, "
        "commit 0123456). Right: 3 of 4 checks, most of them against float64; not: cached "
        "generation. Training at 16 x 2,048 tokens in bfloat16: 1,200,000 tokens a second, 5.00 "
        "times transformers' Reformer, 1.20 times GPT-2. Training at 4 x 16,384 tokens in "
        "bfloat16: 1,100,000 tokens a second. Reserved memory is predicted to the MiB in 0 of 1 "
        "runs, and at most 0.5 % too high (cp-axial-256, 16 x 256, inference). Validation loss "
        "of a short training, nats a piece: ours 3.100 after 20 s."
    )


def test_parts_that_did_not_run_are_left_out(tmp_path: Path) -> None:
    write_card(tmp_path, "memory")
    _, found = summary([read_card(tmp_path)]).split("). ")
    assert found.startswith("Reserved memory is predicted to the MiB in 0 of 1 runs")


def test_runs_predicted_to_the_mib_are_counted(tmp_path: Path) -> None:
    row = {"row": "a", "kind": "inference", "batch_size": 1, "sequence_length": 64}
    exact, off = row | {"reserved_error_percent": 0.0}, row | {"reserved_error_percent": -2.5}
    write_card(tmp_path / "exact", "memory", results={"rows": [exact, exact]})
    write_card(tmp_path / "mixed", "memory", results={"rows": [exact, off, exact]})
    texts = [summary([card]) for card in read_cards(tmp_path)]
    assert texts[0].endswith("to the MiB in 2 of 2 runs.")
    assert texts[1].endswith("in 2 of 3 runs, and at most 2.5 % too low (a, 1 x 64, inference).")


def test_a_part_that_ended_badly_is_named(tmp_path: Path) -> None:
    write_card(tmp_path, "memory")
    write_card(tmp_path, "speed", status="took more than 115 s and was ended")
    text = summary([read_card(tmp_path)])
    assert "Not every part ended well: speed took more than 115 s and was ended." in text


def test_cards_come_in_the_order_of_their_folders(tmp_path: Path) -> None:
    write_card(tmp_path / "b", "memory", card="B")
    write_card(tmp_path / "a", "memory", card="A")
    text = summary(read_cards(tmp_path))
    assert text.index("Measured on A") < text.index("Measured on B")


@pytest.mark.parametrize(
    ("broken", "said"),
    [("{", "is not JSON"), ("[]", "it has no card"), ('{"part": "speed"}', "it has no card")],
)
def test_a_broken_file_is_named(tmp_path: Path, broken: str, said: str) -> None:
    (tmp_path / "speed.json").write_text(broken, encoding="utf-8")
    with pytest.raises(StudyError, match=rf"speed.json.* {said}.*: delete it, or run"):
        read_card(tmp_path)
