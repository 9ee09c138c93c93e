"""The tables of the runs: what each length scored, and how it was trained.

Everything here is pure: metrics and the runs of params.yaml in, tables out.
"""

from collections.abc import Callable, Iterable, Mapping
from statistics import fmean
from typing import Any

from reformer_seqlen.reporting.differences import neighbour, told_apart
from reformer_seqlen.reporting.grid import NOT_YET, corpora_of, grid, models_of
from reformer_seqlen.reporting.metrics import Metrics
from reformer_seqlen.reporting.points import UNTRAINED, Runs, shown_with_more_training
from reformer_seqlen.reporting.scores import INFINITE, bound_note, shown_score
from reformer_seqlen.reporting.seeds import computed, score_of
from reformer_seqlen.reporting.table import NOTHING, Table, clock, number, significant, span

DIVERGED = " †"
DIVERGED_NOTE = (
    "† This run diverged: its last validation loss is well above its best, or its loss was no "
    "finite number, and its model is the last good one before that."
)
ALIKE = " ≈"
ALIKE_NOTE = (
    "≈ On the test text, this run can't be told from the next shorter one: the interval of their "
    "difference holds 0."
)
SPLITS = ("validation", "test")


def _marks(values: Metrics, runs: Runs) -> dict[str, str]:
    """The mark of every run that has been computed; only those that diverged have one."""
    training = values["details"]["training"]
    there = computed(values, runs)
    return {n: DIVERGED if training[n]["diverged"] else NOTHING for n in runs if n in there}


def _mark(marks: Mapping[str, str], names: Iterable[str]) -> str:
    return max((marks.get(name, NOTHING) for name in names), default=NOTHING)


def _marked(marks: Mapping[str, str], notes: list[str]) -> list[str]:
    return [*notes, DIVERGED_NOTE] if any(marks.values()) else notes


def machine_note(values: Metrics) -> str:
    """On what the timings were measured."""
    machine = values["measured"]["machine"]
    return f"Measured on {machine['processor']}, {threads(values)}, torch {machine['torch']}."


def threads(values: Metrics) -> str:
    """How many threads trained."""
    count = values["measured"]["machine"]["threads"]
    return f"{count} thread" if count == "1" else f"{count} threads"


def count_rows(
    values: Metrics, runs: Runs, labels: int, cell: Callable[[str], str]
) -> list[list[str]]:
    """Rows of a grid for what was counted: one for each order and text.

    Args:
        values: the metrics.
        runs: whose corpora are the columns.
        labels: how many columns are before them.
        cell: makes what is shown of the count with this name.
    """
    several = len({item["model"] for item in values["details"]["counts"].values()}) > 1
    rows: dict[str, dict[str, str]] = {}
    for name, item in values["details"]["counts"].items():
        rows.setdefault(label_of(item, several), {})[item["corpus"]] = cell(name)
    corpora = corpora_of(runs)
    return [
        [label, *[NOTHING] * (labels - 1), *(found.get(corpus, NOTHING) for corpus in corpora)]
        for label, found in rows.items()
    ]


def label_of(count: Mapping[str, Any], several: bool) -> str:
    """What an n-gram is called in tables and figures, with its tokenizer where there are several.

    Example: "5-gram, base text too".
    """
    name = "unigram" if count["order"] == 1 else f"{count['order']}-gram"
    text = "" if count["text"] == "own" else ", base text too"
    return f"{name}{text} ({count['model']})" if several else f"{name}{text}"


def _shown(values: Metrics, names: list[str]) -> str:
    return " / ".join(shown_score(score_of(values, names, split)) for split in SPLITS)


def _unlike(values: Metrics, runs: Runs, name: str) -> str:
    """A mark where a run's test score can't be told from that of the next shorter one."""
    shorter = neighbour(runs, name)
    if shorter is None:
        return NOTHING
    apart = told_apart(values["details"]["differences"], name, shorter, "test")
    return ALIKE if apart is False else NOTHING


