"""What a changed line of code or of params.yaml makes stale, by DVC's own word."""

from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo

from tests.conftest import Project

pytestmark = pytest.mark.slow

RUNS = ("news-64", "news-256")
ALL_RUNS_OF = {
    verb: {f"{verb}@{run}" for run in RUNS} for verb in ("chunk", "finetune", "evaluate")
}
COUNTS = {"count@news-3gram", "count@news-3gram-all"}
TRAINS = {"pretrain@tiny", *ALL_RUNS_OF["finetune"]}
USES_THE_MODEL = TRAINS | ALL_RUNS_OF["evaluate"]


@pytest.fixture(scope="module")
def finished(smoke: Project) -> Project:
    """The smoke study, of which nothing is stale."""
    assert stale(smoke) == set()
    return smoke


def stale(project: Project) -> set[str]:
    """The stages that `dvc status` lists because of a changed dependency or output."""
    with chdir(project.root), Repo() as repo:
        return set(repo.status())


def after(project: Project, file: str, change: Callable[[str], str]) -> set[str]:
    """What is stale after a change of a file, which is taken back."""
    path = project.root / file
    before = path.read_text(encoding="utf-8")
    changed = change(before)
    assert changed != before, f"{file} no longer has what this test changes"
    try:
        path.write_text(changed, encoding="utf-8")
        return stale(project)
    finally:
        path.write_text(before, encoding="utf-8")


def replacing(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("runtime/messages/text.py", "too few for one window", "not enough for a window"),
        ("runtime/messages/parameters.py", "is not a valid study", "can't be studied"),
        ("runtime/console.py", "interrupted: ", "stopped: "),
        ("runtime/progress.py", "leave=False", "leave=True"),
        ("runtime/files.py", ".partial", ".unfinished"),
        ("runtime/heap.py", "32 * 2**20", "16 * 2**20"),
        ("commands/stage.py", "a key of", "one of"),
    ],
)
def test_what_only_talks_makes_nothing_stale(
    finished: Project, file: str, old: str, new: str
) -> None:
    assert after(finished, f"reformer_seqlen/{file}", replacing(old, new)) == set()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("run_tables.py", "updates", "steps"),
        ("table.py", '"pipe"', '"github"'),
        ("templates/answer.json", "#0072B2", "#000000"),
    ],
    ids=["a column", "the layout", "a colour"],
)
def test_what_only_shows_results_makes_the_report_alone_stale(
    finished: Project, file: str, old: str, new: str
) -> None:
    changed = after(finished, f"reformer_seqlen/reporting/{file}", replacing(old, new))
    assert changed == {"report"}


@pytest.mark.parametrize(
    ("file", "old", "new", "chains"),
    [
        ("reformer/hashing.py", "< 0", "> 0", USES_THE_MODEL),
        ("parameters/training.py", "weight_decay: Annotated[float, Field(ge=0, le=1e6)] = 0.01",
         "weight_decay: Annotated[float, Field(ge=0, le=1e6)] = 0.02", TRAINS),
        ("parameters/evaluation.py", "BatchSize = 16", "BatchSize = 8", ALL_RUNS_OF["evaluate"]),
        ("scoring/uncertainty.py", "math.log(2)", "math.log(10)",
         ALL_RUNS_OF["evaluate"] | COUNTS),
        ("counting/kneser_ney.py", "0.5, 1.0", "0.4, 1.0", COUNTS),
        ("training/arguments.py", "logging_steps=1", "logging_steps=2", TRAINS),
        ("text/chunking.py", "PUBLISHED_SHARDS = 4", "PUBLISHED_SHARDS = 8",
         {"pretrain@tiny", *ALL_RUNS_OF["chunk"], *ALL_RUNS_OF["evaluate"]}),
        ("text/documents.py", '"file:", ', "", {"download@news", "pretrain@tiny"}),
        ("memory/allocator.py", "MINIMUM_BLOCK = 512", "MINIMUM_BLOCK = 256", {"benchmark_memory"}),
    ],
)  # fmt: skip
def test_what_decides_a_number_makes_the_chains_stale_that_use_it(
    finished: Project, file: str, old: str, new: str, chains: set[str]
) -> None:
    changed = after(finished, f"reformer_seqlen/{file}", replacing(old, new))
    assert changed - {"report"} == chains


def test_what_only_a_table_needs_retrains_nothing(own_smoke: Project) -> None:
    def change(values: Any) -> None:
        values["report"]["diverged_above_best_nats"] = 0.5

    own_smoke.change_params(change)
    assert own_smoke.would_run() == ["report"]


def test_a_run_may_be_scored_otherwise_without_training_it_again(own_smoke: Project) -> None:
    """As CONTRIBUTING.md says, of this run."""
    contributing = (own_smoke.root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert "dvc commit -f chunk@news-512 finetune@news-512 && make repro" in contributing
    own_smoke.change_params(lambda it: it["runs"]["news-256"].update(evaluate={"contexts": [64]}))
    run = ["chunk@news-256", "finetune@news-256", "evaluate@news-256"]
    assert own_smoke.would_run() == [*run, "report"]
    own_smoke.dvc("commit", "-f", *run[:2])
    assert own_smoke.would_run() == [run[2], "report"]


def test_an_edit_that_changes_no_number_can_be_accepted(own_smoke: Project) -> None:
    path = own_smoke.root / "reformer_seqlen/reformer/hashing.py"
    path.write_text(path.read_text(encoding="utf-8") + "\n# the same\n", encoding="utf-8")
    assert stale(own_smoke) == USES_THE_MODEL
    readme = Path(own_smoke.root / "README.md").read_text(encoding="utf-8")
    assert "dvc commit --force" in readme
    own_smoke.dvc("commit", "--force")
    assert stale(own_smoke) == set()
