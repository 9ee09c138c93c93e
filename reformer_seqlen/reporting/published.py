"""The published study's own numbers, and which results of ours are held against them.

The numbers are in published.json beside this file, with where they were copied from.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reformer_seqlen.runtime.files import read_json

PUBLISHED = Path(__file__).with_name("published.json")


def load_published() -> dict[str, Any]:
    """The published numbers and their provenance."""
    published: dict[str, Any] = read_json(PUBLISHED)
    return published


def seconds(text: str) -> float:
    """The seconds of a runtime written as h:mm:ss.ss."""
    hours, minutes, rest = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


def published_updates(published: Mapping[str, Any], corpus: str, length: int) -> float | None:
    """The updates that the study made: its runtime times its samples a second, over its batch.

    None where it printed no speed. The speeds are rounded: to 0.5 % at 256, to 10 % at 16384.
    """
    runtime = published["runtime"].get(corpus, {}).get(str(length))
    speed = published["speed"].get(str(length))
    if runtime is None or speed is None:
        return None
    return float(seconds(runtime) * speed["samples_per_second"] / published["memory"]["batch_size"])


def published_mib(published: Mapping[str, Any], row: Mapping[str, Any]) -> float | None:
    """What the study printed for the same inference as a memory row's, None if it printed none.

    A row is the same inference as a published one if its batch and length are equal and it has
    every value that the published row's `counts_as` gives.
    """
    memory = published["memory"]
    if row["batch_size"] != memory["batch_size"]:
        return None
    for line in memory["rows"]:
        if all(row[key] == value for key, value in line["counts_as"].items()):
            mib = line["mib"].get(str(row["sequence_length"]))
            return None if mib is None else float(mib)
    return None
