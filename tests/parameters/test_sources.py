"""Sources that need no network: installed packages, paths, archives, and what may be declared."""

import bz2
import gzip
import hashlib
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from reformer_seqlen.fetching.access import MIRROR_VARIABLE
from reformer_seqlen.fetching.fetch import fetch
from reformer_seqlen.parameters.sources import CheckpointSource, FileSource, Source, licence_line
from reformer_seqlen.runtime.errors import StudyError
from tests.conftest import ROOT

TEXT = "One line.\nAnother, with an é.\n".encode()
FILES: TypeAdapter[Any] = TypeAdapter(FileSource)
CHECKPOINTS: TypeAdapter[Any] = TypeAdapter(CheckpointSource)


def a_file(**declared: object) -> Source:
    source: Source = FILES.validate_python({"licence": "made up", **declared})
    return source


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def archive(members: Mapping[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        for name, body in members.items():
            file.writestr(name, body)
    return content.getvalue()


def left_over(folder: Path) -> list[str]:
    """The files below a folder, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MIRROR_VARIABLE, raising=False)
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package `tiny-texts` that must not be imported; gives its folder."""
    site = tmp_path / "site"
    metadata = b"Metadata-Version: 2.1\nName: tiny-texts\nVersion: 1.2\n"
    files = {
        "tiny_texts/__init__.py": b"raise RuntimeError('it was imported')\n",
        "tiny_texts/plain.txt": TEXT,
        "tiny_texts/packed.bz2": bz2.compress(TEXT),
        "tiny_texts-1.2.dist-info/METADATA": metadata,
    }
    record = "".join(f"{name},,\n" for name in files).encode()
    for name, content in {**files, "tiny_texts-1.2.dist-info/RECORD": record}.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_bytes(content)
    monkeypatch.syspath_prepend(str(site))
    return site / "tiny_texts"


@pytest.mark.usefixtures("package")
def test_a_file_of_a_package_is_found_without_importing_it() -> None:
    source = a_file(
        kind="package", package="tiny-texts", file="tiny_texts/plain.txt", sha256=sha256(TEXT)
    )
    fetched = fetch(source, Path("raw"))
    assert Path("raw").read_bytes() == TEXT
    assert fetched.model_dump(exclude_none=True) == {
        "kind": "package",
        "what": "tiny_texts/plain.txt of the package tiny-texts",
        "sha256": sha256(TEXT),
        "size_bytes": len(TEXT),
        "licence": "made up",
    }
    assert licence_line(source) == "tiny_texts/plain.txt of the package tiny-texts: made up"


@pytest.mark.usefixtures("package")
def test_what_a_package_packs_is_unpacked_and_both_sums_are_checked() -> None:
    stored = bz2.compress(TEXT)
    declared = {"kind": "package", "package": "tiny-texts", "file": "tiny_texts/packed.bz2"}
    source = a_file(**declared, sha256=sha256(stored), unpacked_sha256=sha256(TEXT))
    assert fetch(source, Path("raw")).sha256 == sha256(TEXT)
    assert Path("raw").read_bytes() == TEXT
    wrong = a_file(**declared, sha256=sha256(stored), unpacked_sha256=sha256(b"other"))
    with pytest.raises(StudyError, match=sha256(b"other")):
        fetch(wrong, Path("other"))
    longer = a_file(**declared, sha256=sha256(stored), unpacked_size=len(TEXT) + 1)
    with pytest.raises(
        StudyError, match=f"has {len(TEXT)} bytes, but {len(TEXT) + 1} are declared"
    ):
        fetch(longer, Path("longer"))
    assert left_over(Path()) == ["raw"]


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("declared", "said"),
    [
        (
            {"package": "no-such-texts", "file": "a.txt", "sha256": sha256(TEXT)},
            ["`no-such-texts`", "a.txt", "not installed", "make install"],
        ),
        (
            {"package": "tiny-texts", "file": "tiny_texts/gone.txt", "sha256": sha256(TEXT)},
            ["tiny-texts 1.2", "`tiny_texts/gone.txt`", "make install"],
        ),
        (
            {"package": "tiny-texts", "file": "../../etc/passwd", "sha256": sha256(TEXT)},
            ["tiny-texts 1.2", "`../../etc/passwd`"],
        ),
        (
            {"package": "tiny-texts", "file": "tiny_texts/plain.txt", "sha256": sha256(b"")},
            ["tiny_texts/plain.txt", "tiny-texts 1.2", sha256(TEXT), sha256(b"")],
        ),
    ],
    ids=["package", "file", "outside", "checksum"],
)
def test_a_package_that_does_not_fit_is_named(declared: dict[str, str], said: list[str]) -> None:
    with pytest.raises(StudyError) as caught:
        fetch(a_file(kind="package", **declared), Path("raw"))
    for part in said:
        assert part in str(caught.value)
    assert left_over(Path()) == []


def test_a_path_is_taken_from_the_working_folder_or_from_anywhere(tmp_path: Path) -> None:
    Path("mine.txt").write_bytes(TEXT)
    (tmp_path / "far.txt").write_bytes(TEXT)
    near = fetch(a_file(kind="path", path="mine.txt", sha256=sha256(TEXT)), Path("near"))
    far = fetch(a_file(kind="path", path=str(tmp_path / "far.txt")), Path("far"))
    assert Path("near").read_bytes() == Path("far").read_bytes() == TEXT
    assert (near.what, far.what) == ("mine.txt", "far.txt")
    assert str(tmp_path) not in json.dumps([near.model_dump(), far.model_dump()])


def test_a_path_that_is_not_there_or_is_another_file_is_named() -> None:
    with pytest.raises(StudyError, match=r"no file or folder `gone\.txt`"):
        fetch(a_file(kind="path", path="gone.txt"), Path("raw"))
    Path("mine.txt").write_bytes(TEXT)
    with pytest.raises(StudyError, match=f"(?s)mine.txt.*{sha256(b'')}.*{sha256(TEXT)}"):
        fetch(a_file(kind="path", path="mine.txt", sha256=sha256(b"")), Path("raw"))
    assert left_over(Path()) == ["mine.txt"]


def test_a_folder_is_copied_whole_and_has_one_checksum() -> None:
    for name in ("b/two.txt", "one.txt", ".hidden", ".git/config"):
        Path("folder", name).parent.mkdir(parents=True, exist_ok=True)
        Path("folder", name).write_bytes(name.encode())
    fetched = fetch(a_file(kind="path", path="folder"), Path("raw"))
    assert left_over(Path("raw")) == ["b/two.txt", "one.txt"]
    assert fetched.files == {name: sha256(name.encode()) for name in ("b/two.txt", "one.txt")}
    lines = "".join(f"{total}  {name}\n" for name, total in fetched.files.items())
    assert fetched.sha256 == sha256(lines.encode())
    fetch(a_file(kind="path", path="folder", sha256=fetched.sha256), Path("again"))
    with pytest.raises(StudyError, match=fetched.sha256):
        fetch(a_file(kind="path", path="folder", sha256=sha256(b"")), Path("third"))
    assert not Path("third").exists()


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("text.gz", gzip.compress(TEXT), {}),
        ("text.bz2", bz2.compress(TEXT), {}),
        ("text", gzip.compress(TEXT), {"compression": "gz"}),
        ("text.zip", archive({"../other": b"no", "in/text": TEXT}), {"member": "in/text"}),
        ("text.txt", TEXT, {}),
        ("text.bz2", TEXT, {"compression": "none"}),
    ],
    ids=["gz", "bz2", "declared", "zip", "plain", "misnamed"],
)
def test_what_is_packed_is_unpacked(name: str, content: bytes, options: dict[str, str]) -> None:
    Path(name).write_bytes(content)
    fetch(a_file(kind="path", path=name, sha256=sha256(content), **options), Path("raw"))
    assert Path("raw").read_bytes() == TEXT
    assert left_over(Path()) == sorted([name, "raw"])


