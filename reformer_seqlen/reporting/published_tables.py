"""The published study's numbers as tables of their own, and ours beside them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reformer_seqlen.reporting.metrics import Metrics
from reformer_seqlen.reporting.points import Runs
from reformer_seqlen.reporting.published import published_updates, seconds
from reformer_seqlen.reporting.table import NOTHING, Table, clock, joined, number, significant


def _per_corpus(published: Mapping[str, Any], name: str, title: str, digits: int | None) -> Table:
    """One of the study's tables of lengths by corpora; `digits` is None where cells are text."""
    shown = published["counts_as"]["corpora"]
    rows = []
    for length in (str(length) for length in published["lengths"]):
        cells = [published[name][corpus].get(length) for corpus in shown]
        texts = [cell if digits is None else number(cell, digits) for cell in cells]
        rows.append([length, *(text or NOTHING for text in texts)])
    return Table(f"published-{name}", title, ["seq len", *shown.values()], rows)


def _speed(published: Mapping[str, Any]) -> Table:
    rows = [
        [length, f"~ {item['steps_per_second']:g}", f"~ {item['samples_per_second']:g}"]
        for length, item in published["speed"].items()
    ]
    headers = ["seq len", "steps/s", "samples/s"]
    return Table("published-speed", "Published: training speed, sample speed", headers, rows)


def _memory(published: Mapping[str, Any]) -> Table:
    memory = published["memory"]
    lengths = sorted({int(length) for row in memory["rows"] for length in row["mib"]})
    rows = []
    for row in memory["rows"]:
        cells = []
        for length in map(str, lengths):
            missing = "N/A" if length in row["mib"] else NOTHING
            value = row["mib"].get(length)
            cells.append(missing if value is None else number(value, 0))
        rows.append([row["model"], row["positions"], *cells])
    title = f"Published: inference memory, MiB, batch {memory['batch_size']}"
    headers = ["model", "positions", *map(str, lengths)]
    return Table("published-memory", title, headers, rows, [memory["unit"]], labels=2)


def _models(published: Mapping[str, Any]) -> Table:
    headers = ["model", "trained on", "layers", "hidden", "heads", "parameters"]
    rows = [
        [m["model"], m["trained_on"], *(str(m[k]) for k in headers[2:])]
        for m in published["models"]
    ]
    return Table("published-models", "Published: model cards", headers, rows, labels=2)


def published_tables(published: Mapping[str, Any]) -> list[Table]:
    """The study's tables as it printed them."""
    return [
        _per_corpus(published, "perplexity", "Published: evaluation perplexity", 2),
        _per_corpus(published, "runtime", "Published: training runtime (h:mm:ss)", None),
        _speed(published),
        _memory(published),
        _models(published),
    ]


def published_intro(published: Mapping[str, Any]) -> str:
    """Where the numbers are from, and how they came about."""
    origin, setup = published["provenance"], published["setup"]
    link = f"{origin['repository']}/blob/{origin['commit']}/{origin['path']}"
    return (
        f"Not ours, and on other texts. {published['study']}, copied cell by cell from "
        f"[its README]({link}). Model: {setup['model']}. Training: {setup['training']}. Machine: "
        f"{setup['machine']}. wt2 is WikiText-2, ptb Penn Treebank, ew8 enwik8."
    )


def side_by_side(published: Mapping[str, Any], values: Metrics, runs: Runs) -> Table:
    """Published, ours and their ratio wherever a run corresponds to a published cell.

    A run corresponds where its corpus and its model have the names that `counts_as` gives and its
    length is one of the study's.
    """
    names = published["counts_as"]
    headers = ["corpus", "run", "seq len", "what", "published", "ours", "ratio"]
    rows, missing = [], []
    for corpus, cells in published["perplexity"].items():
        for length in cells:
            place = (corpus, names["model"], int(length))
            found = [
                name
                for name, run in runs.items()
                if (run.corpus, run.model, run.sequence_length) == place
                and name in values["validation"]
                and run.is_trained
            ]
            if not found:
                missing.append(f"{names['corpora'][corpus]} {length}")
            for name in found:
                rows += [
                    [corpus, name, length, *pair]
                    for pair in _pairs(published, values, name, corpus, length)
                ]
    notes = [f"No run yet for the published cells {', '.join(missing)}."] if missing else []
    if any(row[3] == "updates" for row in rows):
        notes.append(
            "Published updates: its runtime times its samples a second (rounded), over its batch "
            f"of {published['memory']['batch_size']}."
        )
    notes += _differences(published, values, list(dict.fromkeys(row[1] for row in rows)))
    title = "Side by side: published, ours, ours / published"
    return Table("side-by-side", title, headers, rows, notes, labels=4)


def _differences(
    published: Mapping[str, Any], values: Metrics, found: Sequence[str]
) -> Iterator[str]:
    """What the runs do otherwise than the study, beside their text and epochs."""
    groups: dict[str, list[str]] = {}
    for name in found:
        groups.setdefault("; ".join(_otherwise(published, values, name)), []).append(name)
    for said, names in groups.items():
        named = joined([f"`{name}`" for name in names])
        if said:
            differ = "differs" if len(names) == 1 else "differ"
            yield f"{named} {differ} from the study in: {said}."
        else:
            yield f"What the study says of its training holds of {named}, too."


def _otherwise(published: Mapping[str, Any], values: Metrics, run: str) -> Iterator[str]:
    theirs, details = published["conditions"], values["details"]
    ours = {
        **details["training"][run].get("settings", {}),
        "windows": details["texts"]["windows"][run]["policy"],
    }
    for key, value in ours.items():
        if value != theirs[key]:
            yield f"{key.replace('_', ' ')} {value} ({theirs[key]} there)"


def _pairs(
    published: Mapping[str, Any], values: Metrics, run: str, corpus: str, length: str
) -> list[list[str]]:
    """What was published of a cell, ours of the same, and the ratio."""
    perplexity, runtime = (published[name][corpus][length] for name in ("perplexity", "runtime"))
    timing = values["measured"]["timings"]["finetune"][run]
    ours, took = values["validation"][run].get("perplexity"), timing["runtime_seconds"]
    pairs = [
        ["perplexity", number(perplexity), number(ours), _ratio(ours, perplexity)],
        ["runtime", runtime, clock(took), _ratio(took, seconds(runtime))],
    ]
    for key, value in published["speed"].get(length, {}).items():
        shown = [f"~ {value:g}", significant(timing[key]), _ratio(timing[key], value)]
        pairs.append([key.replace("_per_second", "/s"), *shown])
    training = values["details"]["training"][run]
    epochs = published["conditions"]["epochs"]
    pairs.append(
        ["epochs", f"{epochs:g}", f"{training['epochs']:g}", _ratio(training["epochs"], epochs)]
    )
    theirs = published_updates(published, corpus, int(length))
    if theirs is not None:
        updates = training["updates"]
        shown = [f"~ {number(theirs, 0)}", number(updates, 0), _ratio(updates, theirs)]
        pairs.append(["updates", *shown])
    sets = values["details"]["texts"].get("tokens", {})
    rows = published["conditions"]["rows"][corpus]
    if read := sets.get(f"{corpus}-{published['counts_as']['model']}"):
        ours = read["train"]["rows"]
        pairs.append(["training rows", number(rows, 0), number(ours, 0), _ratio(ours, rows)])
    return pairs


def _ratio(ours: float | None, published: float) -> str:
    return NOTHING if ours is None else number(ours / published, 3)
