"""Studies that were run once and are kept whole, each in results/PROFILE/.

A folder holds what the study's report wrote (metrics/, plots/, figures/, README.md), its
params.yaml and provenance.json: where it was computed, with what, and by which code. `make keep`
writes it.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, ValidationError

from reformer_seqlen.parameters.study import Study, load_study
from reformer_seqlen.reporting.metrics import Metrics
from reformer_seqlen.reporting.metrics_files import read_metrics
from reformer_seqlen.reporting.page import answer_paragraphs, page, paragraphs
from reformer_seqlen.reporting.records import Record
from reformer_seqlen.reporting.run_tables import headline
from reformer_seqlen.reporting.scores import bound_note
from reformer_seqlen.runtime.errors import StudyError, one_line
from reformer_seqlen.runtime.files import sha256_of
from reformer_seqlen.runtime.paths import FIGURES, METRICS, PARAMS, PLOTS, RESULTS

PROVENANCE = "provenance.json"
CONTENTS = {
    PARAMS: PARAMS,
    METRICS: METRICS,
    PLOTS: PLOTS,
    FIGURES: Path(FIGURES.name),
}
"""What is kept of a study: where the report writes it, and where it is in the folder. Its page is
written anew, without what is of no study."""


class Provenance(Record):
    """Where a kept study comes from.

    Attributes:
        profile: in conf/profile/.
        commit: of the code that computed it.
        seconds: inside training and scoring.
        packages: their versions.
        code: the sha256 of every module that decided a number.
    """

    profile: str
    commit: str
    processor: str
    threads: str
    torch: str
    seconds: float = Field(ge=0, allow_inf_nan=False)
    packages: dict[str, str]
    code: dict[str, str]


@dataclass(frozen=True)
class Kept:
    """A kept study.

    Attributes:
        folder: results/PROFILE.
        figures: the names of those that are drawn.
    """

    folder: Path
    study: Study
    values: Metrics
    figures: Collection[str]
    provenance: Provenance

    def page(self) -> str:
        """The text of its README.md."""
        return page(self.values, self.study.runs, self.study.profile, self.figures, None)

    def sections(self) -> dict[str, str]:
        """What README.md shows of it, under PROFILE-answer and PROFILE-headline."""
        name, runs = self.study.profile, self.study.runs
        figure = f"![answer]({(RESULTS / name / FIGURES.name / 'answer.svg').as_posix()})"
        found = answer_paragraphs(self.values, runs)
        parts = [*found, *bound_note([found]), self.origin()]
        return {
            f"{name}-answer": "\n\n".join(
                [*parts, *([figure] if "answer" in self.figures else [])]
            ),
            f"{name}-headline": "\n\n".join(paragraphs(headline(self.values, runs))),
        }

    def origin(self) -> str:
        """Which command makes it again, and how long that took where."""
        made, name = self.provenance, self.study.profile
        hours, minutes = divmod(round(made.seconds / 60), 60)
        return (
            f"This is the profile `{name}`, computed by the code of commit {made.commit[:10]} on "
            f"{made.processor}, {made.threads} threads, torch {made.torch}; training and scoring "
            f"took {hours}:{minutes:02} hours. `make repro PROFILE={name}` makes it again, and "
            "`make check` then compares."
        )

    def changed_code(self, root: Path) -> list[str]:
        """The modules that decided its numbers and are no longer what they were."""
        code = self.provenance.code.items()
        return [name for name, sha256 in code if _sha256(root / name) != sha256]


def _sha256(path: Path) -> str | None:
    return sha256_of(path) if path.is_file() else None


def kept_folders(root: Path = Path()) -> list[Path]:
    """The folders of kept studies, in the order of their names."""
    return sorted(path.parent for path in (root / RESULTS).glob(f"*/{PROVENANCE}"))


def read_kept(folder: Path) -> Kept:
    """A kept study.

    Raises:
        StudyError: a file of it is missing or broken.
    """
    path = folder / PROVENANCE
    try:
        provenance = Provenance.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise StudyError(
            f"{path} is not what `make keep` writes: `git checkout HEAD {path}` brings it back "
            f"({one_line(error)})"
        ) from error
    return Kept(
        folder=folder,
        study=load_study(folder / PARAMS),
        values=read_metrics(folder / METRICS),
        figures={path.stem for path in (folder / FIGURES.name).glob("*.svg")},
        provenance=provenance,
    )
