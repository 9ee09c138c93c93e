"""Compare what was computed with what is committed: `make check`.

Metrics and the numbers of every figure are compared with git's HEAD. They must be the same bytes if
both were computed on the same processor, with the same threads and torch. Else they must be within
TOLERANCE, losses of updates in the mean over an epoch. Predicted memory must be the same
everywhere. Timings and measured memory are not compared. results/README.md and what README.md shows
of it must be what the metrics give, params.yaml what its profile gives.
"""

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path

from ruamel.yaml import YAML

from reformer_seqlen.checking import head
from reformer_seqlen.checking.curves import curve_differences
from reformer_seqlen.checking.differences import (
    MISSING,
    Difference,
    Words,
    difference,
    differences,
)
from reformer_seqlen.parameters.profiles import compose
from reformer_seqlen.parameters.study import load_study
from reformer_seqlen.reporting import readme
from reformer_seqlen.reporting.gpu import read_cards
from reformer_seqlen.reporting.metrics import read_metrics
from reformer_seqlen.reporting.page import page, readme_sections
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.paths import (
    CONF,
    FIGURES,
    GPU_RESULTS,
    METRICS,
    PARAMS,
    PLOTS,
    README,
    REPORT,
)

TOLERANCE = 0.05
"""Relative; counts stay exact. Other processors round otherwise, and training carries that on: as
far as 1.6 % between AVX-512 and AVX2."""
MEASURED = METRICS / "measured"
TIMINGS = PLOTS / "cost.csv"
SHOWN = 20
MEND_REPORT = "write it with `python -m stages.report`"
PROFILE_ADVICE = (
    f"\n{PARAMS} is not what its profile gives, and `dvc exp run` would make it of that again: "
    f"put the lines into {CONF}/profile/NAME.yaml, NAME being its `profile`, or into a profile of "
    "your own (the README says how)"
)


def compare_with_head(tolerance: float) -> list[Difference]:
    """Metrics and curves of the working tree against those of HEAD."""
    found = []
    for path in _compared():
        exact = path.is_relative_to(METRICS / "memory") or path.stem.startswith("memory")
        found += _compare_file(path, 0.0 if exact else tolerance)
    return found


def _compared() -> list[Path]:
    """The metrics and CSV files of HEAD and of the working tree, but for those of measurements."""
    metrics = head.files_below(METRICS) | set(METRICS.rglob("*.json"))
    plots = {path for path in head.files_below(PLOTS) if path.suffix == ".csv"}
    plots |= set(PLOTS.rglob("*.csv"))
    computed = {path for path in metrics if not path.is_relative_to(MEASURED)}
    return [*sorted(computed), *sorted(plots - {TIMINGS})]


def _compare_file(path: Path, tolerance: float) -> list[Difference]:
    committed, computed = head.text_of(path), _computed_text(path)
    if committed is None or computed is None:
        there = [MISSING if text is None else Words("a file") for text in (committed, computed)]
        return [difference(str(path), "", (there[0], there[1]))]
    if committed == computed:
        return []
    if path.suffix == ".csv":
        return list(curve_differences(str(path), committed, computed, tolerance))
    found = list(differences(str(path), json.loads(committed), json.loads(computed), tolerance))
    if not found and not tolerance:
        return [Difference(str(path), "layout", f"same values, other bytes: {MEND_REPORT}")]
    return found


def _computed_text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def machine_tolerance() -> tuple[float, str]:
    """The tolerance for what was computed here, and the reason for it, to be printed."""
    path = MEASURED / "machine.json"
    texts = [head.text_of(path), _computed_text(path)]
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


def compare_report(root: Path = Path()) -> list[Difference]:
    """The page of results and README.md's sections against the metrics beside them."""
    study, values = load_study(root / PARAMS), read_metrics(root / METRICS)
    figures = [path.stem for path in (root / FIGURES).glob("*.svg")]
    cards = read_cards(root / GPU_RESULTS)
    path = root / REPORT
    made = page(values, study.runs, study.profile, figures, cards)
    found = list(_lines(path, "", _computed_text(path) or MISSING, made))
    path, sections = root / README, readme_sections(values, study.runs, figures, cards)
    for name, text in readme.sections(_computed_text(path) or "", str(path)).items():
        found += _lines(path, f"section `{name}`", text, sections.get(name, MISSING))
    return found


def _lines(path: Path, key: str, shown: str, made: str) -> Iterator[Difference]:
    """The first line that differs."""
    if shown != made:
        pairs = zip(shown.splitlines(), made.splitlines(), strict=False)
        first = next((pair for pair in pairs if pair[0] != pair[1]), (shown[-80:], made[-80:]))
        what = f"shows {first[0]!r}, the metrics give {first[1]!r}"
        yield Difference(str(path), key, f"{what}: {MEND_REPORT}")


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
    if not head.is_there():
        raise StudyError("there is no commit to compare with: run this in the git repository")
    report, profile = compare_report(), compare_profile()
    tolerance, reason = machine_tolerance()
    print(f"metrics and curves are compared with HEAD {reason}")
    print("timings and measured memory are not compared")
    found = [*compare_with_head(tolerance), *report, *profile]
    for each in found[:SHOWN]:
        print(f"  {each}")
    if found:
        more = f" (the first {SHOWN} are shown)" if len(found) > SHOWN else ""
        differ = "1 value differs" if len(found) == 1 else f"{len(found)} values differ"
        raise StudyError(f"{differ}{more}{PROFILE_ADVICE if profile else ''}")
    print("ok: metrics, curves, the tables and params.yaml are what they should be")


def add_arguments(parser: ArgumentParser) -> None:
    """None: all of it is compared."""


def run(_: Namespace) -> None:
    """Compare."""
    main()
