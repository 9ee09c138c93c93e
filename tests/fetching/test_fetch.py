"""Files and folders of this machine: found, checked, copied whole, recorded the same anywhere."""

import bz2
import json
from pathlib import Path
from typing import Any

import pytest

from tests.declared import declared, got, no_file_above, refused, sha256

TEXT = "One line.\nAnother, with an é.\n".encode()
PACKED = bz2.compress(TEXT)
TINY = {"kind": "package", "package": "tiny-texts", "file": "tiny_texts/packed.bz2"}


def left_over(folder: Path) -> list[str]:
    """The files below a folder, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def _package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package `tiny-texts` that must not be imported."""
    files = {
        "tiny_texts/__init__.py": b"raise RuntimeError('it was imported')\n",
        "tiny_texts/packed.bz2": PACKED,
        "tiny_texts-1.2.dist-info/METADATA": b"Name: tiny-texts\nVersion: 1.2\n",
    }
    files["tiny_texts-1.2.dist-info/RECORD"] = "".join(f"{name},,\n" for name in files).encode()
    for name, content in files.items():
        (tmp_path / "site" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "site" / name).write_bytes(content)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))


@pytest.mark.usefixtures("_package")
def test_a_file_of_a_package_is_found_without_importing_it() -> None:
    sums = {"sha256": sha256(PACKED), "unpacked_sha256": sha256(TEXT), "unpacked_size": len(TEXT)}
    assert got(declared(**TINY, **sums)).model_dump(exclude_none=True) == {
        "kind": "package",
        "what": "tiny_texts/packed.bz2 of the package tiny-texts",
        "sha256": sha256(TEXT),
        "size_bytes": len(TEXT),
        "licence": "made up",
    }
    assert Path("raw").read_bytes() == TEXT


@pytest.mark.usefixtures("_package")
@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"package": "none"}, ["`none`", "packed.bz2", "not installed", "make install"]),
        ({"file": "gone.txt"}, ["tiny-texts 1.2 has no file `gone.txt`", "make install"]),
        ({"file": "../../etc/passwd"}, ["tiny-texts 1.2 has no file `../../etc/passwd`"]),
        ({"sha256": sha256(b"")}, ["packed.bz2", sha256(PACKED), sha256(b"")]),
        ({"unpacked_sha256": sha256(b"")}, ["packed.bz2", sha256(TEXT), sha256(b"")]),
        ({"unpacked_size": 5}, ["packed.bz2", "more than the 5 bytes that are declared"]),
    ],
    ids=lambda value: next(iter(value), None) if isinstance(value, dict) else None,
)
def test_a_package_that_does_not_fit_is_named(values: dict[str, Any], said: list[str]) -> None:
    message = refused(declared(**{**TINY, "sha256": sha256(PACKED), **values}))
    for part in said:
        assert part in message
    assert left_over(Path()) == []


def test_a_path_is_taken_from_the_working_folder_or_from_anywhere(tmp_path: Path) -> None:
    Path("mine.txt").write_bytes(TEXT)
    (tmp_path / "far.txt").write_bytes(TEXT)
    near = got(declared(kind="path", path="mine.txt", sha256=sha256(TEXT)), name="near")
    far = got(declared(kind="path", path=str(tmp_path / "far.txt")), name="far")
    assert Path("near").read_bytes() == Path("far").read_bytes() == TEXT
    assert (near.what, far.what) == ("mine.txt", "far.txt")
    assert str(tmp_path) not in json.dumps([near.model_dump(), far.model_dump()])


def test_a_path_that_is_not_there_or_is_another_file_is_named() -> None:
    assert "no file or folder `gone.txt`" in refused(declared(kind="path", path="gone.txt"))
    Path("mine.txt").write_bytes(TEXT)
    message = refused(declared(kind="path", path="mine.txt", sha256=sha256(b"")))
    assert message == (
        "mine.txt has another checksum than declared, nothing of it was kept:\n"
        f"  declared sha256 {sha256(b'')}\n  found    sha256 {sha256(TEXT)}"
    )


def test_a_folder_is_copied_whole_and_has_one_checksum() -> None:
    for name in ("b/two.txt", "one.txt", ".hidden", ".git/config"):
        Path("folder", name).parent.mkdir(parents=True, exist_ok=True)
        Path("folder", name).write_bytes(name.encode())
    fetched = got(declared(kind="path", path="folder"))
    assert left_over(Path("raw")) == ["b/two.txt", "one.txt"]
    assert fetched.files == {name: sha256(name.encode()) for name in ("b/two.txt", "one.txt")}
    lines = "".join(f"{total}  {name}\n" for name, total in fetched.files.items())
    assert fetched.sha256 == sha256(lines.encode())
    got(declared(kind="path", path="folder", sha256=fetched.sha256), name="again")
    message = refused(declared(kind="path", path="folder", sha256=sha256(b"")))
    assert fetched.sha256 in message


def test_a_disk_without_room_is_named_and_what_to_do() -> None:
    Path("large.txt").write_bytes(b"a b\n" * (1 << 20))
    with no_file_above(1 << 20):
        message = refused(declared(kind="path", path="large.txt"))
    assert message.startswith("cannot fetch large.txt: refused: File too large; raise the limit on")
