"""The metrics as tables, in the published study's layout: lengths down, corpora across.

Everything here is pure: metrics (what metrics/*.json hold) and the runs of params.yaml in, tables
out. `make check` counts on that: it makes the README's tables again from what is committed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

if TYPE_CHECKING:
    from stages.study.params import Run

Runs = Mapping[str, "Run"]
NOTHING = ""
INFINITE = "no number"
DIVERGED = " †"


@dataclass(frozen=True)
class Table:
    """One table, ready to be shown; `name` is its marker in the README."""

    name: str
    title: str
    headers: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)
    labels: int = 1
    """How many columns at the left are text; the others are numbers and stand at the right."""

    def _alignment(self) -> list[str]:
        return ["left" if i < self.labels else "right" for i in range(len(self.headers))]

    def _draw(self, rows: list[list[str]], style: str) -> str:
        return tabulate(
            rows, self.headers, tablefmt=style, disable_numparse=True, colalign=self._alignment()
        )

    def markdown(self) -> str:
        """The table and its notes as GitHub shows them."""
        if not self.rows:
            return "\n\n".join(self.notes)
        safe = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in self.rows]
        return "\n\n".join([self._draw(safe, "pipe"), *self.notes])

    def text(self) -> str:
        """The table and its notes for a terminal."""
        drawn = [self._draw(self.rows, "simple")] if self.rows else []
        return "\n".join([self.title, *drawn, *(f"  {note}" for note in self.notes)])


def number(value: float | None, digits: int = 2) -> str:
    """A number with thousands separated, nothing for none."""
    return NOTHING if value is None else f"{value:,.{digits}f}"


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss.ss, the way the published study shows them."""
    hundredths = round(seconds * 100)
    minutes, hundredths = divmod(hundredths, 6000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{hundredths / 100:05.2f}"


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
        return f"{number(strict)} → {number(published)} ({change:+.1f} %)"

    some = any(quality[name]["test_perplexity_published_lsh"] is not None for name in runs)
    title = "What peeking is worth: test perplexity of the same weights, strict → published rule"
    if some:
        return grid("peeking", title, runs, cell)
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
        "final training loss", "final validation loss", "best validation loss",
    ]  # fmt: skip
    rows = [
        [
            name,
            number(item["updates"], 0),
            f"{item['epochs']:g}",
            number(item["tokens_seen"], 0),
            number(item["parameters"], 0),
            number(item["position_parameters"], 0),
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


def _percent(value: float | None) -> str:
    return NOTHING if value is None else f"{value:+.2f} %"


MEMORY_COLUMNS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "positions": lambda row: str(row["positions"] or NOTHING),
    "allocations": lambda row: str(row["allocations"] or NOTHING),
    "device": lambda row: row["device"] or NOTHING,
    "batch size": lambda row: str(row["batch_size"]),
    "seq length": lambda row: str(row["sequence_length"]),
    "measured": lambda row: number(row["measured_mib"], 1),
    "predicted in use": lambda row: number(row["predicted_allocated_mib"], 1),
    "off by": lambda row: _percent(row["measured_error_percent"]),
    "predicted on a GPU": lambda row: number(row["predicted_mib"], 1),
    "published": lambda row: number(row["published_mib"], 0),
    "error": lambda row: _percent(row["error_percent"]),
}
"""A row of the memory table; the numbers are MiB."""
MEMORY_LABELS = ("positions", "allocations", "device")


def _memory_table(memory: Mapping[str, Any]) -> Table:
    """The published layout, a row per length; columns that no row fills are left out."""
    rows = memory.values()
    used = [title for title, cell in MEMORY_COLUMNS.items() if any(cell(row) for row in rows)]
    cells = [[row["model"], *(MEMORY_COLUMNS[title](row) for title in used)] for row in rows]
    labels = 1 + sum(title in MEMORY_LABELS for title in used)
    notes = _reasons(memory) if memory else ["No memory rows were asked for."]
    return Table("memory", "Inference memory, MiB", ["model", *used], cells, notes, labels)


def _reasons(memory: Mapping[str, Any]) -> list[str]:
    """Why rows lack a number, each reason once with the rows that it holds for."""
    reasons: dict[str, list[str]] = {}
    for name, row in memory.items():
        if row["why"]:
            reasons.setdefault(row["why"], []).append(name)
    return [f"{', '.join(names)}: {why}" for why, names in reasons.items()]


def result_tables(metrics: Mapping[str, Any], runs: Runs) -> list[Table]:
    """Every table of our own results, in the order in which they are best read."""
    return [
        *_quality_tables(metrics["quality"], runs),
        _peeking_table(metrics["quality"], runs),
        _training_table(metrics["training"], runs),
        *_timing_tables(metrics["timings"], metrics["machine"], runs),
        _kept_table(metrics["data"]["windows"], runs),
        _memory_table(metrics["memory"]),
        _models_table(metrics["models"]),
        _corpora_table(metrics["data"]["corpora"]),
    ]
