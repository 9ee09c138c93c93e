"""The tables of what went in: corpora, their pieces and windows, and the base models."""

from collections.abc import Mapping
from typing import Any

from reformer_seqlen.reporting.grid import NOT_YET, models_of
from reformer_seqlen.reporting.metrics import Metrics
from reformer_seqlen.reporting.points import Runs
from reformer_seqlen.reporting.table import NOTHING, Table, joined, number

SPLITS = ("train", "validation", "test")
MILLION = 1_000_000


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
    intro = "Bytes (documents) of each split."
    return Table("corpora", "Corpora", headers, rows, labels=2, intro=intro)


def _pieces_table(values: Metrics, runs: Runs) -> Table:
    """How much there is of every corpus under a tokenizer, and how much of it is unknown."""
    texts, scores = values["details"]["texts"], values["details"]["scores"]
    names: dict[tuple[str, str], list[str]] = {}
    for name, run in runs.items():
        names.setdefault((run.corpus, run.model), []).append(name)
    rows = []
    for place, found in names.items():
        name = next((name for name in found if name in scores), "")
        if not name:
            rows.append([*place, NOT_YET, *[NOTHING] * 4])
            continue
        tokens = [texts["windows"][name][split]["tokens"] for split in SPLITS]
        sizes = texts["corpora"].get(place[0], {"splits": {}})["splits"]
        size = sum(sizes[split]["bytes"] for split in SPLITS if split in sizes)
        per_piece = number(size / sum(tokens), 3) if len(sizes) == len(SPLITS) else NOTHING
        unknown = (scores[name][split]["unknown_rate"] for split in ("validation", "test"))
        rates = " / ".join(f"{100 * rate:.2f} %" for rate in unknown)
        rows.append([*place, *(number(count, 0) for count in tokens), per_piece, rates])
    headers = ["corpus", "model", *SPLITS, "bytes a piece", "unknown: validation / test"]
    intro = (
        "Pieces of each split, and the share of them that the tokenizer does not know. Unknown "
        "pieces make text look easier than it is."
    )
    return Table("pieces", "Pieces", headers, rows, labels=2, intro=intro)


def _kept_table(windows: Mapping[str, Any], runs: Runs) -> Table:
    policies = ("contiguous", "published")

    def cell(item: Mapping[str, Any], policy: str) -> str:
        kept, dropped = item[policy]["kept"], item[policy]["dropped"]
        share = 100 * kept / (kept + dropped) if kept + dropped else 0.0
        return f"{share:.1f} % (-{number(dropped, 0)})"

    rows = []
    for name in runs:
        if name not in windows:
            rows.append([name, NOT_YET, *[NOTHING] * 7])
            continue
        item = windows[name]
        cells = [cell(item[split], policy) for policy in policies for split in SPLITS]
        rows.append([name, item["policy"], number(item["train"]["tokens"], 0), *cells])
    columns = [f"{policy}: {split}" for policy in policies for split in SPLITS]
    headers = ["run", "trained on", "train tokens", *columns]
    intro = (
        "The share of each split's tokens that each way of cutting windows keeps, and how many it "
        "drops. Contiguous windows drop a split's tail alone, so every length sees the same text. "
        "The published way cuts rows into batches and drops each batch's remainder."
    )
    return Table("kept", "Tokens kept", headers, rows, labels=2, intro=intro)


def _origin(card: Mapping[str, Any]) -> str:
    if card["pretraining"]:
        seen, loss = (card["pretraining"].get(k) for k in ("tokens_seen", "validation_loss"))
        if not seen:
            return "made here: random weights"
        return f"made here: {number(seen, 0)} tokens, validation loss {number(loss, 2)} nats"
    if card["checkpoint"]:
        what, revision = (card["checkpoint"].get(key) for key in ("what", "revision"))
        return f"{what}, revision {revision}" if revision else str(what)
    return "random weights"


def _models_table(models: Mapping[str, Any]) -> Table:
    headers = [
        "model", "kind", "layers", "origin", "hidden", "heads", "vocabulary",
        "parameters", "position parameters", "without positions", "embeddings",
    ]  # fmt: skip
    rows = []
    for name, card in models.items():
        counts = card["parameters"]
        given = card["layers"]
        layers = str(given) if isinstance(given, int) else f"{len(given)}: {', '.join(given)}"
        shape = (card["hidden_size"], card["num_attention_heads"], card["vocabulary"])
        kinds = ("total", "position_table", "without_positions", "embeddings")
        sizes = (counts[kind] for kind in kinds)
        words = [name, card["model_type"], layers, _origin(card)]
        rows.append([*words, *(number(n, 0) for n in (*shape, *sizes))])
    intro = "Those that the runs start from."
    return Table("models", "Base models", headers, rows, labels=4, intro=intro)


def models_in_words(values: Metrics, runs: Runs) -> str:
    """How large the runs' models are and where they come from, in a sentence; nothing for none."""
    cards = values["details"]["models"]
    of_origin: dict[str, list[str]] = {}
    for name in models_of(runs):
        if name in cards:
            of_origin.setdefault(_origin(cards[name]), []).append(name)
    parts = []
    for origin, names in of_origin.items():
        millions = [number(cards[name]["parameters"]["total"] / MILLION, 1) for name in names]
        named = joined([f"`{name}`" for name in names])
        parts.append(f"{named} ({joined(millions)} million parameters; {origin})")
    several = sum(map(len, of_origin.values())) > 1
    return f"The model{'s are' if several else ' is'} {joined(parts)}." if parts else ""


def data_tables(values: Metrics, runs: Runs) -> list[Table]:
    """What went into the study."""
    details = values["details"]
    return [
        _corpora_table(details["texts"]["corpora"]),
        _pieces_table(values, runs),
        _kept_table(details["texts"]["windows"], runs),
        _models_table(details["models"]),
    ]
