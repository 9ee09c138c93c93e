"""Data sets against a stand-in hub, through the hub's real clients; and a hub that is not there."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from huggingface_hub import close_session

from reformer_seqlen.fetching.access import MIRROR_VARIABLE
from reformer_seqlen.parameters.sources import Source
from tests.conftest import PATIENCE_SECONDS, ROOT
from tests.declared import got, no_file_above, refused, sha256
from tests.hub_example import (
    COMMIT,
    OFFICIAL,
    OTHER_COMMIT,
    ROWS,
    SECRET,
    TRAIN,
    checkpoint,
    go_offline,
    large_path,
    parquet,
    reformer,
    rows_of,
    use_hub,
)
from tests.servers import Hub


@pytest.mark.slow
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


def test_a_disk_without_room_for_rows_is_no_matter_of_the_network(hub: Hub) -> None:
    hub.datasets["Salesforce/wikitext"].files[TRAIN] = parquet([os.urandom(1 << 20).hex()])
    with no_file_above(1 << 20):
        message = refused(rows_of())
    assert "File too large; raise the limit on the size of files" in message
    assert "network" not in message


@pytest.mark.slow
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
def test_an_unreachable_hub_is_given_up_with_what_to_do(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        use_hub(f"http://127.0.0.1:{free.getsockname()[1]}", monkeypatch)
        began = time.monotonic()
        message = refused(source)
    assert time.monotonic() - began < PATIENCE_SECONDS
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


@pytest.mark.slow
def test_the_environment_alone_says_where_the_hub_is_and_who_asks(hub: Hub) -> None:
    hub.datasets["Salesforce/wikitext"].token = SECRET
    code = """
import sys
from pathlib import Path
from reformer_seqlen.fetching.fetch import fetch
from reformer_seqlen.parameters.sources import HubSource
source = HubSource.model_validate_json(sys.argv[1])
print(fetch(source, Path("raw"), "corpora.wikitext-2.files.train").sha256)
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
