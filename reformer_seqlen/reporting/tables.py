"""The metrics as tables, in the published study's layout: lengths down, corpora across.

Everything here is pure: metrics (what metrics/*.json hold) and the runs of params.yaml in, tables
out. `make check` counts on that: it makes the README's tables again from what is committed.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from reformer_seqlen.reporting.memory_tables import memory_tables
from reformer_seqlen.reporting.table import NOTHING, Table, clock, number

if TYPE_CHECKING:
    from reformer_seqlen.parameters.runs import Run

Runs = Mapping[str, "Run"]
INFINITE = "no number"
DIVERGED = " †"


def corpora_of(runs: Runs) -> list[str]:
    """The corpora that the runs use, in the order of the runs."""
    return list(dict.fromkeys(run.corpus for run in runs.values()))


def lengths_of(runs: Runs) -> list[int]:
    """The sequence lengths that the runs use, shortest first."""
    return sorted({run.sequence_length for run in runs.values()})


def grid(
    name: str,
    title: str,
    runs: Runs,
    cell: Callable[[str], str],
    notes: list[str] | None = None,
) -> Table:
    """A table with a row per length (and model, where there are several), a column per corpus.

    Args:
        name: the table's marker.
        title: its title.
        runs: the runs of params.yaml.
        cell: makes what is shown of the run with this name.
        notes: what stands below.
    """
    corpora, models = corpora_of(runs), list(dict.fromkeys(run.model for run in runs.values()))
    several = len(models) > 1
    rows = []
    for model in models:
        for length in lengths_of({n: run for n, run in runs.items() if run.model == model}):
            cells = [_cell(runs, (corpus, model, length), cell) for corpus in corpora]
            rows.append([*([model] if several else []), str(length), *cells])
    headers = [*(["model"] if several else []), "seq len", *corpora]
    return Table(name, title, headers, rows, notes or [], labels=1 + several)


def _cell(runs: Runs, place: tuple[str, str, int], cell: Callable[[str], str]) -> str:
    names = [n for n, r in runs.items() if (r.corpus, r.model, r.sequence_length) == place]
    if len(names) == 1:
        return cell(names[0])
    return "; ".join(f"{cell(name)} ({name})" for name in names)


def _with_unigram(table: Table, runs: Runs, quality: Mapping[str, Any], key: str) -> Table:
    """The table with a last row: what a model without any context would score."""
    cells = []
    for corpus in corpora_of(runs):
        values = [quality[name][key] for name, run in runs.items() if run.corpus == corpus]
        low, high = number(min(values)), number(max(values))
        cells.append(low if low == high else f"{low} to {high}")
    labels = ["unigram", *[NOTHING] * (table.labels - 1)]
    return Table(
        table.name,
        table.title,
        table.headers,
        [*table.rows, [*labels, *cells]],
        table.notes,
        table.labels,
    )


def _quality_tables(quality: Mapping[str, Any], runs: Runs) -> list[Table]:
    mark = {name: DIVERGED if quality[name]["diverged"] else "" for name in runs}
    notes = ["† This run diverged: its last validation loss is well above its best."]
    notes = notes if any(mark.values()) else []

    def cell(key: str) -> Callable[[str], str]:
        return lambda name: (number(quality[name][key]) or INFINITE) + mark[name]

    def bits(name: str) -> str:
        values = (quality[name][f"{split}_bits_per_byte"] for split in ("validation", "test"))
        return " / ".join(number(value, 3) or INFINITE for value in values) + mark[name]

    validation = grid(
        "perplexity",
        "Evaluation perplexity (validation split, per piece; lower is better)",
        runs,
        cell("validation_perplexity"),
        notes,
    )
    test = grid(
        "perplexity-test",
        "Test perplexity (per piece; lower is better)",
        runs,
        cell("test_perplexity"),
        notes,
    )
    return [
        _with_unigram(validation, runs, quality, "unigram_perplexity"),
        _with_unigram(test, runs, quality, "test_unigram_perplexity"),
        grid("bits-per-byte", "Bits per byte, validation / test", runs, bits, notes),
    ]


def _peeking_table(quality: Mapping[str, Any], runs: Runs) -> Table:
    def cell(name: str) -> str:
        strict = quality[name]["test_perplexity"]
        published = quality[name]["test_perplexity_published_lsh"]
        if published is None or strict is None:
            return NOTHING
        change = 100 * (published - strict) / strict
        spread = 100 * quality[name]["test_perplexity_published_lsh_spread"] / 2 / strict
        return f"{number(strict)} → {number(published)} ({change:+z.1f} ± {spread:.1f} %)"

    some = any(quality[name]["test_perplexity_published_lsh"] is not None for name in runs)
    title = "What peeking is worth: test perplexity of the same weights, strict → published rule"
    if some:
        note = "± is half of the range over the hash draws, in each of which both rules hash alike."
        return grid("peeking", title, runs, cell, [note])
    return Table("peeking", title, [], [], ["No run was scored under both rules."])


def _timing_tables(
    timings: Mapping[str, Any], machine: Mapping[str, Any], runs: Runs
) -> list[Table]:
    where = (
        f"Measured on {machine['processor']}, {machine['threads']} threads, "
        f"torch {machine['torch']}."
    )

    def cell(key: str, digits: int) -> Callable[[str], str]:
        return lambda name: number(timings[name][key], digits)

    return [
        grid(
            "runtime",
            "Training runtime (h:mm:ss)",
            runs,
            lambda name: clock(timings[name]["runtime_seconds"]),
            [where],
        ),
        grid("speed", "Training speed (steps/s)", runs, cell("steps_per_second", 2)),
        grid("samples", "Sample speed (samples/s)", runs, cell("samples_per_second", 1)),
        grid("tokens", "Token speed (tokens/s)", runs, cell("tokens_per_second", 0)),
    ]


def _training_table(training: Mapping[str, Any], runs: Runs) -> Table:
    headers = [
        "run", "updates", "epochs", "tokens seen", "parameters", "of them positions",
        "hash buckets", "final training loss", "final validation loss", "best validation loss",
    ]  # fmt: skip
    rows = [
        [
            name,
            number(item["updates"], 0),
            f"{item['epochs']:g}",
            number(item["tokens_seen"], 0),
            number(item["parameters"], 0),
            number(item["position_parameters"], 0),
            number(item.get("hash_buckets"), 0),
            number(item["final_training_loss"], 3),
            number(item["final_validation_loss"], 3),
            number(item["best_validation_loss"], 3),
        ]
        for name, item in ((name, training[name]) for name in runs)
    ]
    return Table("training", "Training (losses in nats per piece)", headers, rows)


def _kept_table(windows: Mapping[str, Any], runs: Runs) -> Table:
    splits = ("train", "validation", "test")

    def cell(item: Mapping[str, Any], policy: str) -> str:
        kept, dropped = item[policy]["kept"], item[policy]["dropped"]
        share = 100 * kept / (kept + dropped) if kept + dropped else 0.0
        return f"{share:.1f} % (-{number(dropped, 0)})"

    headers = ["run", "trained on", "train tokens"]
    headers += [f"{policy}: {split}" for policy in ("contiguous", "published") for split in splits]
    rows = []
    for name in runs:
        item = windows[name]
        cells = [
            cell(item[split], policy) for policy in ("contiguous", "published") for split in splits
        ]
        rows.append([name, item["policy"], number(item["train"]["tokens"], 0), *cells])
    title = "Tokens kept under each policy (and how many are dropped)"
    return Table("kept", title, headers, rows, labels=2)


def _corpora_table(corpora: Mapping[str, Any]) -> Table:
    def cell(split: Mapping[str, Any]) -> str:
        return f"{number(split['bytes'], 0)} ({number(split['documents'], 0)})"

    splits = list(dict.fromkeys(split for item in corpora.values() for split in item["splits"]))
    rows = [
        [
            name,
            item["licence"],
            *(cell(item["splits"][s]) if s in item["splits"] else NOTHING for s in splits),
        ]
        for name, item in corpora.items()
    ]
    headers = ["corpus", "licence", *splits]
    return Table("corpora", "Corpora: bytes (documents) of each split", headers, rows, labels=2)


def _pieces_table(data: Mapping[str, Any], quality: Mapping[str, Any], runs: Runs) -> Table:
    """How much there is of every corpus under a tokenizer, and how much of it is unknown."""
    splits = ("train", "validation", "test")
    rows, seen = [], set()
    for name, run in runs.items():
        if (run.corpus, run.model) in seen:
            continue
        seen.add((run.corpus, run.model))
        tokens = [data["windows"][name][split]["tokens"] for split in splits]
        texts = data["corpora"].get(run.corpus, {"splits": {}})["splits"]
        size = sum(texts[split]["bytes"] for split in splits if split in texts)
        per_piece = number(size / sum(tokens), 3) if len(texts) == len(splits) else NOTHING
        unknown = [quality[name][f"{key}unknown_rate"] for key in ("", "test_")]
        rates = " / ".join(f"{100 * rate:.2f} %" for rate in unknown)
        rows.append([run.corpus, run.model, *(number(n, 0) for n in tokens), per_piece, rates])
    headers = ["corpus", "model", *splits, "bytes a piece", "unknown: validation / test"]
    return Table(
        "pieces", "Pieces of each split, and how many are unknown", headers, rows, labels=2
    )


def _origin(card: Mapping[str, Any]) -> str:
    if card["pretraining"]:
        seen, loss = (card["pretraining"].get(k) for k in ("tokens_seen", "validation_loss"))
        return f"made here: {number(seen, 0)} tokens, validation loss {number(loss, 2)} nats"
    if card["checkpoint"]:
        what, revision = (card["checkpoint"].get(key) for key in ("what", "revision"))
        return f"{what}, revision {revision}" if revision else str(what)
    return "random weights"


def _models_table(models: Mapping[str, Any]) -> Table:
    headers = [
        "model", "layers", "origin", "hidden", "heads", "vocabulary",
        "parameters", "of them positions", "without positions",
    ]  # fmt: skip
    rows = []
    for name, card in models.items():
        counts = card["parameters"]
        layers = f"{len(card['layers'])}: {', '.join(card['layers'])}"
        shape = (card["hidden_size"], card["num_attention_heads"], card["vocabulary"])
        sizes = (counts["total"], counts["position_table"], counts["without_positions"])
        rows.append([name, layers, _origin(card), *(number(n, 0) for n in (*shape, *sizes))])
    return Table("models", "Model cards: the base models", headers, rows, labels=3)


def result_tables(metrics: Mapping[str, Any], runs: Runs) -> list[Table]:
    """Every table of our own results, in the order in which they are best read."""
    return [
        *_quality_tables(metrics["quality"], runs),
        _peeking_table(metrics["quality"], runs),
        _training_table(metrics["training"], runs),
        *_timing_tables(metrics["timings"], metrics["machine"], runs),
        _kept_table(metrics["data"]["windows"], runs),
        *memory_tables(metrics),
        _models_table(metrics["models"]),
        _corpora_table(metrics["data"]["corpora"]),
        _pieces_table(metrics["data"], metrics["quality"], runs),
    ]
