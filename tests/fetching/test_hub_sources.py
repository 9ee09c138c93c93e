"""Data sets and checkpoints against a stand-in hub, through the hub's real clients."""

import hashlib
import io
import json
import os
import pickle
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import datasets
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from reformer_seqlen.fetching.access import MIRROR_VARIABLE
from reformer_seqlen.fetching.fetch import fetch
from reformer_seqlen.fetching.http_download import Patience
from reformer_seqlen.parameters.sources import Fetched, HubCheckpoint, HubSource, PathSource
from reformer_seqlen.runtime.errors import StudyError
from tests.conftest import ROOT
from tests.servers import FileServer, Hub, Repository

COMMIT = "b08601e04326c79dfdd32d625aee71d232d685c3"
OTHER_COMMIT = "c" * 40
ROWS = ["", " = Title = \n", "", " A sentence , with an é . \n"]
OFFICIAL = " \n = Title = \n \n A sentence , with an é . \n".encode()
SECRET = "hf_made_up"  # noqa: S105 - made up
HASTE = Patience(tries=3, first_wait=0.01, connect=2, read=5)
TRAIN = "wikitext-2-raw-v1/train-00000-of-00001.parquet"
CARD = """---
dataset_info:
- config_name: wikitext-103-raw-v1
  features: [{name: text, dtype: string}]
  splits: [{name: train, num_bytes: 1, num_examples: 1}]
- config_name: wikitext-2-raw-v1
  features: [{name: text, dtype: string}, {name: number, dtype: int64}]
  splits:
  - {name: test, num_bytes: 1, num_examples: 1}
  - {name: train, num_bytes: 1, num_examples: 4}
configs:
- config_name: wikitext-103-raw-v1
  data_files: [{split: train, path: wikitext-103-raw-v1/train-*}]
- config_name: wikitext-2-raw-v1
  data_files:
  - {split: test, path: wikitext-2-raw-v1/test-*}
  - {split: train, path: wikitext-2-raw-v1/train-*}
---
# A card as WikiText has it
"""


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def parquet(rows: Sequence[str]) -> bytes:
    content = io.BytesIO()
    columns = {"text": [*rows], "number": [*range(len(rows))]}
    datasets.Dataset.from_dict(columns).to_parquet(content)
    return content.getvalue()


def wikitext(commit: str = COMMIT, rows: Sequence[str] = ROWS) -> Repository:
    files = {
        "README.md": CARD.encode(),
        "wikitext-103-raw-v1/train-00000-of-00001.parquet": parquet(["large"]),
        "wikitext-2-raw-v1/test-00000-of-00001.parquet": parquet(["test"]),
        TRAIN: parquet(rows),
    }
    return Repository(commit, files, large=frozenset(name for name in files if "/" in name))


def pickled(value: object) -> bytes:
    content = io.BytesIO()
    torch.save(value, content)
    return content.getvalue()


def weights() -> dict[str, torch.Tensor]:
    """Weights as the published checkpoint has them: two names for one bias."""
    bias = torch.arange(4.0)
    return {
        "embeddings.weight": torch.ones(4, 3).t(),
        "lm_head.bias": bias,
        "lm_head.decoder.bias": bias,
    }


def reformer(**files: bytes) -> Repository:
    files = {
        "config.json": b'{"model_type": "reformer"}',
        "spiece.model": b"pieces",
        "code.py": b"raise RuntimeError",
        "flax_model.msgpack": b"\x00",
        **{name.replace("__", "."): content for name, content in files.items()},
    }
    large = frozenset(name for name in files if name.startswith(("pytorch", "model")))
    return Repository(COMMIT, files, large, branches=("main", "refs/pr/1"))


def rows_of(**options: object) -> HubSource:
    declared = {
        "kind": "hub",
        "dataset": "Salesforce/wikitext",
        "name": "wikitext-2-raw-v1",
        "revision": COMMIT,
        "split": "train",
        "licence": "CC BY-SA 4.0",
    }
    return HubSource.model_validate({**declared, **options})


def checkpoint(**options: object) -> HubCheckpoint:
    declared = {"kind": "checkpoint", "repository": "google/reformer", "licence": "Apache 2.0"}
    return HubCheckpoint.model_validate({**declared, **options})


def got(source: HubSource | HubCheckpoint | PathSource, mirror: str | None = None) -> Fetched:
    return fetch(source, Path("raw"), mirror=mirror, patience=HASTE)


def refused(source: HubSource | HubCheckpoint | PathSource, mirror: str | None = None) -> str:
    """The message of a fetch that must fail and must leave nothing at its target."""
    with pytest.raises(StudyError) as caught:
        fetch(source, Path("refused"), mirror=mirror, patience=HASTE)
    assert [path for path in Path().iterdir() if "refused" in path.name] == []
    return str(caught.value)


