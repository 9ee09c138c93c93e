"""Compare what was computed with what is committed: `make check`.

Metrics and the numbers of every figure are compared with git's HEAD. They must be the same bytes if
both were computed on the same processor, with the same threads and torch. Else they must be within
TOLERANCE, losses of updates in the mean over an epoch. Predicted memory must be the same
everywhere. Timings and measured memory are not compared. The README's tables must be what the
metrics give, params.yaml what its profile gives.
"""

import csv
import io
import json
import math
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from ruamel.yaml import YAML

from reformer_seqlen.parameters.profiles import compose
from reformer_seqlen.parameters.study import load_study
from reformer_seqlen.reporting import readme
from reformer_seqlen.reporting.metrics import read_metrics
from reformer_seqlen.reporting.report import readme_sections
from reformer_seqlen.runtime import console
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.paths import CONF, METRICS, PARAMS, PLOTS, README

TOLERANCE = 0.05
"""Relative; counts stay exact. Other processors round otherwise, and training carries that on: as
far as 1.6 % between AVX-512 and AVX2."""
SHOWN = 20
LONGEST = 120
"""Characters of a value that are shown."""
PROFILE_ADVICE = (
    f"\n{PARAMS} is not what its profile gives, and `dvc exp run` would make it of that again: "
    f"put the lines into {CONF}/profile/NAME.yaml, NAME being its `profile`, or into a profile of "
    "your own (the README says how)"
)
COMPARED = ("quality", "training", "data", "models", "memory", "memory_cards", "memory_training")
NOT_COMPARED = re.compile(r"measured|^device$|^why$")
"""Keys of a memory row that depend on the machine."""
PLACES = {
    "run": ("step",),
    "row": ("kind", "card", "quantity"),
    "curve": ("layers", "sequence_length"),
}
"""The first column of a CSV file, which says what a row is of, and those that tell rows apart."""
SPREAD = "_spread"
"""How the key of a spread ends; what it is a spread of has the key before that."""
Labels = tuple[str, str]
"""How to call the two values of a difference."""
OF_HEAD: Labels = ("committed", "computed")


class _Words(str):
    """Words in the place of a value, said without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


MISSING = _Words("nothing")


@dataclass(frozen=True)
class Difference:
    """One value that is not what it should be, and what is known of it in words."""

    file: str
    key: str
    what: str

    def __str__(self) -> str:
        return f"{self.file}: {self.key or 'all of it'}: {self.what}"


def _difference(file: str, key: str, pair: tuple[Any, Any], labels: Labels = OF_HEAD) -> Difference:
    what = (f"{label} {_short(value)}" for label, value in zip(labels, pair, strict=True))
    return Difference(file, key, ", ".join(what))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _equal(pair: tuple[Any, Any], tolerance: float, of: tuple[Any, Any]) -> bool:
    """Whether two values are equal; `of` is what numbers with a fraction are a spread of."""
    committed, computed = pair
    if committed == computed:
        return True
    if not tolerance or not (_is_number(committed) and _is_number(computed)):
        return False
    if isinstance(committed, int) and isinstance(computed, int):
        return False
    largest = max(abs(value) for value in (*pair, *of) if _is_number(value))
    return bool(abs(committed - computed) <= tolerance * largest)


def differences(
    file: str,
    committed: Any,
    computed: Any,
    tolerance: float,
    labels: Labels = OF_HEAD,
) -> Iterator[Difference]:
    """Every leaf of two nested objects that differs by more than `tolerance` (relative).

    Only numbers with a fraction have a tolerance: names, counts and yes or no must be equal. A
    spread is a small difference of what it is a spread of, so its tolerance is relative to that.
    """
    for key, pair, of in _leaves((committed, computed), (None, None)):
        if not _equal(pair, tolerance, of):
            yield _difference(file, key, pair, labels)


def _leaves(
    pair: tuple[Any, Any], of: tuple[Any, Any], key: str = ""
) -> Iterator[tuple[str, tuple[Any, Any], tuple[Any, Any]]]:
    """The leaves of two nested objects: key, both values, and what both are a spread of."""
    left, right = pair
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        for name in dict.fromkeys([*left, *right]):
            whole = str(name).removesuffix(SPREAD) if str(name).endswith(SPREAD) else None
            yield from _leaves(
                (left.get(name, MISSING), right.get(name, MISSING)),
                (left.get(whole), right.get(whole)),
                f"{key}.{name}" if key else str(name),
            )
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for i, items in enumerate(zip(left, right, strict=True)):
            yield from _leaves(items, (None, None), f"{key}[{i}]")
    else:
        yield key, pair, of


def _metric(text: str, name: str) -> Any:
    value = json.loads(text)
    if name != "memory":
        return value
    return {
        row: {key: item for key, item in fields.items() if not NOT_COMPARED.search(key)}
        for row, fields in value.items()
    }


def _metric_differences(
    path: Path, committed: str, computed: str, tolerance: float
) -> Iterator[Difference]:
    old, new = (_metric(text, path.stem) for text in (committed, computed))
    yield from differences(str(path), old, new, tolerance)


def _number(text: str) -> Any:
    """A CSV cell as what it says."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _curves_of(text: str) -> dict[str, dict[str, Any]]:
    """The rows of a CSV file, by the run (memory row, curve) that they are of and their place."""
    curves: dict[str, dict[str, Any]] = {}
    for row in csv.DictReader(io.StringIO(text)):
        if row.get("kind") != "measured":
            owner, *others = row
            columns = (column for column in PLACES.get(owner, others) if column in row)
            place = ", ".join(f"{column} {row[column]}" for column in columns)
            values = {key: _number(cell) for key, cell in row.items()}
            curves.setdefault(row[owner], {})[place] = values
    return curves


