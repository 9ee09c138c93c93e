"""Which runs can be told apart: differences of scores on the same text, with their intervals."""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

import numpy as np

from reformer_seqlen.reporting.grid import Runs
from reformer_seqlen.reporting.records import Blocks
from reformer_seqlen.scoring.uncertainty import difference


def comparable(runs: Runs) -> Iterator[tuple[str, str]]:
    """Pairs of runs of one corpus and model, the shorter first."""
    for one, other in combinations(runs, 2):
        a, b = runs[one], runs[other]
        if (a.corpus, a.model) == (b.corpus, b.model) and a.sequence_length != b.sequence_length:
            yield (one, other) if a.sequence_length < b.sequence_length else (other, one)


def differences(blocks: Mapping[str, Blocks], runs: Runs) -> dict[str, Any]:
    """By how much a longer run is above a shorter one, in bits per byte: by longer and shorter.

    Runs that were not scored on the same bytes, as under the published policy, are left out.
    """
    found: dict[str, Any] = {}
    for shorter, longer in comparable(runs):
        splits = {}
        for split, sums in blocks[longer].items():
            other = blocks[shorter][split]
            if np.array_equal(sums[:, 1], other[:, 1]):
                value, low, high = difference(sums, other)
                splits[split] = {"bits_per_byte": value, "low": low, "high": high}
        if splits:
            found.setdefault(longer, {})[shorter] = splits
    return found


def told_apart(found: Mapping[str, Any], longer: str, shorter: str, split: str) -> bool | None:
    """Whether a difference is larger than its uncertainty; None where it is not known."""
    interval = found.get(longer, {}).get(shorter, {}).get(split)
    if interval is None:
        return None
    return bool(interval["low"] > 0 or interval["high"] < 0)


def neighbour(runs: Runs, name: str) -> str | None:
    """The run of the same corpus and model that is the next shorter one."""
    shorter = [one for one, other in comparable(runs) if other == name]
    return max(shorter, key=lambda one: runs[one].sequence_length, default=None)
