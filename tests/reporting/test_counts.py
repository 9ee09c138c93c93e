"""What counting scored stands in the tables of the runs."""

from reformer_seqlen.reporting.run_tables import headline, quality_tables
from tests.metrics_example import metrics_of
from tests.report_example import runs


def test_a_count_is_a_row_of_the_tables_of_quality() -> None:
    study = runs()
    values = metrics_of(study)
    item = {"model": "tiny", "order": 5, "text": "own", "tokens_counted": 1000}
    values["details"]["counts"] = {
        "news-5gram": {"corpus": "news", **item},
        "wiki-5gram": {"corpus": "wiki", **item},
        "wiki-1gram-all": {"corpus": "wiki", **item, "order": 1, "text": "all"},
    }
    for split in ("validation", "test"):
        for name in values["details"]["counts"]:
            score = {"bits_per_byte": 2.0, "low": 1.9, "high": 2.1, "perplexity": 20.0}
            values[split][name] = score
    shown = "2.000 ± 0.100 / 2.000 ± 0.100"
    table = headline(values, study)
    assert table.rows[-2:] == [
        ["5-gram", shown, shown, "", ""],
        ["unigram, base text too", "", shown, "", ""],
    ]
    assert {len(row) for row in table.rows} == {len(table.headers)}
    perplexity = quality_tables(values, study)[0]
    assert perplexity.rows[-3:-1] == [
        ["5-gram", "20.00 / 20.00", "20.00 / 20.00"],
        ["unigram, base text too", "", "20.00 / 20.00"],
    ]
