"""What `reformer-seqlen distribute` says before it submits: where stages run, what they need."""

from collections.abc import Collection, Mapping

from tabulate import tabulate

from reformer_seqlen.distribution.footprint import GIB, Footprint
from reformer_seqlen.pipeline.dag import Needs
from reformer_seqlen.pipeline.schedule import longest_ways
from reformer_seqlen.runtime.progress import duration

HEADERS = ["stages", "number", "where", "threads", "GiB", "GPUs", "time of each by plan"]


def table(found: Mapping[str, Footprint], here: Collection[str], there: str) -> str:
    """How many stages run where, and what each needs.

    Args:
        found: what each stage needs.
        here: those that run on this machine.
        there: where the others run, in words.
    """
    kinds: dict[tuple[str, bool], list[Footprint]] = {}
    for name, each in found.items():
        kinds.setdefault((name.partition("@")[0], name in here), []).append(each)
    rows = []
    for (kind, is_here), parts in kinds.items():
        times = sorted(part.seconds for part in parts if part.seconds is not None)
        memory = sorted(part.memory_bytes for part in parts)
        rows.append(
            [
                kind,
                str(len(parts)),
                "here" if is_here else there,
                _range([str(number) for number in sorted(part.threads for part in parts)]),
                _range([f"{size / GIB:.1f}" for size in memory]),
                _range([str(number) for number in sorted(part.gpus for part in parts)]),
                _range([duration(seconds) for seconds in times]) if times else "unknown",
            ]
        )
    align = ["left", "right", "left", *["right"] * 4]
    return tabulate(rows, HEADERS, disable_numparse=True, colalign=align)


def _range(ends: list[str]) -> str:
    return ends[0] if ends[0] == ends[-1] else f"{ends[0]} to {ends[-1]}"


def expected_seconds(needs: Needs, found: Mapping[str, Footprint], places: int) -> float | None:
    """How long it takes at best, the longest way or all over the workers; None if unknown."""
    times = {name: found[name].seconds for name in needs}
    known = {name: seconds for name, seconds in times.items() if seconds is not None}
    if len(known) < len(times):
        return None
    ways = longest_ways(needs, known.__getitem__)
    return max([sum(known.values()) / places, *ways.values()])
