"""Where each result comes from: by which code, on what, with which seeds, from which texts."""

from collections.abc import Iterable, Mapping
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
    """A row for the runs that agree in all of it; what all runs agree in stands below."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in runs:
        if stages := _stages(values, name, runs[name].model):
            groups.setdefault(_cells(values, runs, name, stages), []).append(name)
    headers = ["commit", "versions", "processor", "instructions", "threads", "cores", "C library",
               "seeds", "sha256 of the text", "sha256 of the base"]  # fmt: skip
    differ = [i for i in range(len(headers)) if len({cells[i] for cells in groups}) > 1]
    shown = differ or range(len(headers))
    rows = [[", ".join(names), *(cells[i] for i in shown)] for cells, names in groups.items()]
    first = next(iter(groups), ())
    alike = [f"{headers[i]} {cell}" for i, cell in enumerate(first) if cell and i not in shown]
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
    columns = ["runs", *(headers[i] for i in shown)]
    return Table("provenance", title, columns, rows, notes, labels=len(columns), intro=intro)


def _stages(values: Metrics, run: str, model: str) -> dict[str, Computed]:
    """What is known of the stages that made a run, by what they made; nothing of older results."""
    known = values["measured"].get("provenance", {})
    names = {"pretrain": model, "finetune": run, "evaluate": run}
    found = {kind: known.get(kind, {}).get(names[kind]) for kind in STAGES}
    return {STAGES[kind]: computed for kind, computed in found.items() if computed}


def _cells(
    values: Metrics, runs: Runs, name: str, stages: Mapping[str, Computed]
) -> tuple[str, ...]:
    each = stages.values()
    seeds = [f"{what} {it['seed']}" for what, it in stages.items() if "seed" in it]
    details = values["details"]
    sources = details["texts"]["corpora"].get(runs[name].corpus, {}).get("sources", [])
    base = details["models"].get(runs[name].model, {}).get("checkpoint") or {}
    sums = [source["sha256"] for source in sources]
    return (
        _each(map(_commit, each)),
        _each(", ".join(f"{key} {it[key]}" for key in PACKAGES if key in it) for it in each),
        _each(it.get("processor", "") for it in each),
        _each(map(_instructions, each)),
        _each(str(it.get("threads", "")) for it in each),
        _each(str(it.get("cores", "")) for it in each),
        _each(it.get("libm", "") for it in each),
        ", ".join(seeds),
        ", ".join(sum_[:SUM_DIGITS] for sum_ in sums),
        base.get("sha256", "")[:SUM_DIGITS] or "made here",
    )


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