def _curve_differences(
    path: Path, committed: str, computed: str, tolerance: float
) -> Iterator[Difference]:
    """Rows that are new or missing are counted, the others are compared.

    With a tolerance those of an epoch are compared together.
    """
    old, new = _curves_of(committed), _curves_of(computed)
    for name in dict.fromkeys([*old, *new]):
        before, after = old.get(name, {}), new.get(name, {})
        for count, what in (
            (len(after.keys() - before), "new"),
            (len(before.keys() - after), "gone"),
        ):
            if count:
                rows = "1 row is" if count == 1 else f"{count} rows are"
                yield Difference(str(path), name, f"{rows} {what}")
        old_rows, new_rows = (
            {f"{name}, {place}": rows[place] for place in before if place in after}
            for rows in (before, after)
        )
        if tolerance:
            old_rows, new_rows = _by_epoch(name, old_rows), _by_epoch(name, new_rows)
        yield from differences(str(path), old_rows, new_rows, tolerance)


def _by_epoch(name: str, rows: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """A curve's rows without their losses, and the mean losses of its epochs.

    What one update loses depends much more on how a processor rounds than the mean does. Rows
    without an epoch stay as they are.
    """
    kept: dict[str, dict[str, Any]] = {}
    losses: dict[str, dict[str, list[Any]]] = {}
    for place, row in rows.items():
        of_epoch = [key for key in row if "epoch" in row and key.endswith("_loss")]
        kept[place] = {key: value for key, value in row.items() if key not in of_epoch}
        for key in of_epoch:
            epoch = f"{name}, epoch {math.ceil(row['epoch'])}"
            losses.setdefault(epoch, {}).setdefault(key, []).append(row[key])
    means = {
        epoch: {key: _mean(values) for key, values in found.items()}
        for epoch, found in losses.items()
    }
    return {**kept, **means}


def _mean(values: list[Any]) -> Any:
    """The mean of numbers; of others, as where a run diverged, the values as they are."""
    return fmean(values) if all(map(_is_number, values)) else values


def _compare_file(
    path: Path,
    texts: tuple[str | None, str | None],
    compare: Callable[[Path, str, str, float], Iterator[Difference]],
    tolerance: float,
) -> list[Difference]:
    committed, computed = texts
    if committed is None or computed is None:
        there = [MISSING if text is None else _Words("a file") for text in texts]
        return [_difference(str(path), "", (there[0], there[1]))]
    if committed == computed:
        return []
    found = list(compare(path, committed, computed, tolerance))
    if not found and not tolerance and path.stem != "memory":
        mend = "write it with `python -m stages.report`"
        return [Difference(str(path), "layout", f"same values, other bytes: {mend}")]
    return found


def _git(*arguments: str) -> str | None:
    """What git prints, None if it fails.

    Raises:
        StudyError: there is no git.
    """
    command = ["git", *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, encoding="utf-8"
        )
    except FileNotFoundError:
        raise StudyError("git is not installed, or not on PATH") from None
    return done.stdout if done.returncode == 0 else None


def committed_text(path: Path) -> str | None:
    """A file as HEAD has it, None if it has none."""
    return _git("show", f"HEAD:./{path.as_posix()}")


def _computed_text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def _curves() -> list[Path]:
    """The CSV files of HEAD and of the working tree."""
    listed = (_git("ls-tree", "-r", "--name-only", "HEAD", f"./{PLOTS}") or "").splitlines()
    committed = {Path(line) for line in listed if line.endswith(".csv")}
    return sorted(committed | set(PLOTS.rglob("*.csv")))


def machine_tolerance() -> tuple[float, str]:
    """The tolerance for what was computed here, and the reason for it, to be printed."""
    path = METRICS / "machine.json"
    texts = [committed_text(path), _computed_text(path)]
    committed, computed = (json.loads(text) if text else {} for text in texts)
    if committed and committed == computed:
        return 0.0, f"byte for byte: both were computed on {_machine(computed)}"
    return TOLERANCE, (
        f"within {TOLERANCE:.0%}: committed was computed on {_machine(committed)}, "
        f"here {_machine(computed)}"
    )


def _machine(machine: Mapping[str, str]) -> str:
    if not machine:
        return "an unknown machine"
    return f"{machine['processor']}, {machine['threads']} threads, torch {machine['torch']}"


def _is_of_memory(path: Path) -> bool:
    """Whether a file holds predictions of memory, which depend on no processor."""
    return path.stem.startswith("memory") or path.parent == PLOTS / "memory"


def compare_with_head(tolerance: float) -> list[Difference]:
    """Metrics and curves of the working tree against those of HEAD."""
    found = []
    files = [(METRICS / f"{name}.json", _metric_differences) for name in COMPARED]
    for path, compare in [*files, *((path, _curve_differences) for path in _curves())]:
        texts = (committed_text(path), _computed_text(path))
        found += _compare_file(path, texts, compare, 0.0 if _is_of_memory(path) else tolerance)
    return found


def compare_readme(root: Path = Path()) -> list[Difference]:
    """The README's sections against those made again from the metrics beside it."""
    path = root / README
    params = load_study(root / PARAMS)
    shown = readme.sections(path.read_text(encoding="utf-8"), str(path))
    made = readme_sections(read_metrics(root / METRICS), params.runs)
    return [
        difference
        for name, text in shown.items()
        for difference in _lines(path, name, text, made.get(name, MISSING))
    ]


def _lines(path: Path, name: str, shown: str, made: str) -> Iterator[Difference]:
    if shown != made:
        pairs = zip(shown.splitlines(), made.splitlines(), strict=False)
        first = next((pair for pair in pairs if pair[0] != pair[1]), (shown[-80:], made[-80:]))
        what = f"shows {first[0]!r}, the metrics give {first[1]!r}"
        yield Difference(str(path), f"section `{name}`", what)


def compare_profile(root: Path = Path()) -> list[Difference]:
    """params.yaml against the profile that it names.

    Raises:
        StudyError: there is no such profile.
    """
    values = YAML(typ="safe").load(root / PARAMS)
    profile = values["profile"]
    labels = (f"{PARAMS} has", f"profile {profile} has")
    return list(differences(str(PARAMS), values, compose(profile, root / CONF), 0.0, labels))


def main() -> None:
    """Compare, print what differs, and fail if anything does."""
    if _git("rev-parse", "HEAD") is None:
        raise StudyError("there is no commit to compare with: run this in the git repository")
    tolerance, reason = machine_tolerance()
    print(f"metrics and curves are compared with HEAD {reason}")
    print("timings and measured memory are not compared")
    profile = compare_profile()
    found = [*compare_with_head(tolerance), *compare_readme(), *profile]
    for difference in found[:SHOWN]:
        print(f"  {difference}")
    if found:
        more = f" (the first {SHOWN} are shown)" if len(found) > SHOWN else ""
        differ = "1 value differs" if len(found) == 1 else f"{len(found)} values differ"
        raise StudyError(f"{differ}{more}{PROFILE_ADVICE if profile else ''}")
    print("ok: metrics, curves, the README's tables and params.yaml are what they should be")


if __name__ == "__main__":
    console.run(main)
