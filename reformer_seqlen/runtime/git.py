"""What git says."""

import subprocess

from reformer_seqlen.runtime.errors import StudyError


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Ask git about the repository of the working folder.

    Raises:
        StudyError: there is no git.
    """
    command = ["git", *arguments]
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=False, encoding="utf-8", errors="replace"
        )
    except FileNotFoundError:
        raise StudyError("git is not installed, or not on PATH") from None