def use_hub(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What HF_ENDPOINT does when a process starts; the last test sets it for real."""
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", url)


def go_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """What HF_HUB_OFFLINE=1 does when a process starts."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    for name in (MIRROR_VARIABLE, "HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_TOKEN", SECRET)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    with FileServer({}) as elsewhere, Hub(elsewhere) as running:
        use_hub(running.url, monkeypatch)
        running.datasets["Salesforce/wikitext"] = wikitext()
        yield running


def large_path(content: bytes) -> str:
    return f"/lfs/{sha256(content)}"


def test_rows_become_lines_and_wikitext_its_official_bytes(hub: Hub) -> None:
    fetched = got(rows_of(empty_row=" ", sha256=sha256(OFFICIAL)))
    assert Path("raw").read_bytes() == OFFICIAL
    assert json.loads(fetched.model_dump_json(exclude_none=True)) == {
        "kind": "hub",
        "what": "Salesforce/wikitext (wikitext-2-raw-v1, train) on the hub",
        "sha256": sha256(OFFICIAL),
        "size_bytes": len(OFFICIAL),
        "licence": "CC BY-SA 4.0",
        "revision": COMMIT,
    }
    got(rows_of())
    assert Path("raw").read_bytes() == OFFICIAL.replace(b" \n \n", b" \n\n").removeprefix(b" ")
    got(rows_of(row_end=""))
    assert Path("raw").read_bytes() == "".join(ROWS).encode()
    assert all(COMMIT in each.path for each in hub.log if "wikitext" in each.path)


def test_a_folder_of_the_same_name_is_not_taken_for_the_data_set(hub: Hub) -> None:
    Path("Salesforce/wikitext").mkdir(parents=True)
    Path("Salesforce/wikitext/train.txt").write_text("not this\n")
    got(rows_of(row_end=""))
    assert Path("raw").read_bytes() == "".join(ROWS).encode()
    assert hub.log


def test_the_token_goes_to_the_hub_and_not_to_where_it_redirects(hub: Hub) -> None:
    hub.datasets["Salesforce/wikitext"].token = SECRET
    got(rows_of())
    assert hub.elsewhere.log
    assert {each.headers["Authorization"] for each in hub.elsewhere.log} == {None}


def test_a_broken_connection_to_the_hub_is_resumed(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = large_path(parquet(ROWS))
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100)  # it keeps whole chunks only
    hub.elsewhere.cuts[path] = [500]
    got(rows_of(row_end=""))
    assert Path("raw").read_bytes() == "".join(ROWS).encode()
    assert [each.headers["Range"] for each in hub.elsewhere.asked(path)] == [None, "bytes=500-"]


def test_a_busy_hub_is_tried_again(hub: Hub) -> None:
    hub.statuses[f"/api/datasets/Salesforce/wikitext/revision/{COMMIT}"] = [503, 502]
    got(rows_of())
    assert Path("raw").exists()


def test_a_damaged_file_of_the_hub_is_refused_and_fetched_anew(hub: Hub) -> None:
    right = parquet(ROWS)
    wrong = right.replace(b"sentence", b"SENTENCE")
    assert wrong != right
    hub.elsewhere.files[large_path(right)] = wrong
    message = refused(rows_of())
    assert TRAIN in message
    assert sha256(right) in message
    assert sha256(wrong) in message
    hub.elsewhere.files[large_path(right)] = right
    got(rows_of(row_end=""))
    assert Path("raw").read_bytes() == "".join(ROWS).encode()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dataset": "Salesforce/none"}, "404"),
        ({"revision": OTHER_COMMIT}, OTHER_COMMIT),
        ({"name": "wikitext-4"}, "wikitext-2-raw-v1"),
        ({"split": "dev"}, "dev"),
        ({"column": "words"}, "no column `words`; it has text, number"),
        ({"column": "number"}, "not text, row 0 has 0"),
        ({"sha256": sha256(b"other")}, sha256(b"other")),
    ],
    ids=["data set", "revision", "configuration", "split", "column", "no text", "checksum"],
)
@pytest.mark.usefixtures("hub")
def test_rows_that_the_hub_does_not_have_are_named(options: dict[str, str], said: str) -> None:
    message = refused(rows_of(**options))
    assert said in message
    assert options.get("dataset", "Salesforce/wikitext") in message


def test_a_hub_that_asks_who_you_are_is_told_apart(hub: Hub) -> None:
    hub.datasets["Salesforce/wikitext"].token = f"not {SECRET}"
    message = refused(rows_of())
    assert "403" in message
    assert "HF_TOKEN" in message


