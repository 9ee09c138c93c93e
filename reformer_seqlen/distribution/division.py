"""Which stages of a study workers run, and which this folder does."""

from collections.abc import Sequence
from dataclasses import dataclass

from reformer_seqlen.distribution.footprint import reads_this_machine
from reformer_seqlen.parameters.study import Study
from reformer_seqlen.pipeline.dag import Needs, all_needs, selected, stale_stages, with_dependents

REPORT = "report"
"""The stage that the collector runs: it writes what git keeps."""


@dataclass(frozen=True)
class Division:
    """Which stages run where.

    Attributes:
        needs: of all stages of the study.
        wanted: the stages that are to be up to date at the end and are not.
        unasked: the other stages that are not up to date.
        finished: those that workers have finished before.
        here: those that run in this folder first, and read files that workers may not have.
        there: those that workers run.
    """

    needs: Needs
    wanted: set[str]
    unasked: set[str]
    finished: set[str]
    here: set[str]
    there: set[str]


def divide(targets: Sequence[str], params: Study, finished: set[str]) -> Division:
    """Divide what is stale between this folder and the workers.

    Raises:
        StudyError: a target is no stage.
    """
    needs = all_needs()
    stale = with_dependents(stale_stages(), needs)
    wanted = stale & selected(targets or needs, needs)
    left = wanted - finished - {REPORT}
    reading = {name for name in left if reads_this_machine(name, params)}
    here = selected(reading, needs) & left
    return Division(needs, wanted, stale - wanted, finished & wanted, here, left - here)
