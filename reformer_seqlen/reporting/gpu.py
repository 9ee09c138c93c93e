"""What `python -m benchmarks.gpu` found on GPUs, and the lines that say it in short.

A card's results are the JSON files of the parts that ran there, in results/gpu/CARD.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from reformer_seqlen.reporting.table import number
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.files import read_json

Card = Mapping[str, Mapping[str, Any]]
"""The content of each part's file, by the part's name."""
PARTS = ("correctness", "speed", "profile", "memory", "training")
MEND = "delete it, or run `python -m benchmarks.gpu` again"
NOT_MEASURED = (
    "**Not measured on a GPU.** The same code runs there, and nothing of it was measured; "
    "`python -m benchmarks.gpu` does that on a machine that has one."
)
BESIDE = {"stock": "transformers' Reformer", "gpt2": "GPT-2", "llama": "Llama"}
"""The models that ours is held against, and what they are called."""
SHOWN = ((16, 2048), (4, 16384), (1, 65536))
"""Batch size and length of the training speeds that the summary gives, in bfloat16."""


def read_card(folder: Path) -> Card:
    """The results of the parts that ran on a card.

    Raises:
        StudyError: a file is not one that the benchmark wrote.
    """
    return {name: _read(folder / f"{name}.json") for name in PARTS if _is_there(folder, name)}


def read_cards(folder: Path) -> list[Card]:
    """The results of every card, in the order of their folders' names.

    Raises:
        StudyError: as `read_card`.
    """
    found = [read_card(path) for path in sorted(folder.glob("*/"))]
    return [card for card in found if card]


def _is_there(folder: Path, part: str) -> bool:
    return (folder / f"{part}.json").is_file()


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = read_json(path, MEND)
    keys = content.keys() if isinstance(content, Mapping) else set()
    if missing := {"part", "card", "versions", "status", "results"} - keys:
        raise StudyError(
            f"{path} is not a result of `python -m benchmarks.gpu`: it has no "
            f"{', '.join(sorted(missing))}: {MEND}"
        )
    return content


def name_of(card: Card) -> str:
    """What a card is called."""
    return str(next(iter(card.values()))["card"])


def summary(cards: list[Card]) -> str:
    """What is known of GPUs, in short, as Markdown: a paragraph for each card."""
    if not cards:
        return NOT_MEASURED
    return "\n\n".join(" ".join(_sentences(card)) for card in cards)


def _sentences(card: Card) -> Iterator[str]:
    head = next(iter(card.values()))
    driver, commit = head.get("driver"), head.get("commit")
    facts = [
        *([f"driver {driver}"] if driver else []),
        *(f"{name} {head['versions'][name]}" for name in ("torch", "transformers")),
        *([f"commit {commit[:7]}"] if commit else []),
    ]
    yield f"**Measured on {name_of(card)}** ({', '.join(facts)})."
    yield from filter(None, _found(card))


def _found(card: Card) -> Iterator[str]:
    bad = {name: part["status"] for name, part in card.items() if part["status"] != "complete"}
    if bad:
        ends = "; ".join(f"{name} {status}" for name, status in bad.items())
        yield f"Not every part ended well: {ends}."
    yield _correct(rows_of(card, "correctness", "errors") + rows_of(card, "correctness", "checks"))
    for batch_size, length in SHOWN:
        yield _trained(rows_of(card, "speed", "training"), batch_size, length)
    yield _predicted(rows_of(card, "memory", "rows"))
    yield _learned(rows_of(card, "training", "curves"))


def rows_of(card: Card, part: str, table: str) -> list[dict[str, Any]]:
    """The rows of one of a part's tables; none where the part did not get that far."""
    rows: list[dict[str, Any]] = card.get(part, {}).get("results", {}).get(table, [])
    return rows


def _correct(rows: list[dict[str, Any]]) -> str:
    """How many of the checks are right; a row that is not judged is none."""
    judged = [row for row in rows if row.get("passed") is not None or "why" in row]
    right = sum(bool(row.get("passed")) for row in judged)
    if not judged:
        return ""
    wrong = [place_of(row) for row in judged if not row.get("passed")]
    not_right = f"; not: {'; '.join(wrong)}" if wrong else ""
    return f"Right: {right} of {len(judged)} checks, most of them against float64{not_right}."


def place_of(row: Mapping[str, Any]) -> str:
    """What a row of the correctness checked: a check's name, or a model."""
    if "check" in row:
        return str(row["check"])
    parts = [
        f"layers {row['layers']}, {row['lsh_causality']}, hash rounds {row['rounds']}",
        *(["padded"] if row["padding"] else []),
        f"{row['positions']} positions",
        *(["recomputing"] if row["reversible"] == "on" else []),
    ]
    return ", ".join(parts)


def _trained(rows: list[dict[str, Any]], batch_size: int, length: int) -> str:
    speeds = {
        row["model"]: row["tokens_per_second"]
        for row in rows
        if (row["batch_size"], row["sequence_length"]) == (batch_size, length)
        and row["precision"] == "bfloat16"
        and "tokens_per_second" in row
    }
    if "ours" not in speeds:
        return ""
    beside = [
        f"{speeds['ours'] / speeds[name]:.2f} times {words}"
        for name, words in BESIDE.items()
        if name in speeds
    ]
    begin = f"Training at {batch_size} x {length:,} tokens in bfloat16: "
    return begin + ", ".join([f"{speeds['ours']:,} tokens a second", *beside]) + "."


def _predicted(rows: list[dict[str, Any]]) -> str:
    measured = [row for row in rows if "reserved_error_percent" in row]
    if not measured:
        return ""
    wrong = [row for row in measured if row["reserved_error_percent"]]
    text = (
        "Reserved memory is predicted to the MiB in "
        f"{len(measured) - len(wrong)} of {len(measured)} runs"
    )
    if not wrong:
        return f"{text}."
    worst = max(wrong, key=lambda row: abs(row["reserved_error_percent"]))
    error = worst["reserved_error_percent"]
    return (
        f"{text}, and at most {number(abs(error), 1)} % too {'low' if error < 0 else 'high'} "
        f"({worst['row']}, {worst['batch_size']} x {worst['sequence_length']:,}, {worst['kind']})."
    )


def _learned(rows: list[dict[str, Any]]) -> str:
    ends = [
        f"{row['model']} {number(row['points'][-1]['validation_loss'], 3)}"
        f" after {row['points'][-1]['seconds']:.0f} s"
        for row in rows
        if row.get("points")
    ]
    return f"Validation loss of a short training, nats a piece: {', '.join(ends)}." if ends else ""