@pytest.mark.parametrize(
    ("name", "content", "options", "said"),
    [
        ("text.zip", archive({"one": b"1", "two": b"2"}), {"member": "three"}, "one, two"),
        ("text.zip", TEXT, {"member": "one"}, "cannot be unpacked"),
        ("text.zip", archive({"one": TEXT * 99})[:-60], {"member": "one"}, "cannot be unpacked"),
        ("text.gz", TEXT, {}, "cannot be unpacked"),
        ("text.gz", gzip.compress(TEXT)[:-9], {}, "cannot be unpacked"),
        ("text.bz2", TEXT, {}, "cannot be unpacked"),
        ("text.xz", TEXT, {}, "cannot be unpacked"),
    ],
    ids=["member", "no zip", "cut zip", "no gz", "cut gz", "no bz2", "no xz"],
)
def test_what_cannot_be_unpacked_leaves_nothing(
    name: str, content: bytes, options: dict[str, str], said: str
) -> None:
    Path(name).write_bytes(content)
    with pytest.raises(StudyError, match=said) as caught:
        fetch(a_file(kind="path", path=name, **options), Path("raw"))
    assert name in str(caught.value)
    assert left_over(Path()) == [name]


@pytest.mark.parametrize(
    ("declared", "key"),
    [
        ({"kind": "torrent"}, "kind"),
        ({"kind": "path"}, "path"),
        ({"kind": "path", "path": "a", "licence": ""}, "licence"),
        ({"kind": "path", "path": "a", "sha256": "ABC"}, "sha256"),
        ({"kind": "path", "path": "a", "md5": "abc"}, "md5"),
        ({"kind": "path", "path": "a", "member": "b", "compression": "gz"}, "member"),
        ({"kind": "url", "url": "http://host/a.txt"}, "sha256"),
        ({"kind": "url", "url": "ftp://host/a.txt", "sha256": sha256(b"")}, "url"),
        ({"kind": "url", "url": "http://host/", "sha256": sha256(b"")}, "url"),
        ({"kind": "url", "url": "http://h/a", "sha256": sha256(b""), "size": 0}, "size"),
        ({"kind": "package", "package": "a", "file": "b"}, "sha256"),
        ({"kind": "hub", "dataset": "a/b", "split": "train", "revision": "main"}, "revision"),
        ({"kind": "hub", "dataset": "a", "split": "train", "revision": "0" * 40}, "dataset"),
    ],
)
def test_a_wrong_declaration_names_its_key(declared: dict[str, Any], key: str) -> None:
    with pytest.raises(ValidationError) as caught:
        FILES.validate_python({"licence": "made up", **declared})
    assert key in str(caught.value)


def test_a_checkpoint_is_one_of_the_hub_or_a_path() -> None:
    hub = {"kind": "checkpoint", "repository": "owner/model", "licence": "made up"}
    assert CHECKPOINTS.validate_python(hub).revision == "main"
    path = {"kind": "path", "path": "mine", "licence": "made up"}
    assert CHECKPOINTS.validate_python(path).path == "mine"
    wrongs: list[dict[str, Any]]
    wrongs = [{"repository": "../etc"}, {"files": {"../a": sha256(b"")}}, {"files": {}}]
    for wrong in wrongs:
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            CHECKPOINTS.validate_python({**hub, **wrong})


def test_declarations_are_quick_to_import() -> None:
    heavy = {"torch", "datasets", "huggingface_hub", "transformers", "httpx2", "pyarrow", "numpy"}
    code = "import sys, reformer_seqlen.parameters.sources; print(*sys.modules)"
    root = ROOT
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    ).stdout
    assert not heavy & set(printed.split())
