"""Data sets and checkpoints against a stand-in hub, through the hub's real clients."""

import io
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import datasets
import pytest
from huggingface_hub import close_session, constants
from ruamel.yaml import YAML

from reformer_seqlen.fetching.access import MIRROR_VARIABLE
from reformer_seqlen.models.causal import load
from reformer_seqlen.parameters.sources import Source
from reformer_seqlen.runtime.paths import BASES, TOKENIZERS
from reformer_seqlen.text.tokenizers import load_tokenizer
from stages import pretrain
from tests.conftest import ROOT
from tests.declared import declared, got, refused, sha256
from tests.models_example import save_checkpoint
from tests.servers import FileServer, Hub, Repository

COMMIT = "b08601e04326c79dfdd32d625aee71d232d685c3"
OTHER_COMMIT = "c" * 40
ROWS = ["", " = Title = \n", "", " A sentence , with an é . \n"]
OFFICIAL = " \n = Title = \n \n A sentence , with an é . \n".encode()
SECRET = "hf_made_up"  # noqa: S105 - made up
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


def rows_of(**options: object) -> Source:
    name, licence = "wikitext-2-raw-v1", "CC BY-SA 4.0"
    values = {"dataset": "Salesforce/wikitext", "name": name, "revision": COMMIT, "split": "train"}
    return declared(**{"kind": "hub", **values, "licence": licence, **options})


def checkpoint(**options: object) -> Source:
    return declared(**{"kind": "checkpoint", "repository": "google/reformer", **options})


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
    monkeypatch.setenv("HF_TOKEN", SECRET)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
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


def test_a_busy_hub_is_tried_again(hub: Hub) -> None:
    hub.statuses[f"/api/datasets/Salesforce/wikitext/revision/{COMMIT}"] = [503]
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


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    ("proxy", "said"),
    [
        ("nonsense://127.0.0.1:1", "Unknown scheme for proxy URL"),
        ("socks5://127.0.0.1:1", "Using SOCKS proxy"),
        ("http://127.0.0.1:port", "Invalid port: 'port'"),
    ],
)
def test_a_proxy_of_no_use_is_named(proxy: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)
    close_session()  # a session goes on through the proxy that it began with
    assert f"origin: {said}" in refused(rows_of())


@pytest.mark.parametrize("source", [rows_of(), checkpoint(), checkpoint(revision=COMMIT)])
@pytest.mark.usefixtures("hub", "one_try")
def test_an_unreachable_hub_is_given_up_within_seconds(
    source: Source, monkeypatch: pytest.MonkeyPatch
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
    kept = b"weights"
    hub.models["google/reformer"] = reformer(model__safetensors=kept, pytorch_model__bin=b"pickle")
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


def test_a_llama_of_the_hub_becomes_a_base_with_its_own_tokenizer(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `models.X.checkpoint: {kind: checkpoint, repository: ...}` of any causal model says it."""
    monkeypatch.chdir(tmp_path)
    save_checkpoint(Path("made"))
    files = {path.name: path.read_bytes() for path in Path("made").iterdir()}
    hub.models["mine/llama"] = Repository(COMMIT, files, large=frozenset({"model.safetensors"}))
    source = {"kind": "checkpoint", "repository": "mine/llama", "licence": "my own"}
    values = {"options": {}, "tokenizer": "transformers", "checkpoint": source}
    YAML().dump({"models": {"mine": values}}, Path("params.yaml"))
    pretrain.main("mine")
    card = json.loads((BASES / "mine/card.json").read_text())
    assert (card["model_type"], card["checkpoint"]["revision"]) == ("llama", COMMIT)
    assert sha256((BASES / "mine/model.safetensors").read_bytes()) == sha256(
        files["model.safetensors"]
    )
    tokenizer = load_tokenizer(TOKENIZERS / "mine")
    ids = tokenizer.encode([b"The tree grows.\n"]).ids
    assert tokenizer.decode(ids.tolist()) == "The tree grows.\n"
    loaded = load(BASES / "mine", sequence_length=100, options={}, key="runs.mine")
    assert loaded.config.model_type == "llama"


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


@pytest.fixture
def mirrored(tmp_path: Path) -> Iterator[tuple[Path, str, dict[str, bytes]]]:
    """A mirror of a checkpoint as a folder and as an address, and what it holds."""
    files = {"config.json": b"{}", "model.safetensors": b"weights"}
    folder = tmp_path / "mirror"
    (folder / "google" / "reformer").mkdir(parents=True)
    for name, content in files.items():
        (folder / "google" / "reformer" / name).write_bytes(content)
    with FileServer({f"/google/reformer/{name}": body for name, body in files.items()}) as server:
        yield folder, server.url, files


@pytest.mark.usefixtures("one_try")
@pytest.mark.parametrize("kind", [0, 1], ids=["folder", "url"])
def test_a_mirror_gives_a_checkpoint_whose_files_are_declared(
    hub: Hub, mirrored: tuple[Path, str, dict[str, bytes]], kind: int
) -> None:
    mirror, files = mirrored[kind], mirrored[2]
    sums = {name: sha256(content) for name, content in files.items()}
    fetched = got(checkpoint(revision=COMMIT, files=sums), mirror)
    assert (fetched.revision, fetched.files) == (COMMIT, sums)
    assert hub.log == []
    # A mirror cannot say which commit a branch is.
    assert got(checkpoint(files=sums), mirror, name="branch").revision is None
    assert sha256(b"{}") in refused(checkpoint(files={**sums, "config.json": "0" * 64}), mirror)


def test_a_checkpoint_without_sums_comes_from_a_folder_of_this_machine_and_no_address(
    hub: Hub, mirrored: tuple[Path, str, dict[str, bytes]], tmp_path: Path
) -> None:
    folder, address, files = mirrored
    fetched = got(checkpoint(), folder)
    assert fetched.files == {name: sha256(content) for name, content in files.items()}
    assert fetched.revision is None
    assert hub.log == []
    message = refused(checkpoint(), address)
    assert "no `files` are declared" in message
    assert "that holds the folder google/reformer: a folder of this machine, as" in message
    (tmp_path / "empty").mkdir()
    assert "has no folder google/reformer" in refused(checkpoint(), tmp_path / "empty")


@pytest.mark.slow
def test_the_environment_alone_says_where_the_hub_is_and_who_asks(hub: Hub) -> None:
    hub.datasets["Salesforce/wikitext"].token = SECRET
    code = """
import sys
from pathlib import Path
from reformer_seqlen.fetching.fetch import fetch
from reformer_seqlen.parameters.sources import HubSource
print(fetch(HubSource.model_validate_json(sys.argv[1]), Path("raw")).sha256)
"""

    def asked(**variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code, rows_of(empty_row=" ").model_dump_json()],
            env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HOME": "home", **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    online = asked(HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="0", HF_TOKEN=SECRET)
    assert (online.returncode, online.stdout.strip(), online.stderr) == (0, sha256(OFFICIAL), "")
    count = len(hub.log)
    offline = asked(HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="1")
    assert (offline.returncode, offline.stdout.strip()) == (0, sha256(OFFICIAL))
    assert len(hub.log) == count
