"""Compare what was computed with what is committed: `make check`.

Metrics and the numbers of every figure are compared with git's HEAD, or with results/PROFILE/ where
the study of that profile is kept. They must be the same bytes if both were computed on the same
processor, with the same instructions, threads, torch and C library. Else they must be within
TOLERANCE, losses of updates in the mean over an epoch. Predicted memory must be the same
everywhere. Timings and measured memory are not compared. results/README.md and what README.md shows
of it must be what the metrics give, and params.yaml what its profile gives; README.md must have
every section that it has in HEAD, and no line that a merge leaves. The same is asked of every kept
study, and it is said where the code that decides numbers is no longer what computed it.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path

from reformer_seqlen.checking import head
from reformer_seqlen.checking.committed_readme import compare_with_committed
from reformer_seqlen.checking.curves import curve_differences
from reformer_seqlen.checking.differences import (
    MISSING,
    Difference,
    Words,
    difference,
    differences,
)
from reformer_seqlen.checking.profile import compare_profile
from reformer_seqlen.parameters.study import load_study
from reformer_seqlen.reporting import readme
from reformer_seqlen.reporting.gpu import read_cards
from reformer_seqlen.reporting.grid import not_computed
from reformer_seqlen.reporting.kept import PROVENANCE, Kept, kept_folders, read_kept
from reformer_seqlen.reporting.metrics import MACHINE, UNKNOWN
from reformer_seqlen.reporting.metrics_files import read_metrics
from reformer_seqlen.reporting.page import page, readme_sections
from reformer_seqlen.reporting.seeds import computed
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.files import parse_json, read_text
from reformer_seqlen.runtime.paths import (
    CONF,
    FIGURES,
    GPU_RESULTS,
    METRICS,
    PARAMS,
    PLOTS,
    README,
    REPORT,
    RESULTS,
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


def kept_reference() -> Path | None:
    """The folder in which the study of params.yaml is kept; None where it is not."""
    folder = RESULTS / load_study().profile
    return folder if folder in kept_folders() else None


def compare_results(tolerance: float, kept: Path | None = None) -> list[Difference]:
    """Metrics and curves of the working tree against those of HEAD, or of a kept study."""
    found = []
    for path in _compared(kept):
        exact = path.is_relative_to(METRICS / "memory") or path.stem.startswith("memory")
        found += _compare_file(path, 0.0 if exact else tolerance, kept)
    return found


def _compared(kept: Path | None) -> list[Path]:
    """The metrics and CSV files of both sides, but for those of measurements."""
    found = {path for folder in (METRICS, PLOTS) for path in folder.rglob("*")}
    for folder in (METRICS, PLOTS):
        if kept is None:
            found |= head.files_below(folder)
        else:
            found |= {path.relative_to(kept) for path in (kept / folder).rglob("*")}
    metrics = {path for path in found if path.suffix == ".json" and METRICS in path.parents}
    plots = {path for path in found if path.suffix == ".csv" and PLOTS in path.parents}
    computed = {path for path in metrics if not path.is_relative_to(MEASURED)}
    return [*sorted(computed), *sorted(plots - {TIMINGS})]


def _compare_file(path: Path, tolerance: float, kept: Path | None) -> list[Difference]:
    committed, computed = _committed_text(path, kept), _computed_text(path)
    if committed is None or computed is None:
        there = [MISSING if text is None else Words("a file") for text in (committed, computed)]
        return [difference(str(path), "", (there[0], there[1]))]
    if committed == computed:
        return []
    if path.suffix == ".csv":
        return list(curve_differences(str(path), committed, computed, tolerance))
    old = parse_json(committed, f"{kept or 'HEAD'}:{path}", MEND_REPORT)
    new = parse_json(computed, str(path), MEND_REPORT)
    found = list(differences(str(path), old, new, tolerance))
    if not found and not tolerance:
        return [Difference(str(path), "layout", f"same values, other bytes: {MEND_REPORT}")]
    return found


def _committed_text(path: Path, kept: Path | None) -> str | None:
    return head.text_of(path) if kept is None else _computed_text(kept / path)


def _computed_text(path: Path) -> str | None:
    return read_text(path, MEND_REPORT) if path.exists() else None


def machine_tolerance(kept: Path | None = None) -> tuple[float, str]:
    """The tolerance for what was computed here, and the reason for it, to be printed."""
    path = MEASURED / "machine.json"
    texts = [_committed_text(path, kept), _computed_text(path)]
    committed, computed = (
        parse_json(text, str(path), MEND_REPORT) if text else {} for text in texts
    )
    if (known := _deciding(committed)) and known == _deciding(computed):
        return 0.0, f"byte for byte: both were computed on {_machine(computed)}"
    return TOLERANCE, (
        f"within {TOLERANCE:.0%}: committed was computed on {_machine(committed)}, "
        f"here {_machine(computed)}"
    )


def _deciding(machine: Mapping[str, str]) -> dict[str, str] | None:
    """What decides the bytes that a machine computes; None where not all of it is known."""
    known = {key: machine.get(key, UNKNOWN) for key in MACHINE}
    return None if UNKNOWN in known.values() else known


def _machine(machine: Mapping[str, str]) -> str:
    if not machine:
        return "an unknown machine"
    known = {key: machine.get(key, UNKNOWN) for key in MACHINE}
    words = [
        str(known["processor"]),
        f"instructions {known['instruction_set']}",
        f"{known['threads']} threads",
        f"torch {known['torch']}",
        f"C library {known['libm']}",
    ]
    switches = known["switches"]
    return ", ".join([*words, *([] if switches in ("none", UNKNOWN) else [str(switches)])])


def compare_report(root: Path = Path()) -> list[Difference]:
    """The page of results and README.md's sections against the metrics beside them."""
    study, values = load_study(root / PARAMS), read_metrics(root / METRICS)
    figures = [path.stem for path in (root / FIGURES).glob("*.svg")]
    cards = read_cards(root / GPU_RESULTS)
    path = root / REPORT
    made = page(values, study.runs, study.profile, figures, cards)
    found = list(_lines(path, "", _computed_text(path) or MISSING, made))
    path, sections = root / README, readme_sections(values, study.runs, figures, cards)
    for kept in map(read_kept, kept_folders(root)):
        sections |= kept.sections()
    for name, text in readme.sections(_computed_text(path) or "", str(path)).items():
        section = f"section `{name}`"
        if name in sections:
            found += _lines(path, section, text, sections[name])
        else:
            found.append(Difference(str(path), section, "nothing fills it: remove its markers"))
    return found


