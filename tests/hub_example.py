"""What a stand-in hub holds, a data set and a checkpoint, and the sources that ask for them."""

import io
from collections.abc import Sequence

import datasets
import pytest
from huggingface_hub import constants

from reformer_seqlen.parameters.sources import Source
from tests.declared import declared, sha256
from tests.servers import Repository

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


def large_path(content: bytes) -> str:
    return f"/lfs/{sha256(content)}"
