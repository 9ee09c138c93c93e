"""Tables and the numbers in them."""

import pytest

from reformer_seqlen.reporting.published import seconds
from reformer_seqlen.reporting.table import Table, clock, number, percent, significant, span


@pytest.mark.parametrize(
    ("value", "shown"),
    [(4292.24, "1:11:32.24"), (0, "0:00:00.00"), (59.999, "0:01:00.00"), (36000.5, "10:00:00.50")],
)
def test_runtime_is_shown_as_the_study_shows_it(value: float, shown: str) -> None:
    assert clock(value) == shown
    assert seconds(shown) == pytest.approx(value, abs=0.005)


def test_numbers() -> None:
    assert number(1234.567) == "1,234.57"
    assert number(1234.5, 0) == "1,234"
    assert number(None) == ""


def test_a_number_that_is_not_0_is_not_shown_as_0() -> None:
    assert number(0.0002, 3) == "0.0002"
    assert number(-0.04, 1) == "-0.04"
    assert number(0.0, 3) == "0.000"
    assert number(1 - 0.9 - 0.1, 3) == "-0.000"  # what rounding leaves of nothing


@pytest.mark.parametrize(
    ("speed", "shown"),
    [
        (41_234.5, "41,234"),
        (161.04, "161"),
        (10.123, "10.1"),
        (1.5, "1.50"),
        (0.04567, "0.0457"),
        (0.0, "0"),
    ],
)
def test_a_speed_keeps_its_significant_digits(speed: float, shown: str) -> None:
    assert significant(speed) == shown


def test_a_span_of_equal_numbers_is_one() -> None:
    assert span([198, 1650, 165]) == "165 to 1,650"
    assert span([12.01, 11.99]) == "12"
    assert span([]) == ""


def test_a_change_has_a_sign_unless_it_rounds_to_nothing() -> None:
    assert percent(1.234) == "+1.23 %"
    assert percent(-0.129) == "-0.13 %"
    assert percent(-0.004) == "0 %"
    assert percent(None) == ""


def test_a_cell_cannot_break_the_markdown() -> None:
    table = Table("x", "X", ["a"], [["one|two\nthree"]])
    assert table.markdown().splitlines()[-1] == "| one\\|two three |"
    assert table.text().startswith("X\n")


def test_a_table_without_rows_shows_nothing() -> None:
    table = Table("x", "X", ["a"], [], ["a note"])
    assert (table.markdown(), table.text()) == ("", "")
