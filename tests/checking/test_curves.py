"""How the rows of CSV files are compared."""

import pytest

from reformer_seqlen.checking.curves import curve_differences

LOSSES = """\
run,corpus,sequence_length,update,epoch,training_loss
news-256,news,256,1,0.5,4.0
news-256,news,256,2,1.0,3.0
news-256,news,256,3,1.5,2.0
"""
MEMORY = """\
row,model,quantity,kind,mib
cp-256,cp,held,predicted,1015.0
cp-256,cp,in use,predicted,82.7
cp-256,cp,in use,measured,83.3
"""
TOLERANCE = 0.05


def _found(committed: str, computed: str, tolerance: float) -> list[str]:
    return [str(each) for each in curve_differences("f", committed, computed, tolerance)]


def test_a_changed_point_is_named_by_its_run_and_update() -> None:
    computed = LOSSES.replace("3.0\n", "3.1\n")
    assert _found(LOSSES, computed, 0.0) == [
        "f: news-256, update 2.training_loss: committed 3.0, computed 3.1"
    ]
    assert _found(LOSSES, computed, TOLERANCE) == []


@pytest.mark.parametrize("epoch", ["later", "nan", "inf"])
def test_an_epoch_that_is_no_number_is_a_difference(epoch: str) -> None:
    assert _found(LOSSES, LOSSES.replace("0.5,", f"{epoch},"), TOLERANCE)


def test_with_a_tolerance_the_losses_of_an_epoch_are_compared_together() -> None:
    one_update = LOSSES.replace("4.0\n", "4.3\n")  # 7.5 %, but 4.3 % of the epoch's mean
    assert len(_found(LOSSES, one_update, 0.0)) == 1
    assert _found(LOSSES, one_update, TOLERANCE) == []
    whole_epoch = one_update.replace("3.0\n", "3.3\n")
    [found] = _found(LOSSES, whole_epoch, TOLERANCE)
    assert found.startswith("f: news-256, epoch 1.training_loss: committed 3.5, computed 3.8")


@pytest.mark.parametrize("tolerance", [0.0, TOLERANCE])
def test_names_and_counts_are_exact_everywhere(tolerance: float) -> None:
    assert _found(LOSSES, LOSSES.replace("news,256,1", "wiki,256,1"), tolerance) == [
        "f: news-256, update 1.corpus: committed 'news', computed 'wiki'"
    ]


@pytest.mark.parametrize("tolerance", [0.0, TOLERANCE])
def test_rows_that_are_new_or_gone_are_counted(tolerance: float) -> None:
    header, *rows = LOSSES.splitlines(keepends=True)
    other = "".join(row.replace("news-256", "news-512") for row in rows)
    assert _found(LOSSES, LOSSES + other, tolerance) == ["f: news-512: 3 rows are new"]
    assert _found(LOSSES, header + "".join(rows[1:]), tolerance) == ["f: news-256: 1 row is gone"]


def test_measured_rows_are_not_compared_and_predicted_ones_are() -> None:
    assert _found(MEMORY, MEMORY.replace("83.3", "1.0"), 0.0) == []
    assert _found(MEMORY, MEMORY.replace("82.7", "82.8"), 0.0) == [
        "f: cp-256, kind predicted, quantity in use.mib: committed 82.7, computed 82.8"
    ]


def test_a_file_with_one_row_for_each_run_needs_no_further_place() -> None:
    old, new = (f"run,bits_per_byte\nnews-256,{bits}\n" for bits in (3.0, 3.5))
    assert _found(old, new, TOLERANCE) == ["f: news-256.bits_per_byte: committed 3.0, computed 3.5"]


def test_rows_that_share_a_place_are_numbered() -> None:
    old = "run,loss\nnews-256,3.0\nnews-256,2.0\n"
    assert _found(old, old.replace("3.0", "3.5"), 0.0) == [
        "f: news-256.loss: committed 3.0, computed 3.5"
    ]
    assert _found(old, old.replace("2.0", "2.5"), 0.0) == [
        "f: news-256, row 2.loss: committed 2.0, computed 2.5"
    ]
