"""A folder of its own for every test, and servers whose files are far away from it."""

import random
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import datasets
import pooch
import pytest
from huggingface_hub import constants

from reformer_seqlen.fetching import patience
from reformer_seqlen.fetching.access import MIRROR_VARIABLE
from tests.hub_example import SECRET, use_hub, wikitext
from tests.servers import FileServer, Hub

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


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that pooch would wait before it tries again, which it does at once."""
    seconds: list[float] = []
    monkeypatch.setattr(pooch.core, "time", SimpleNamespace(sleep=seconds.append))
    return seconds


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with a data set, which nothing has been fetched from yet."""
    monkeypatch.setenv("HF_TOKEN", SECRET)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    with FileServer({}) as elsewhere, Hub(elsewhere) as running:
        use_hub(running.url, monkeypatch)
        running.datasets["Salesforce/wikitext"] = wikitext()
        yield running