def headline(values: Metrics, runs: Runs) -> Table:
    """Bits per byte, and beside it what each length cost.

    Runs that are trained otherwise than a plain one beside them are left out, unless they differ
    in the amount of training alone.
    """
    runs = shown_with_more_training(runs)
    marks = _marks(values, runs)
    training, timings = values["details"]["training"], values["measured"]["timings"]["finetune"]

    def cell(names: list[str]) -> str:
        return _shown(values, names) + _unlike(values, runs, names[0]) + _mark(marks, names)

    headers, rows, labels = grid(
        runs,
        marks,
        cell,
        {
            "updates": lambda names: _updates(training[name]["updates"] for name in names),
            "tokens a second": lambda names: span(
                (speed for name in names if (speed := timings[name]["tokens_per_second"])),
                show=significant,
            ),
        },
    )
    counted = count_rows(values, runs, labels, lambda name: _shown(values, [name]))
    rows += [[*row, *[NOTHING] * (len(headers) - len(row))] for row in counted]
    title = "Bits per byte and training speed"
    intro = (
        "Bits per byte of text, validation / test: lower is better. ± is half of a 95 % interval, "
        "from a bootstrap over documents or blocks of the text."
    )
    marked = [ALIKE_NOTE] if any(ALIKE in cell for row in rows for cell in row) else []
    marked += bound_note(rows)
    notes = _marked(marks, [*marked, *_model_notes(values, runs), machine_note(values)])
    return Table("headline", title, headers, rows, notes, labels, intro)


def _model_notes(values: Metrics, runs: Runs) -> list[str]:
    """What a reader must know of the models that are shown."""
    cards = values["details"]["models"]
    return [
        f"`{model}`: {cards[model]['note']}"
        for model in models_of(runs)
        if "note" in cards.get(model, {})
    ]


def _updates(updates: Iterable[int]) -> str:
    """How many, in words where there are none."""
    made = list(updates)
    return UNTRAINED if made and not any(made) else span(made)


def _perplexity_table(values: Metrics, runs: Runs) -> Table:
    marks, scores = _marks(values, runs), values["details"]["scores"]

    def cell(names: list[str]) -> str:
        found = (score_of(values, names, split).get("perplexity") for split in SPLITS)
        return " / ".join(number(value) or INFINITE for value in found) + _mark(marks, names)

    headers, rows, labels = grid(runs, marks, cell)
    intro = (
        "Validation / test, per piece of the tokenizer: lower is better, and not to be compared "
        "across tokenizers (bits per byte may be). `unigram` is the exact entropy of the split's "
        "own pieces: no model without context scores better, so a run above that line has learned "
        "nothing of use."
    )
    rows += count_rows(values, runs, labels, lambda name: cell([name]))
    rows += _unigram_rows(scores, runs, labels)
    return Table("perplexity", "Perplexity", headers, rows, _marked(marks, []), labels, intro)


def _unigram_rows(scores: Mapping[str, Any], runs: Runs, labels: int) -> list[list[str]]:
    """The entropy of the splits' pieces: a row for each way that tokenizers cut the texts."""

    def cell(corpus: str, model: str) -> str:
        names = [n for n, run in runs.items() if (run.corpus, run.model) == (corpus, model)]
        found = [scores[name] for name in names if name in scores]
        if not found:
            return NOT_YET if names else NOTHING
        return " / ".join(
            span((score[split]["unigram_perplexity"] for score in found), 2) for split in SPLITS
        )

    rows: dict[tuple[str, ...], list[str]] = {}
    for model in models_of(runs):
        cells = tuple(cell(corpus, model) for corpus in corpora_of(runs))
        rows.setdefault(cells, []).append(model)
    return [
        [
            "unigram" if len(rows) == 1 else f"unigram ({', '.join(models)})",
            *[NOTHING] * (labels - 1),
            *cells,
        ]
        for cells, models in rows.items()
    ]


