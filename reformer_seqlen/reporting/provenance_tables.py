"""Where each result comes from: by which code, on what, with which seeds, from which texts."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from reformer_seqlen.reporting.metrics import Metrics
from reformer_seqlen.reporting.points import Runs
from reformer_seqlen.reporting.table import Table

COMMIT_DIGITS = 10
SUM_DIGITS = 12
STAGES = {"pretrain": "base", "finetune": "training", "evaluate": "scoring"}
"""What is said of which stage."""
PACKAGES = ("python", "torch", "transformers", "numpy")
Computed = Mapping[str, Any]
"""Where one stage's result was computed, and by which code."""


def provenance_table(values: Metrics, runs: Runs) -> Table:
    """A row for the results that agree in all of it; what all agree in stands below."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, cells in [*_runs(values, runs), *_counts(values), *_memory(values)]:
        groups.setdefault(cells, []).append(name)
    headers = ["commit", "versions", "processor", "instructions", "threads", "cores", "C library",
               "seeds", "sha256 of the text", "sha256 of the base"]  # fmt: skip
    said = [dict.fromkeys(filter(None, column)) for column in zip(*groups, strict=True)]
    differ = [i for i, found in enumerate(said) if len(found) > 1]
    shown = differ or range(len(headers))
    rows = [[", ".join(names), *(cells[i] for i in shown)] for cells, names in groups.items()]
    alike = [
        f"{headers[i]}: {cell}" for i, found in enumerate(said) if i not in shown for cell in found
    ]
    notes = [f"The same for all: {'; '.join(alike)}."] if alike else []
    if any("changed" in cells[0] for cells in groups):
        notes.append(
            "changed: code or params.yaml differed from the commit, which alone does not make the "
            "results again."
        )
    intro = (
        "What the results were computed by and on; where the base, the training and the scoring of "
        "a run differ, all are named. `metrics/measured/provenance.json` has every stage."
    )
    title = "Where the results come from"
    columns = ["results", *(headers[i] for i in shown)]
    return Table("provenance", title, columns, rows, notes, labels=len(columns), intro=intro)


def _runs(values: Metrics, runs: Runs) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The cells of each run of which something is known; older results say nothing."""
    known = values["measured"].get("provenance", {})
    for name, run in runs.items():
        names = {"pretrain": run.model, "finetune": name, "evaluate": name}
        found = {kind: known.get(kind, {}).get(names[kind]) for kind in STAGES}
        stages = {STAGES[kind]: computed for kind, computed in found.items() if computed}
        if not stages:
            continue
        seeds = ", ".join(f"{what} {it['seed']}" for what, it in stages.items() if "seed" in it)
        sum_of_base = _sum_of_the_base(values["details"]["models"].get(run.model, {}))
        text = _sums_of_the_text(values, run.corpus)
        yield name, (*_computed(stages.values()), seeds, text, sum_of_base)


def _counts(values: Metrics) -> Iterator[tuple[str, tuple[str, ...]]]:
    known = values["measured"].get("provenance", {}).get("count", {})
    for name, computed in known.items():
        text = _sums_of_the_text(values, values["details"]["counts"][name]["corpus"])
        yield name, (*_computed([computed]), "", text, "")


def _memory(values: Metrics) -> Iterator[tuple[str, tuple[str, ...]]]:
    known = values["measured"].get("provenance", {}).get("benchmark_memory", {})
    for name, computed in known.items():
        yield name, (*_computed([computed]), "", "", "")


def _computed(stages: Collection[Computed]) -> tuple[str, ...]:
    """By what, and on what."""
    return (
        _each(map(_commit, stages)),
        _each(", ".join(f"{key} {it[key]}" for key in PACKAGES if key in it) for it in stages),
        _each(it.get("processor", "") for it in stages),
        _each(map(_instructions, stages)),
        _each(str(it.get("threads", "")) for it in stages),
        _each(str(it.get("cores", "")) for it in stages),
        _each(it.get("libm", "") for it in stages),
    )


def _sums_of_the_text(values: Metrics, corpus: str) -> str:
    sources = values["details"]["texts"]["corpora"].get(corpus, {}).get("sources", [])
    return ", ".join(source["sha256"][:SUM_DIGITS] for source in sources)


def _sum_of_the_base(card: Mapping[str, Any]) -> str:
    """Of a checkpoint, or of the text that a base was made from, where its card says which."""
    if fetched := card.get("checkpoint"):
        return str(fetched["sha256"][:SUM_DIGITS])
    text = (card.get("pretraining") or {}).get("text")
    return f"made here from text {text['sha256'][:SUM_DIGITS]}" if text else "made here"


def _each(values: Iterable[str]) -> str:
    return " / ".join(dict.fromkeys(filter(None, values)))


def _commit(computed: Computed) -> str:
    name = computed.get("commit", "")[:COMMIT_DIGITS]
    return f"{name}, changed" if computed.get("dirty") else name


def _instructions(computed: Computed) -> str:
    """The instruction set, and the switches that are set."""
    switches = computed.get("switches", "none")
    said = [computed.get("instruction_set", ""), "" if switches == "none" else switches]
    return ", ".join(filter(None, said))
