"""What a study takes of a disk."""

from reformer_seqlen.parameters.study import Study
from reformer_seqlen.planning.disk import disk_bytes
from reformer_seqlen.planning.jobs import jobs


def test_disk_counts_models_twice_and_the_largest_checkpoints(paper: Study) -> None:
    todo = jobs(paper, None)
    none = disk_bytes(todo, {}, paper)
    assert disk_bytes(todo, {"ptb-256": 1000}, paper) == none + 2 * 4000 + 2 * 4000