def _peeking_table(values: Metrics, runs: Runs) -> Table:
    scores, keys = values["details"]["scores"], ("perplexity", "perplexity_published_lsh")

    def cell(names: list[str]) -> str:
        found = [scores[name]["test"] for name in names]
        if any(score[key] is None for score in found for key in keys):
            return NOTHING
        strict, published = (fmean(score[key] for score in found) for key in keys)
        change = f"{100 * (published - strict) / strict:+z.2f}"
        spreads = [score["perplexity_published_lsh_spread"] for score in found]
        if None not in spreads and all(score.get("hash_draws") != 1 for score in found):
            change += f" ± {100 * fmean(spreads) / 2 / strict:.2f}"
        return f"{number(strict)} → {number(published)} ({change} %)"

    there = {n for n in runs if n in scores and scores[n]["test"][keys[1]] is not None}
    shown = {n: run for n, run in runs.items() if n in there or n not in scores}
    headers, rows, labels = grid(shown, scores, cell)
    intro = (
        "The published model's lsh layers are not strictly causal: which earlier tokens a position "
        "sees depends on how later tokens hash. Here they are. The same weights, scored under both "
        "rules: test perplexity, strict → published. With two chunks the published rule sees all "
        "of the past and cannot peek; such a row shows what tokens of other buckets are worth."
    )
    draws = {scores[name]["test"].get("hash_draws", 1) for name in there}
    note = (
        f"± is half of the range over the hash draws ({span(draws)} of each run); in each draw, "
        "both rules hash alike."
    )
    if 1 in draws:
        note += " Where there is none, there was one draw, whose uncertainty is not known."
    title = "What peeking is worth"
    return Table("peeking", title, headers, rows if there else [], [note], labels, intro)


def _training_table(values: Metrics, runs: Runs) -> Table:
    columns: dict[str, tuple[str, Callable[[Any], str]]] = {
        "updates": ("updates", lambda value: number(value, 0)),
        "epochs": ("epochs", lambda value: f"{value:g}"),
        "tokens seen": ("tokens_seen", lambda value: number(value, 0)),
        "final training loss": ("final_training_loss", lambda value: number(value, 3)),
        "final validation loss": ("final_validation_loss", lambda value: number(value, 3)),
        "best validation loss": ("best_validation_loss", lambda value: number(value, 3)),
        "hash buckets": ("hash_buckets", lambda value: number(value, 0)),
        "parameters": ("parameters", lambda value: number(value, 0)),
        "position parameters": ("position_parameters", lambda value: number(value, 0)),
    }
    training = values["details"]["training"]

    def row(name: str) -> list[str]:
        if name not in training:
            return _not_yet(name, len(columns))
        cells = [show(training[name][key]) for key, show in columns.values()]
        trained = training[name]["updates"]
        return [name, *(cells if trained else [UNTRAINED, *[NOTHING] * 5, *cells[6:]])]

    intro = (
        "Losses are in nats per piece. Equal epochs are not equal updates: at the same batch size, "
        "a sequence 16 times longer means 16 times fewer updates in an epoch. Look at `updates` "
        "before you compare two lengths."
    )
    title = "How much each run was trained"
    return Table("training", title, ["run", *columns], [row(name) for name in runs], intro=intro)


def _not_yet(name: str, columns: int) -> list[str]:
    """The row of a run that has not been computed."""
    return [name, NOT_YET, *[NOTHING] * (columns - 1)]


def _speed_table(values: Metrics, runs: Runs) -> Table:
    timings = values["measured"]["timings"]["finetune"]

    def cell(names: list[str]) -> str:
        found = [timings[name] for name in names if timings[name]["tokens_per_second"]]
        if not found:
            return NOTHING
        speed, took = (
            fmean(each[key] for each in found) for key in ("tokens_per_second", "runtime_seconds")
        )
        return f"{significant(speed)} ({clock(took)})"

    headers, rows, labels = grid(runs, timings, cell)
    intro = "Tokens a second, and how long training took (h:mm:ss), evaluations included."
    notes = [machine_note(values)]
    return Table("speed", "How fast training is", headers, rows, notes, labels, intro)


def quality_tables(values: Metrics, runs: Runs) -> list[Table]:
    """What the runs scored."""
    return [_perplexity_table(values, runs), _peeking_table(values, runs)]


def training_tables(values: Metrics, runs: Runs) -> list[Table]:
    """How the runs were trained, and how fast."""
    return [_training_table(values, runs), _speed_table(values, runs)]
