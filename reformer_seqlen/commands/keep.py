"""Keep the study that is here whole, in results/PROFILE/: `make keep`.

For a study that takes long and is run once, such as `controlled`: its params.yaml, metrics,
curves, figures and page, and provenance.json, which says where it was computed and by which code.
README.md may show it under `results:PROFILE-answer`, and `make check` compares a new run of the
profile with it.
"""

import importlib.metadata
import shutil
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from reformer_seqlen.checking import head
from reformer_seqlen.checking.profile import compare_profile
from reformer_seqlen.parameters.study import load_study
from reformer_seqlen.pipeline import dag
from reformer_seqlen.reporting.kept import CONTENTS, PROVENANCE, Provenance, read_kept
from reformer_seqlen.reporting.metrics import Metrics
from reformer_seqlen.reporting.metrics_files import read_metrics
from reformer_seqlen.runtime.code import ROOT, deciding_modules
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.files import sha256_of, whole_folder, write_json
from reformer_seqlen.runtime.paths import CONF, PARAMS, REPORT, RESULTS

CODE = ("stages", "reformer_seqlen", "dvc.yaml", str(CONF))
"""What must be committed: the commit that is named has computed the study."""


def keep() -> Path:
    """Copy what the report wrote, and say where it comes from.

    Raises:
        StudyError: a stage is stale, the code is not committed, params.yaml is not its profile, or
            the folder holds something else.
    """
    commit = head.commit()
    if commit is None:
        raise StudyError("there is no commit: a kept study names the one that computed it")
    if changed := head.changed(CODE):
        raise StudyError(f"not committed: {', '.join(changed)}; commit first, then `make keep`")
    if different := compare_profile():
        raise StudyError(
            f"{PARAMS} is not what its profile gives, so nothing is kept: {different[0]}"
        )
    if stale := dag.stale_stages():
        raise StudyError(f"stale: {', '.join(sorted(stale))}; run `make repro` first")
    study, values = load_study(), read_metrics()
    target = RESULTS / study.profile
    if target.exists() and not (target / PROVENANCE).exists():
        raise StudyError(
            f"{target} holds something else than a kept study: give the profile another name than "
            f"`{study.profile}`"
        )
    with whole_folder(target) as folder:
        for source, name in CONTENTS.items():
            if source.is_dir():
                shutil.copytree(source, folder / name)
            else:
                shutil.copy(source, folder / name)
        made = Provenance.model_validate(_provenance(study.profile, commit, values))
        write_json(folder / PROVENANCE, made.model_dump())
        (folder / REPORT.name).write_text(read_kept(folder).page(), encoding="utf-8")
    return target


def _provenance(profile: str, commit: str, values: Metrics) -> dict[str, Any]:
    measured = values["measured"]
    timings = (each for kind in measured["timings"].values() for each in kind.values())
    return {
        "profile": profile,
        "commit": commit,
        **measured["machine"],
        "seconds": round(sum(each["runtime_seconds"] for each in timings), 1),
        "packages": _packages(),
        "code": {
            str(path.relative_to(ROOT)): sha256_of(path) for path in sorted(_deciding_modules())
        },
    }


def _packages() -> dict[str, str]:
    """The versions of the packages that this project names."""
    wanted = map(Requirement, importlib.metadata.requires("reformer-seqlen") or [])
    used = [each for each in wanted if not each.marker or each.marker.evaluate({"extra": "study"})]
    return {each.name: importlib.metadata.version(each.name) for each in used}


def _deciding_modules() -> set[Path]:
    """Of all stages but the report, which decides no number."""
    stages = {path for path in (ROOT / "stages").glob("*.py") if path.stem != "report"}
    return {module for stage in stages for module in deciding_modules(stage)}


def add_arguments(parser: ArgumentParser) -> None:
    """None: the study that is here is kept."""


def run(_: Namespace) -> None:
    """Keep the study."""
    folder = keep()
    print(
        f"kept in {folder}: commit it, with README.md once `python -m stages.report` has filled it"
    )
