"""Which runs belong together: those of a line differ in length alone, those of a point in seed.

What sets a run apart is what it says over what holds for all runs. A run that says nothing is a
plain one; where a corpus has none of a model, those that most of its runs are like are the plain
ones.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reformer_seqlen.parameters.runs import Run

Runs = Mapping[str, "Run"]
"""The runs of params.yaml, by name."""
UNTRAINED = "not trained here"
SETS_NOTHING_APART = {
    "seed", "threads", "processes", "fsdp", "evaluations", "checkpoint_every_updates",
}  # fmt: skip
"""Of a training; the seed sets the runs of one point apart."""
AMOUNTS = {"updates", "tokens", "epochs", "tokens_per_update", "weight_decay"}
"""Of a training: how much of it there is, in how large steps, and how much it forgets, which the
same text needs more of the longer it is trained on."""


@dataclass(frozen=True)
class Point:
    """One row of a table, one point of a figure: runs that differ in their training seed alone.

    Attributes:
        variant: what they do otherwise than the plain runs, in words; empty for plain ones.
        names: of the runs, in their order in params.yaml.
        stride: of windows that overlap, in which they are scored; None for windows side by side.
    """

    corpus: str
    model: str
    variant: str
    sequence_length: int
    names: tuple[str, ...]
    stride: int | None

    @property
    def name(self) -> str:
        """The first run's, by which all that is known of the point is found."""
        return self.names[0]

    @property
    def label(self) -> str:
        """What its line is called beside others of its corpus."""
        return label(self.model, self.variant)


def label(model: str, variant: str) -> str:
    """What a line of points is called.

    Example: "small, epochs 3, batch size 4".
    """
    return f"{model}, {variant}" if variant else model


def variant(run: "Run") -> str:
    """What a run says over what holds for all runs, in words."""
    if not run.is_trained:
        return UNTRAINED
    return ", ".join(f"{key.replace('_', ' ')} {item}" for key, item in said_over(run).items())


def variants(runs: Runs) -> dict[str, str]:
    """What each run does otherwise than the plain ones of its corpus and model, in words.

    Nothing for a plain one.
    """
    groups: dict[tuple[str, str], list[str]] = {}
    for run in runs.values():
        if run.is_trained:
            groups.setdefault((run.corpus, run.model), []).append(variant(run))
    plain = {
        place: "" if "" in said else Counter(said).most_common(1)[0][0]
        for place, said in groups.items()
    }
    said_by = {name: variant(run) for name, run in runs.items()}
    return {
        name: "" if said_by[name] == plain.get((run.corpus, run.model)) else said_by[name]
        for name, run in runs.items()
    }


def said_over(run: "Run") -> dict[str, Any]:
    """What a run says over what holds for all runs, but for what sets nothing apart."""
    given = {} if isinstance(run.train, str) else run.train
    training = {key: item for key, item in given.items() if key not in SETS_NOTHING_APART}
    return {**run.chunk, **training, **run.options}


def labels(runs: Runs) -> dict[str, str]:
    """What the line of each run is called."""
    return {name: label(runs[name].model, said) for name, said in variants(runs).items()}


def points(runs: Runs, there: Collection[str] | None = None) -> list[Point]:
    """The points that runs make up, in the order of the runs.

    Args:
        runs: the runs of params.yaml.
        there: names of those that count; all without it.
    """
    groups: dict[tuple[Any, ...], list[str]] = {}
    said = variants(runs)
    for name, run in runs.items():
        if there is None or name in there:
            place = (run.corpus, run.model, said[name], run.sequence_length)
            groups.setdefault((*place, run.evaluate.get("stride")), []).append(name)
    found = []
    for (corpus, model, otherwise, length, stride), names in groups.items():
        trainings = [runs[name].train for name in names]
        seeds = {each.get("seed") for each in trainings if not isinstance(each, str)}
        parts = [names] if len(seeds) == len(names) else [[name] for name in names]
        found += [Point(corpus, model, otherwise, length, tuple(part), stride) for part in parts]
    return found


def first_shown(runs: Runs) -> Runs:
    """Without the lines that hold nothing but what is trained otherwise than a plain run.

    A line is kept as a whole where one of its points has no plain one of the same corpus, model and
    length beside it, or where it has several lengths and differs in AMOUNTS alone; and so are those
    that are not trained.
    """
    said = variants(runs)
    places = {name: (run.corpus, run.model, run.sequence_length) for name, run in runs.items()}
    plain = {place for name, place in places.items() if not said[name]}
    kept = {
        (run.corpus, run.model, said[name])
        for name, run in runs.items()
        if said[name] in ("", UNTRAINED) or places[name] not in plain
    }
    lengths: dict[tuple[str, str, str], set[int]] = {}
    for name in trained_more_or_less(runs):
        corpus, model, length = places[name]
        lengths.setdefault((corpus, model, said[name]), set()).add(length)
    kept |= {line for line, found in lengths.items() if len(found) > 1}
    return {n: run for n, run in runs.items() if (run.corpus, run.model, said[n]) in kept}


def shown_with_more_training(runs: Runs) -> Runs:
    """What is shown first, and what differs from plain runs in the amount of training alone.

    See AMOUNTS.
    """
    shown = {*first_shown(runs), *trained_more_or_less(runs)}
    return {name: run for name, run in runs.items() if name in shown}


def trained_more_or_less(runs: Runs) -> set[str]:
    """The runs that differ from the plain ones of their corpus and model in AMOUNTS alone."""
    said = variants(runs)
    plain = {
        (run.corpus, run.model): said_over(run)
        for name, run in runs.items()
        if run.is_trained and not said[name]
    }
    return {
        name
        for name, run in runs.items()
        if run.is_trained
        and said[name]
        and (like := plain.get((run.corpus, run.model))) is not None
        and _differing(said_over(run), like) <= AMOUNTS
    }


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> set[str]:
    return {key for key in {*one, *other} if one.get(key) != other.get(key)}
