"""A folder of its own for every test, and a server whose files are far away from it."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from reformer_seqlen.fetching import patience
from reformer_seqlen.fetching.access import MIRROR_VARIABLE
from tests.servers import FileServer

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (MIRROR_VARIABLE, *PROXIES, *map(str.lower, PROXIES)):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")


@pytest.fixture(scope="session")
def body() -> bytes:
    return random.Random(1).randbytes(300_000)


@pytest.fixture
def server(body: bytes) -> Iterator[FileServer]:
    with FileServer({"/text.bin": body}) as running:
        yield running


@pytest.fixture
def one_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up at once, where the test is not of trying again, which takes seconds."""
    monkeypatch.setattr(patience, "RETRIES", 0)
