"""The tables of what a GPU's benchmark found."""

from collections.abc import Iterable
from typing import Any

from reformer_seqlen.reporting.gpu import Card, name_of, place_of, rows_of
from reformer_seqlen.reporting.table import NOTHING, Table, number, percent

Row = dict[str, Any]
MODELS = ("ours", "stock", "gpt2", "llama")
CURVE_POINTS = 10
"""At most so many lines of a training's curves."""


def card_tables(card: Card) -> list[Table]:
    """All tables of a card; those without rows are of parts that did not get that far."""
    return [
        _parts(card),
        _errors(card),
        _checks(card),
        _rates(card),
        _speeds(card, "training"),
        _shares(card),
        _speeds(card, "evaluation"),
        _others(card),
        _steps(card),
        _kernels(card),
        _memory(card),
        _curves(card),
    ]


def _table(card: Card, name: str, title: str, headers: list[str], rows: list[list[str]],
           labels: int = 1, intro: str = "") -> Table:  # fmt: skip
    return Table(f"gpu-{name}", f"{name_of(card)}: {title}", headers, rows, [], labels, intro)


def _parts(card: Card) -> Table:
    rows = [
        [name, part["status"], number(part.get("seconds"), 1), *map(str, _counts(part["results"]))]
        for name, part in card.items()
    ]
    headers = ["part", "how it ended", "seconds", "results", "missing or wrong"]
    return _table(card, "parts", "the parts of the benchmark", headers, rows, 2)


def _counts(results: Row) -> tuple[int, int]:
    """How many rows a part has, and how many of them say why there is no result, or are wrong."""
    rows = [row for table in results.values() if isinstance(table, list) for row in table]
    return len(rows), sum("why" in row or row.get("passed") is False for row in rows)


def _verdict(passed: bool | None) -> str:
    return NOTHING if passed is None else "right" if passed else "**WRONG**"


def _errors(card: Card) -> Table:
    columns = ("logits_peak_error", "logits_mean_error", "gradients_peak_error",
               "gradients_mean_error", "other_buckets", "other_units")  # fmt: skip
    rows = [
        [
            place_of(row),
            row["precision"],
            row.get("why", _verdict(row.get("passed"))),
            *(_small(row.get(column)) for column in columns),
        ]
        for row in rows_of(card, "correctness", "errors")
    ]
    headers = ["model", "precision", "result", "logits, peak", "logits, mean", "gradients, peak",
               "gradients, mean", "other buckets", "other units"]  # fmt: skip
    intro = (
        "Errors against dense attention in float64 on the CPU, as shares of a tensor's largest "
        "number; both attend by the same buckets. `other buckets` is the share of the vectors that "
        "would have fallen into another one. `other units` is the share of the hidden units that "
        "relu would have switched otherwise; where it is given, both switch alike. Only float32 is "
        "judged."
    )
    return _table(card, "errors", "errors against float64", headers, rows, 3, intro)


def _small(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1e}" if value else "0"


def _checks(card: Card) -> Table:
    rows = [
        [
            row["check"],
            row["precision"],
            row.get("why", _verdict(row.get("passed"))),
            ", ".join(
                f"{name.replace('_', ' ')} {value if isinstance(value, str) else _fact(value)}"
                for name, value in row.items()
                if name not in ("check", "precision", "passed", "why")
            ),
        ]
        for row in rows_of(card, "correctness", "checks")
    ]
    headers = ["check", "precision", "result", "found"]
    return _table(card, "checks", "causality, generation and repeatability", headers, rows, 4)


def _fact(value: float | bool) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else _small(value)


def _rates(card: Card) -> Table:
    rates = card.get("speed", {}).get("results", {}).get("rates", {})
    rows = [
        [f"products in {name}" if name != "copy" else "copying", number(rate / 1e12, 2),
         "TFLOP/s" if name != "copy" else "TB/s, read and written"]
        for name, rate in rates.items()
    ]  # fmt: skip
    return _table(card, "rates", "what the card reaches", ["", "rate", "unit"], rows)


def _cells(rows: Iterable[Row]) -> dict[tuple[str, str], dict[str, Row]]:
    """Rows by their shape and precision, then by model."""
    cells: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        shape = f"{row['batch_size']} x {row['sequence_length']:,}"
        cells.setdefault((shape, row["precision"]), {})[row["model"]] = row
    return cells


def _speeds(card: Card, table: str) -> Table:
    rows = [
        [
            *place,
            *(number(_speed(models, name), 0) for name in MODELS),
            *(_times(models, name) for name in MODELS[1:]),
        ]
        for place, models in _cells(rows_of(card, "speed", table)).items()
    ]
    headers = ["batch", "precision", *MODELS, *(f"ours / {name}" for name in MODELS[1:])]
    intro = (
        "Tokens a second: this project's Reformer, transformers' own, and GPT-2 and Llama of the "
        "same depth and width with torch's attention. Models take turns; medians."
    )
    return _table(card, table, f"{table}, tokens a second", headers, rows, 2, intro)


def _speed(models: dict[str, Row], name: str) -> float | None:
    return models.get(name, {}).get("tokens_per_second")


def _times(models: dict[str, Row], name: str) -> str:
    ours, other = _speed(models, "ours"), _speed(models, name)
    return NOTHING if ours is None or other is None else number(ours / other, 2)


