"""What git's HEAD has."""

from collections.abc import Iterable
from pathlib import Path

from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.git import git


def _git(*arguments: str) -> str | None:
    """What git prints, None if it fails.

    Raises:
        StudyError: there is no git.
    """
    done = git(*arguments)
    return done.stdout if done.returncode == 0 else None


def _refusal() -> str | None:
    """Why git reads nothing of a repository that is there, in its own words: whose it is."""
    done = git("status", "--porcelain")
    words = done.stderr.strip()
    return words if done.returncode and "not a git repository" not in words else None


def commit() -> str | None:
    """The name of HEAD; None where there is no commit.

    Raises:
        StudyError: there is no git, or it refuses to read the repository.
    """
    name = _git("rev-parse", "HEAD")
    if name is None and (refusal := _refusal()):
        raise StudyError(f"git refuses: {refusal}")
    return None if name is None else name.strip()


def changed(paths: Iterable[str]) -> list[str]:
    """The files below these paths that are not as HEAD has them."""
    listed = _git("status", "--porcelain", "--", *paths) or ""
    return [line[3:] for line in listed.splitlines()]


def text_of(path: Path) -> str | None:
    """A file as HEAD has it, None if it has none."""
    return _git("show", f"HEAD:./{path.as_posix()}")


def files_below(folder: Path) -> set[Path]:
    """The files that HEAD has in a folder."""
    listed = _git("ls-tree", "-r", "--name-only", "HEAD", f"./{folder.as_posix()}/") or ""
    return {Path(line) for line in listed.splitlines()}
