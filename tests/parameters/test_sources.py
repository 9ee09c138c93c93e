"""What may be declared as a source, and what a person is told of it."""

import hashlib
import subprocess
import sys
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from reformer_seqlen.parameters.sources import CheckpointSource, FileSource, licence_line
from tests.conftest import ROOT

FILES: TypeAdapter[Any] = TypeAdapter(FileSource)
CHECKPOINTS: TypeAdapter[Any] = TypeAdapter(CheckpointSource)
SHA256 = hashlib.sha256(b"").hexdigest()


def test_what_is_fetched_is_told_with_its_licence() -> None:
    source = {"kind": "package", "package": "texts", "file": "a.txt", "sha256": SHA256}
    line = licence_line(FILES.validate_python({**source, "licence": "public domain"}))
    assert line == "a.txt of the package texts: public domain"


@pytest.mark.parametrize(
    ("declared", "key"),
    [
        ({"kind": "torrent"}, "kind"),
        ({"kind": "path"}, "path"),
        ({"kind": "path", "path": "a", "licence": ""}, "licence"),
        ({"kind": "path", "path": "~nobody-of-that-name/a"}, "path"),
        ({"kind": "path", "path": "a", "sha256": "ABC"}, "sha256"),
        ({"kind": "path", "path": "a", "md5": "abc"}, "md5"),
        ({"kind": "path", "path": "a", "member": "b", "compression": "gz"}, "member"),
        ({"kind": "path", "path": "a", "encoding": "klingon"}, "encoding"),
        ({"kind": "path", "path": "a", "encoding": "base64"}, "encoding"),
        ({"kind": "path", "path": "a", "encoding": "binary", "line_ends": "newline"}, "line_ends"),
        ({"kind": "url", "url": "http://host/a.txt"}, "sha256"),
        ({"kind": "url", "url": "ftp://host/a.txt", "sha256": SHA256}, "url"),
        ({"kind": "url", "url": "http://host/", "sha256": SHA256}, "url"),
        ({"kind": "url", "url": "http://[bad/a.txt", "sha256": SHA256}, "url"),
        ({"kind": "url", "url": "http://h/a", "sha256": SHA256, "size": 0}, "size"),
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
    wrongs = [{"repository": "../etc"}, {"files": {"../a": SHA256}}, {"files": {}}]
    for wrong in wrongs:
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            CHECKPOINTS.validate_python({**hub, **wrong})


def test_declarations_are_quick_to_import() -> None:
    heavy = {"torch", "datasets", "huggingface_hub", "transformers", "pooch", "pyarrow", "numpy"}
    code = "import sys, reformer_seqlen.parameters.sources; print(*sys.modules)"
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert not heavy & set(printed.split())
