"""Write the hashes of every pinned package into a lock file: `python .ci/lock.py FILE...`.

Change versions in the file first, without hashes: `NAME==VERSION`. All files of a release are
listed, so that the lock holds on every platform, and hashes that the file already has stay: torch's
build for CPUs alone is not on PyPI, and its wheels' hashes come from `pip hash WHEEL`.
"""

import json
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import Request, urlopen

from pip._internal.models.index import PyPI

INDEX = PyPI.simple_url
PIN = re.compile(
    r"^(?P<name>[\w.-]+)==(?P<version>\S+)(?P<hashes>(?: \\\n    --hash=sha256:\w+)*)", re.M
)


def hashes(name: str, version: str) -> set[str]:
    """The sha256 of each file of a release, as PyPI lists them."""
    accept = {"Accept": "application/vnd.pypi.simple.v1+json"}
    request = Request(f"{INDEX}/{name}/", headers=accept)  # noqa: S310  a constant scheme
    with urlopen(request, timeout=60) as answer:  # noqa: S310
        files = json.load(answer)["files"]
    stem = rf"{re.sub(r'[-_.]+', '[-_.]+', name)}-{re.escape(version)}(-.*\.whl|\.tar\.gz|\.zip)"
    release = re.compile(stem, re.IGNORECASE)
    return {file["hashes"]["sha256"] for file in files if release.fullmatch(file["filename"])}


def locked(pin: re.Match[str]) -> str:
    """A pin with the hashes that it had and those of PyPI."""
    had = set(re.findall(r"sha256:(\w+)", pin["hashes"]))
    found = sorted(had | hashes(pin["name"], pin["version"]))
    if not found:
        sys.exit(f"error: PyPI has no {pin['name']} {pin['version']}")
    lines = [f"{pin['name']}=={pin['version']}", *(f"    --hash=sha256:{each}" for each in found)]
    return " \\\n".join(lines)


def main() -> None:
    """Rewrite the lock files named on the command line."""
    for path in map(Path, sys.argv[1:]):
        text = path.read_text(encoding="utf-8")
        with ThreadPoolExecutor(4) as pool:
            pins = list(pool.map(locked, PIN.finditer(text)))
        comments = [line for line in text.splitlines() if line.startswith("#")]
        path.write_text("\n".join([*comments, *pins]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
