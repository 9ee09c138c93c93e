"""How much of the published gap is what: a table, and a sentence of the answer."""

from reformer_seqlen.reporting.gap import FAIR, SCORING
from reformer_seqlen.reporting.metrics import Metrics
from reformer_seqlen.reporting.scores import bound_note, shown_score, signed
from reformer_seqlen.reporting.table import NOTHING, Table, joined, number


def gap_table(values: Metrics) -> Table:
    """A row for each way of training and scoring: both ends, the gap, what the way adds to it."""
    rows = []
    for what, ways in values["details"].get("gap", {}).items():
        for name, way in ways.items():
            ends = [way[end] for end in ("shortest", "longest")]
            lengths = " → ".join(number(end["sequence_length"], 0) for end in ends)
            added = signed(way["added"]) if "added" in way else NOTHING
            rows.append([what, name, lengths, *map(shown_score, ends), signed(way["gap"]), added])
    headers = ["corpus", "way", "seq len", "shortest", "longest", "gap", "added"]
    intro = (
        "The published study trained for equal epochs with an equal batch size, so the longer the "
        "sequence, the fewer the updates; it dropped the rest of each batch of rows, so the longer "
        "the sequence, the less text; and it scored what was left. Each way adds one of these to "
        "the way before it. Bits per byte of the test text; the gap is by how much the longest "
        "sequence scores above the shortest."
    )
    note = "± is half of a 95 % interval; there is none where the targets are not the same."
    title = "How much of the published gap is what"
    notes = [*bound_note(rows), note]
    return Table("gap", title, headers, rows, notes, labels=3, intro=intro)


def published_gap(values: Metrics) -> str:
    """The same in a sentence, of the first corpus that has both the fair way and the published."""
    for what, ways in values["details"].get("gap", {}).items():
        if not {FAIR, SCORING} <= ways.keys():
            continue
        fair, *others = ways.items()
        lengths = [number(fair[1][end]["sequence_length"], 0) for end in ("shortest", "longest")]
        parts = [f"{signed(way['added'])} by {name.removeprefix('+ ')}" for name, way in others]
        return (
            f"Trained and scored as published, {what} has a gap of {signed(others[-1][1]['gap'])} "
            f"bits per byte between {joined(lengths)} tokens instead of {signed(fair[1]['gap'])}: "
            f"{joined(parts)}."
        )
    return NOTHING
