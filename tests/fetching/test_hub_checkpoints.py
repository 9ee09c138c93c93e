"""Checkpoints against a stand-in hub, through the hub's real clients."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from reformer_seqlen.models.causal import load
from reformer_seqlen.runtime.paths import BASES, TOKENIZERS
from reformer_seqlen.text.tokenizers import load_tokenizer
from stages import pretrain
from tests.declared import got, no_file_above, refused, sha256
from tests.hub_example import COMMIT, checkpoint, large_path, reformer
from tests.models_example import save_checkpoint
from tests.servers import FileServer, Hub, Repository


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
    hub: Hub,
) -> None:
    """As `models.X.checkpoint: {kind: checkpoint, repository: ...}` of any causal model says it."""
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


def test_a_disk_without_room_for_a_checkpoint_is_no_matter_of_the_network(hub: Hub) -> None:
    hub.models["google/reformer"] = reformer(model__safetensors=bytes(1 << 22))
    with no_file_above(1 << 20):
        message = refused(checkpoint())
    assert "File too large; raise the limit on the size of files" in message
    assert "network" not in message


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
    assert fetched.what == "google/reformer on the hub"  # the bytes of that commit
    assert hub.log == []
    # A mirror cannot say which commit a branch is.
    branch = got(checkpoint(files=sums), mirror, name="branch")
    assert branch.revision is None
    assert branch.what == "google/reformer of a mirror, by the declared checksums"
    assert sha256(b"{}") in refused(checkpoint(files={**sums, "config.json": "0" * 64}), mirror)


def test_a_checkpoint_without_sums_comes_from_a_folder_of_this_machine_and_no_address(
    hub: Hub, mirrored: tuple[Path, str, dict[str, bytes]], tmp_path: Path
) -> None:
    folder, address, files = mirrored
    fetched = got(checkpoint(), folder)
    assert fetched.files == {name: sha256(content) for name, content in files.items()}
    assert fetched.revision is None
    assert fetched.what == (
        "google/reformer of a mirror, a folder of this machine that is not checked against the hub"
    )
    assert hub.log == []
    message = refused(checkpoint(), address)
    assert "no `files` are declared" in message
    assert "that holds the folder google/reformer: a folder of this machine, as" in message
    (tmp_path / "empty").mkdir()
    assert "has no folder google/reformer" in refused(checkpoint(), tmp_path / "empty")