@pytest.mark.parametrize("source", [rows_of(), checkpoint(), checkpoint(revision=COMMIT)])
@pytest.mark.usefixtures("hub")
def test_an_unreachable_hub_is_given_up_within_seconds(
    source: HubSource | HubCheckpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        use_hub(f"http://127.0.0.1:{free.getsockname()[1]}", monkeypatch)
        began = time.monotonic()
        message = refused(source)
    assert time.monotonic() - began < 5
    assert message.count("cannot fetch") == 1
    for part in ("origin: ", "mirror", MIRROR_VARIABLE, "HF_ENDPOINT", "HF_HUB_OFFLINE", "path"):
        assert part in message


def test_offline_finds_what_was_fetched_before_and_nothing_else(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.models["google/reformer"] = reformer(model__safetensors=b"")
    got(rows_of(empty_row=" "))
    go_offline(monkeypatch)
    hub.log.clear()
    Path("raw").unlink()
    got(rows_of(empty_row=" "))
    assert Path("raw").read_bytes() == OFFICIAL
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert OTHER_COMMIT not in refused(checkpoint())
    assert "unset HF_HUB_OFFLINE" in refused(checkpoint())
    assert COMMIT in refused(rows_of(revision=OTHER_COMMIT))
    assert hub.log == []


def test_a_mirror_gives_rows_only_if_their_checksum_is_declared(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "wikitext-2-raw-v1.train.txt").write_bytes(OFFICIAL)
    fetched = got(rows_of(sha256=sha256(OFFICIAL)), str(tmp_path / "mirror"))
    assert Path("raw").read_bytes() == OFFICIAL
    assert fetched.revision == COMMIT
    assert hub.log == []
    assert "bytes, but 3 are declared" in refused(rows_of(size=3))
    del hub.datasets["Salesforce/wikitext"]
    assert "no `sha256` is declared" in refused(rows_of(), str(tmp_path / "mirror"))


def test_a_checkpoint_is_fetched_without_code_or_pickles(hub: Hub) -> None:
    save_file({"a": torch.ones(2)}, "model.safetensors", metadata={"format": "pt"})
    kept = Path("model.safetensors").read_bytes()
    hub.models["google/reformer"] = reformer(
        model__safetensors=kept, pytorch_model__bin=pickled(weights())
    )
    fetched = got(checkpoint())
    assert {path.name: path.read_bytes() for path in Path("raw").iterdir()} == {
        "config.json": b'{"model_type": "reformer"}',
        "spiece.model": b"pieces",
        "model.safetensors": kept,
    }
    assert fetched.revision == COMMIT
    assert fetched.files is not None
    assert fetched.files["model.safetensors"] == sha256(kept)
    assert not any("pytorch_model" in each.path for each in hub.log)
    assert fetched == got(checkpoint(revision="refs/pr/1")) == got(checkpoint(revision=COMMIT))


def test_pickled_weights_become_safetensors_and_lose_no_name(hub: Hub) -> None:
    hub.models["google/reformer"] = reformer(pytorch_model__bin=pickled(weights()))
    got(checkpoint())
    assert {path.name for path in Path("raw").iterdir()} == {
        "config.json",
        "spiece.model",
        "model.safetensors",
    }
    loaded = load_file("raw/model.safetensors")
    assert loaded.keys() == weights().keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in weights().items())


class Malice:
    """What a pickle may hold: a call that is made when it is opened."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("owned",)


@pytest.mark.parametrize(
    "content",
    [
        pickled({"a": Malice()}),
        pickle.dumps(Malice(), protocol=2),
        pickled([1]),
        pickled({"a": 1}),
        b"",
        b"x",
    ],
    ids=["torch", "pickle", "list", "number", "empty", "nonsense"],
)
def test_a_pickle_of_more_than_tensors_is_refused_unopened(hub: Hub, content: bytes) -> None:
    hub.models["google/reformer"] = reformer(pytorch_model__bin=content)
    message = refused(checkpoint())
    assert "pytorch_model.bin of google/reformer" in message
    assert not Path("owned").exists()


@pytest.mark.parametrize(
    ("files", "options", "said"),
    [
        ({}, {}, "neither *.safetensors nor pytorch_model.bin"),
        ({"model__safetensors": b""}, {"revision": "dev"}, "404"),
        ({"model__safetensors": b""}, {"repository": "google/none"}, "google/none"),
        ({"model__safetensors": b""}, {"files": {"spiece.model": sha256(b"")}}, sha256(b"pieces")),
        ({"model__safetensors": b""}, {"files": {"vocab.json": sha256(b"")}}, "no vocab.json"),
    ],
    ids=["weights", "branch", "repository", "checksum", "file"],
)
def test_a_checkpoint_that_does_not_fit_is_named(
    hub: Hub, files: dict[str, bytes], options: dict[str, object], said: str
) -> None:
    hub.models["google/reformer"] = reformer(**files)
    assert said in refused(checkpoint(**options))


def test_a_damaged_checkpoint_is_refused_and_fetched_anew(hub: Hub) -> None:
    right, wrong = b"right weights", b"wrong weights"
    hub.models["google/reformer"] = reformer(model__safetensors=right)
    hub.elsewhere.files[large_path(right)] = wrong
    message = refused(checkpoint())
    assert sha256(right) in message
    assert sha256(wrong) in message
    hub.elsewhere.files[large_path(right)] = right
    got(checkpoint())
    assert Path("raw/model.safetensors").read_bytes() == right


@pytest.mark.parametrize("kind", ["folder", "url"])
def test_a_mirror_gives_a_checkpoint_whose_files_are_declared(
    hub: Hub, tmp_path: Path, kind: str
) -> None:
    files = {"config.json": b"{}", "pytorch_model.bin": pickled(weights()), "spiece.model": b"p"}
    sums = {name: sha256(content) for name, content in files.items()}
    for name, content in files.items():
        path = tmp_path / "mirror" / "google" / "reformer" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with FileServer({f"/google/reformer/{name}": body for name, body in files.items()}) as server:
        mirror = str(tmp_path / "mirror") if kind == "folder" else server.url
        fetched = got(checkpoint(revision=COMMIT, files=sums), mirror)
        assert fetched.revision == COMMIT
        assert load_file("raw/model.safetensors").keys() == weights().keys()
        assert hub.log == []
        fetched = fetch(checkpoint(files=sums), Path("branch"), mirror=mirror, patience=HASTE)
        assert fetched.revision is None  # a mirror cannot say which commit a branch is
        sums["config.json"] = sha256(b"other")
        assert sha256(b"{}") in refused(checkpoint(files=sums), mirror)


def test_a_mirror_on_this_machine_is_trusted_with_a_checkpoint_without_sums_an_address_is_not(
    hub: Hub, tmp_path: Path
) -> None:
    folder = tmp_path / "mirror" / "google" / "reformer"
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes(b"{}")
    (folder / "pytorch_model.bin").write_bytes(pickled(weights()))
    fetched = got(checkpoint(), str(tmp_path / "mirror"))
    assert fetched.files is not None
    assert fetched.files["config.json"] == sha256(b"{}")
    assert fetched.revision is None
    assert hub.log == []
    with FileServer({"/google/reformer/config.json": b"{}"}) as server:
        assert "no `files` are declared" in refused(checkpoint(), server.url)
    (tmp_path / "empty").mkdir()
    assert "has no folder google/reformer" in refused(checkpoint(), str(tmp_path / "empty"))


def test_a_checkpoint_may_be_a_folder_of_this_machine(tmp_path: Path) -> None:
    files = {"config.json": b"{}", "pytorch_model.bin": pickled(weights()), "code.py": b""}
    (tmp_path / "mine").mkdir()
    for name, content in files.items():
        (tmp_path / "mine" / name).write_bytes(content)
    source = PathSource(kind="path", path=str(tmp_path / "mine"), licence="made up")
    fetch(source, tmp_path / "raw")
    assert {path.name for path in (tmp_path / "raw").iterdir()} == {
        "config.json",
        "model.safetensors",
    }


def test_the_environment_alone_says_where_the_hub_is_and_who_asks(hub: Hub, tmp_path: Path) -> None:
    hub.datasets["Salesforce/wikitext"].token = SECRET
    code = """
import sys
from pathlib import Path
from reformer_seqlen.runtime.console import run
from reformer_seqlen.fetching.fetch import fetch
from reformer_seqlen.parameters.sources import HubSource
run(lambda: print(fetch(HubSource.model_validate_json(sys.argv[1]), Path(sys.argv[2])).sha256))
"""

    def asked(**variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                sys.executable,
                "-c",
                code,
                rows_of(empty_row=" ").model_dump_json(),
                tmp_path / "raw",
            ],
            cwd=ROOT,
            env={**os.environ, "HF_HOME": str(tmp_path / "home"), **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    before = asked(HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="1")
    assert before.returncode == 1
    assert before.stderr.startswith("error: cannot fetch Salesforce/wikitext")
    assert "offline" in before.stderr.lower()
    assert hub.log == []
    online = asked(HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="0", HF_TOKEN=SECRET)
    assert (online.returncode, online.stdout.strip(), online.stderr) == (0, sha256(OFFICIAL), "")
    count = len(hub.log)
    offline = asked(HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="1")
    assert (offline.returncode, offline.stdout.strip()) == (0, sha256(OFFICIAL))
    assert len(hub.log) == count
