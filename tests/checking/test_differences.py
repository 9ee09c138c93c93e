"""Which values differ, and by how much they may."""

from reformer_seqlen.checking.differences import differences


def test_nested_differences_are_named_by_their_keys() -> None:
    old = {"a": [1.0, {"b": "x"}], "c": True, "d": 1}
    new = {"a": [1.04, {"b": "y"}], "c": 1.0, "e": 1}
    found = [str(each) for each in differences("f", old, new, 0.05)]
    assert found == [
        "f: a[1].b: committed 'x', computed 'y'",
        "f: d: committed 1, computed nothing",
        "f: e: committed nothing, computed 1",
    ]


def test_only_numbers_with_a_fraction_have_a_tolerance() -> None:
    old = {"count": 100, "verdict": True, "loss": 2.0, "name": "a"}
    new = {"count": 101, "verdict": False, "loss": 2.1, "name": "b"}
    assert [each.key for each in differences("f", old, new, 0.05)] == ["count", "verdict", "name"]
    assert "loss" in [each.key for each in differences("f", old, new, 0.04)]


def test_a_spread_may_differ_as_much_as_what_it_is_a_spread_of() -> None:
    def found(spread: float, tolerance: float) -> list[str]:
        old, new = ({"loss": 10.0, "loss_spread": value} for value in (0.01, spread))
        return [each.key for each in differences("f", old, new, tolerance)]

    assert found(0.49, 0.05) == []
    assert found(0.52, 0.05) == ["loss_spread"]
    assert found(500.0, 0.05) == ["loss_spread"]
    assert found(0.0101, 0.0) == ["loss_spread"]


def test_a_long_value_is_cut() -> None:
    [found] = differences("f", {"run": {"key": "x" * 500}}, {}, 0.0)
    assert found.what.endswith("..., computed nothing")
    assert len(found.what) < 200


def test_a_difference_of_scores_may_differ_as_much_as_scores_do() -> None:
    def found(bits: float, tolerance: float) -> list[str]:
        old, new = ({"bits_per_byte": value, "loss": 0.01} for value in (0.01, bits))
        return [each.key for each in differences("gap.json", old, new, tolerance)]

    assert found(-0.03, 0.05) == []
    assert found(0.07, 0.05) == ["bits_per_byte"]
    assert found(0.0101, 0.0) == ["bits_per_byte"]
