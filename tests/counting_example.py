"""A small DVC repository whose stages count how often they run."""

from collections import Counter
from pathlib import Path

from tests.conftest import Project
from tests.dvc_example import dvc_repository


def counting_repository(root: Path, remote: str | None, **texts: str) -> Project:
    """The small repository, committed, with a remote; its stages write down that they run."""
    root.mkdir(exist_ok=True)
    project = dvc_repository(root, **texts)
    pipeline = (root / "dvc.yaml").read_text()
    count = root.parent / "ran.txt"
    for stage, command in (("write@${key}", "printf"), ("check@${key}", "grep"), ("join", "cat")):
        pipeline = pipeline.replace(f"cmd: {command}", f"cmd: echo {stage} >> {count}; {command}")
    (root / "dvc.yaml").write_text(pipeline)
    (root / ".dvc/config").write_text("[core]\n    analytics = false\n")
    (root / ".gitignore").write_text("*.txt\n*.checked\n/work\n")
    (root / ".dvc/.gitignore").write_text("/tmp\n/cache\n/config.local\n")  # noqa: S108
    if remote is not None:
        project.dvc("remote", "add", "--quiet", "--local", "--default", "storage", remote)
    if not (root / ".git").exists():
        project.run("git", "init", "--quiet")
    commit(project)
    return project


def commit(project: Project) -> None:
    """Commit everything."""
    who = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    project.run("git", "add", "--all")
    project.run("git", *who, "commit", "--quiet", "--allow-empty", "--message", "all")


def times_run(root: Path) -> Counter[str]:
    """How often each stage of a counting repository has run."""
    return Counter((root.parent / "ran.txt").read_text().split())