def _shares(card: Card) -> Table:
    rows = [
        [*place, *(_share(models.get(name, {})) for name in MODELS)]
        for place, models in _cells(rows_of(card, "speed", "training")).items()
    ]
    intro = (
        "A training step's share of what the card reaches: in matrix products / in copying. What "
        "operators read and write is counted for each by itself, though caches serve some of it, "
        "and causal attention as if it were not. Where both are small, the host or short kernels "
        "bind. Behind them is the kernel of torch's attention that ran."
    )
    headers = ["batch", "precision", *MODELS]
    return _table(card, "shares", "training, which limit binds", headers, rows, 2, intro)


def _share(row: Row) -> str:
    if "share_of_products" not in row:
        return str(row.get("why", NOTHING))
    kernel = "".join(f", {name.split('_attention')[0]}" for name in row.get("attention", [])[:1])
    return f"{row['share_of_products']:.0%} / {row['share_of_copy']:.0%}{kernel}"


def _others(card: Card) -> Table:
    training, compiled, generated = (
        rows_of(card, "speed", table) for table in ("training", "compiled", "generation")
    )
    rows = [
        *(
            ["training, deterministic kernels", "ours", *_rate_and_shares(row), NOTHING]
            for row in training
            if row["model"] == "ours, deterministic"
        ),
        *(
            [
                f"training with torch.compile, {row['batch_size']} x {row['sequence_length']:,}",
                row["model"],
                *_rate_and_shares(row),
                f"{row['times_as_fast']:.2f} times as fast as without, after "
                f"{row['compile_seconds']:.0f} s"
                if "times_as_fast" in row
                else NOTHING,
            ]
            for row in compiled
        ),
        *(["generation", row["model"], *_rate_and_shares(row), NOTHING] for row in generated),
    ]
    headers = ["what", "model", "tokens a second", "share of products / copying", "compiling"]
    intro = (
        "Training in bfloat16, where no batch is named at 16 x 2,048 tokens; generation continues "
        "one text in float32."
    )
    return _table(card, "others", "compiled, deterministic, generating", headers, rows, 2, intro)


def _rate_and_shares(row: Row) -> list[str]:
    return [number(row.get("tokens_per_second"), 0), _share(row)]


def _steps(card: Card) -> Table:
    rows = [
        [
            row["model"],
            number(_milliseconds(row), 2),
            f"{row['host_share']:.0%}" if "host_share" in row else row["why"],
            number(row.get("launches"), 0),
            number(row.get("synchronisations"), 1),
            ", ".join(f"{line} ({count})" for line, count in row.get("waiting_lines", {}).items()),
        ]
        for row in rows_of(card, "profile", "steps")
    ]
    headers = ["model", "milliseconds", "no kernel runs", "launches", "waits of the host",
               "at these lines"]  # fmt: skip
    intro = "A training step of 16 x 2,048 tokens in bfloat16."
    return _table(card, "steps", "profile of a training step", headers, rows, 1, intro)


def _milliseconds(row: Row) -> float | None:
    return None if "step_seconds" not in row else 1000 * row["step_seconds"]


def _kernels(card: Card) -> Table:
    rows = [
        [f"`{row['kernel'][:90]}`", number(row["calls"], 0), number(row["milliseconds"], 3),
         f"{row['share']:.0%}"]
        for row in rows_of(card, "profile", "kernels")
        if row["model"] == "ours"
    ]  # fmt: skip
    headers = ["kernel", "calls a step", "milliseconds a step", "share"]
    return _table(card, "kernels", "our ten longest kernels", headers, rows)


def _memory(card: Card) -> Table:
    columns = ("predicted_allocated_mib", "allocated_mib", "predicted_reserved_mib",
               "reserved_mib", "workspace_mib", "driver_mib", "context_mib")  # fmt: skip
    found = rows_of(card, "memory", "rows")
    errors = ("allocated_error_percent", "reserved_error_percent")
    rows = [
        [
            f"{row['row']}, {row['batch_size']} x {row['sequence_length']:,}",
            row["kind"],
            *(number(row.get(column), 0) for column in columns),
            *(percent(row.get(error)) for error in errors),
            row.get("why", NOTHING),
        ]
        for row in found
    ]
    headers = ["row", "kind", "allocated, predicted", "allocated", "reserved, predicted",
               "reserved", "of it cuBLAS's workspace", "driver", "context", "error of allocated",
               "error of reserved", "why not"]  # fmt: skip
    intro = "MiB. An error is by how much the prediction is above what was measured."
    context = card.get("memory", {}).get("results", {}).get("context")
    if context:
        intro += (
            f" A process holds {context['context_mib']:.0f} MiB of the card beside its tensors, "
            f"{context['context_with_products_mib']:.0f} MiB after a matrix product."
        )
    return _table(card, "memory", "memory, predicted and measured", headers, rows, 2, intro)


def _curves(card: Card) -> Table:
    rows = []
    for row in rows_of(card, "training", "curves"):
        points = row.get("points", [])
        step = max(1, -(-len(points) // CURVE_POINTS))
        rows += [
            [row["model"], number(p["seconds"], 1), number(p["updates"], 0),
             number(p["training_loss"], 3), number(p["validation_loss"], 3)]
            for p in points[::-1][::step][::-1]
        ]  # fmt: skip
    results = card.get("training", {}).get("results", {})
    text, setting = results.get("text", {}), results.get("setting", {})
    intro = (
        f"On {text.get('source')} ({number(text.get('pieces'), 0)} pieces), "
        f"{setting.get('batch_size')} x {number(setting.get('sequence_length'), 0)} tokens an "
        f"update in {setting.get('precision')}; losses in nats a piece."
        if setting
        else ""
    )
    headers = ["model", "seconds", "updates", "training loss", "validation loss"]
    return _table(card, "curves", "loss against time", headers, rows, 1, intro)