def compare_kept(kept: Kept) -> list[Difference]:
    """A kept study's page against its metrics, its params.yaml against its profile, all with HEAD.

    One that was kept anew since then is another one. Its figures follow the code.
    """
    path, folder = kept.folder / REPORT.name, kept.folder
    page_differs = _lines(path, "", _computed_text(path) or MISSING, kept.page())
    found = [*page_differs, *compare_profile(folder / PARAMS)]
    provenance = folder / PROVENANCE
    if head.text_of(provenance) == _computed_text(provenance):
        numbers = {str(folder / part) for part in (METRICS, PLOTS)}
        lost = {str(it) for it in head.files_below(folder / FIGURES.name) if not it.exists()}
        for name in sorted({*head.changed(numbers), *lost}):
            why = f"is not what was kept: `git checkout HEAD {name}` brings it back"
            found.append(Difference(name, "", why))
    return found


def _say_what_changed(kept: Kept) -> None:
    """Whether the code is still the one that computed a kept study."""
    changed, name = kept.changed_code(Path()), kept.folder
    if not changed:
        print(f"{name}: the code that decides its numbers is what computed it")
        return
    shown = ", ".join(changed[:3]) + (", ..." if len(changed) > 3 else "")
    files = "1 file has" if len(changed) == 1 else f"{len(changed)} files have"
    print(
        f"{name}: of the code that decides its numbers, {files} changed since ({shown}); "
        f"`make repro PROFILE={name.name}` and `make keep` compute it anew"
    )


def _lines(path: Path, key: str, shown: str, made: str) -> Iterator[Difference]:
    """The first line that differs."""
    if shown != made:
        pairs = zip(shown.splitlines(), made.splitlines(), strict=False)
        first = next((pair for pair in pairs if pair[0] != pair[1]), (shown[-80:], made[-80:]))
        what = f"shows {first[0]!r}, the metrics give {first[1]!r}"
        yield Difference(str(path), key, f"{what}: {MEND_REPORT}")


def main() -> None:
    """Compare, print what differs, and fail if anything does."""
    if head.commit() is None:
        raise StudyError("there is no commit to compare with: run this in the git repository")
    report = [*compare_report(), *compare_with_committed()]
    profile = compare_profile()
    reference = kept_reference()
    tolerance, reason = machine_tolerance(reference)
    print(f"metrics and curves are compared with {reference or 'HEAD'} {reason}")
    print("timings and measured memory are not compared")
    found = [*compare_results(tolerance, reference), *report, *profile]
    for kept in map(read_kept, kept_folders()):
        found += compare_kept(kept)
        _say_what_changed(kept)
    runs = load_study().runs
    if missing := not_computed(runs, computed(read_metrics(), runs)):
        print(missing)
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
