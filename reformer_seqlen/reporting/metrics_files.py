"""The files of metrics/: written from a study's values, and read back as such.

A person or a merge may have changed them, so what is read is looked at.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from reformer_seqlen.reporting.metrics import Metrics
from reformer_seqlen.reporting.shapes import differing, shapes
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.files import read_json, whole_folder, write_json
from reformer_seqlen.runtime.paths import METRICS, RESULTS

FOLDERS = ("validation", "test", "memory", "details", "measured")
ALWAYS = {
    "details": ("scores", "counts", "differences", "training", "texts", "models", "memory"),
    "measured": ("timings", "memory", "machine"),
}
"""The files that every study has."""
KEYS = {
    "measured/machine": ("processor", "threads", "torch"),
    "measured/timings": ("pretrain", "finetune", "evaluate"),
    "details/texts": ("corpora", "windows"),
    "details/memory": ("rows", "gpus", "training"),
}
"""What these files always hold."""
FLAT = ("validation", "test", "memory")
"""Folders whose files hold numbers, and under `lb` a mark."""
SHAPES = "shapes"
"""The file in measured/ that says what all of them held when they were written."""
MEND = (
    "`python -m stages.report` writes it again from the results that are here, `git checkout HEAD` "
    "brings back the committed one"
)


def write_metrics(values: Metrics, folder: Path = METRICS) -> None:
    """Write the folder anew: files of runs that are no longer there are gone."""
    with whole_folder(folder) as partial:
        for kind, files in values.items():
            (partial / kind).mkdir()
            for name, value in files.items():
                write_json(partial / kind / f"{name}.json", value)
        write_json(partial / "measured" / f"{SHAPES}.json", shapes(values))


def read_metrics(folder: Path = METRICS) -> Metrics:
    """Read back what `write_metrics` wrote.

    Raises:
        StudyError: a file is missing, damaged or of another shape.
    """
    is_kept = folder.absolute().parent.parent.name == RESULTS.name
    mend = f"`git checkout HEAD {folder}` brings back what was kept" if is_kept else MEND
    lacks = mend if is_kept else "run `make repro`, which writes it"
    for kind, names in ALWAYS.items():
        for name in names:
            path = folder / kind / f"{name}.json"
            if not path.exists():
                raise StudyError(f"{path} is missing: {lacks}")
    values = {
        kind: {path.stem: read_json(path, mend) for path in sorted((folder / kind).glob("*.json"))}
        for kind in FOLDERS
    }
    written = values["measured"].pop(SHAPES, None)
    for kind, files in values.items():
        for name, value in files.items():
            path = folder / kind / f"{name}.json"
            _check(path, value, KEYS.get(f"{kind}/{name}", ()), mend)
            if kind in FLAT:
                _check_numbers(path, value, mend)
    details, timings = values["details"], values["measured"]["timings"]
    runs = sorted({*values["validation"], *values["test"]} - {*details["counts"]})
    for name, held in (
        ("details/scores", details["scores"]),
        ("details/training", details["training"]),
        ("details/texts", details["texts"]["windows"]),
        ("measured/timings", timings["finetune"]),
    ):
        _check(folder / f"{name}.json", held, runs, mend)
    if written is not None:  # a study that was kept long ago has none
        _check(folder / "measured" / f"{SHAPES}.json", written, (), mend)
        if found := differing(written, shapes(values)):
            raise StudyError(f"{folder / found[0]}.json {found[1]}: {mend}")
    return values


def _check(path: Path, value: Any, keys: Iterable[str], mend: str) -> None:
    """Refuse a file that lacks what every study has, as a merge by hand may leave it."""
    if not isinstance(value, Mapping):
        raise StudyError(f"{path} holds {value!r:.40}, not what the report writes: {mend}")
    lacking = [key for key in keys if key not in value]
    if lacking:
        raise StudyError(f"{path} lacks {', '.join(lacking[:5])}: {mend}")


def _check_numbers(path: Path, value: Mapping[str, Any], mend: str) -> None:
    """Refuse what is no number where the report writes one."""
    for key, item in value.items():
        if key != "lb" and not isinstance(item, int | float | None):
            raise StudyError(f"{path} holds {item!r:.40} as {key}, which is no number: {mend}")
