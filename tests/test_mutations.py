"""What people give, broken in more than a hundred ways: a message in words, or the right output.

Nothing of it may end in a traceback, wait without an end, leave half an output or write outside the
project. Commands end here as they do for people, by `console.run`.
"""

import bz2
import gzip
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from ruamel.yaml import YAML
from safetensors.torch import load_file, save_file

from reformer_seqlen.parameters.profiles import compose
from reformer_seqlen.parameters.study import load_study, parse_study
from reformer_seqlen.planning.models import check_memory_models, check_models
from reformer_seqlen.runtime import console
from reformer_seqlen.runtime.paths import BASES, DATA, TEXTS
from stages import download, pretrain
from tests.conftest import CONF, PATIENCE_SECONDS, ROOT, environment
from tests.models_example import save_checkpoint
from tests.small_study import LINES, SmallStudy

TEXT = b"".join(LINES)
Change = Callable[[Path], object]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to work in, in a folder that nothing else may be written to."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("REFORMER_SEQLEN_MIRROR", raising=False)
    yield folder
    assert [path.name for path in tmp_path.iterdir() if path != folder] == []
    assert [path for path in folder.rglob("*") if path.name.endswith(".partial")] == []


def ended(work: Callable[[], object]) -> str:
    """The message that a command ends with; empty where it did its work."""

    def run() -> None:
        work()

    def too_long(_: int, __: FrameType | None) -> None:
        raise TimeoutError(f"no end after {PATIENCE_SECONDS} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(PATIENCE_SECONDS)
    try:
        with pytest.raises(SystemExit) as left:
            console.run(run)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return str(left.value.code or "")


def write_params(values: Any) -> None:
    YAML().dump(values, Path("params.yaml"))


def changed(values: Any, key: str, value: Any) -> Any:
    """The values with one of them changed, or dropped where the new one is an ellipsis."""
    *path, last = (int(part) if part.isdigit() else part for part in key.split("/"))
    section = values
    for part in path:
        section = section[part]
    if value is ...:
        del section[last]
    else:
        section[last] = value
    return values


RUN = {"corpus": "news", "model": "tiny", "sequence_length": 64}
SIZES = "memory/models/tiny"
ARCHITECTURE = "models/tiny/pretraining/architecture"
MUTATED_PARAMS: list[tuple[str, Any, str]] = [
    ("profile", ..., "profile: Field required"),
    ("profile", "../quick", "profile: .*match pattern"),
    ("profile", 7, "profile: .*valid string"),
    ("sources", {"mirror": 7}, "sources.mirror: .*valid string"),
    ("sources", {"mirror": "~nobody-at-all/x"}, "home directory"),
    ("corpora", [], "corpora: .*dictionary"),
    ("corpora", None, "corpora: .*dictionary"),
    ("corpora/news", None, "corpora.news: .*"),
    ("corpora/a b", {}, "corpora.a b.*match pattern"),
    ("corpora/news/format", "xml", "corpora.news.format: .*'lines'"),
    ("corpora/news/format", "bytes", "`format: bytes` makes one document"),
    ("corpora/news/first_bytes", 0, "first_bytes: .*greater than 0"),
    ("corpora/news/first_bytes", "20k", "first_bytes: .*valid integer"),
    ("corpora/news/first_bytes", 1e4, "first_bytes: .*valid integer"),
    ("corpora/news/split/validation", 0, "split.validation: .*greater than 0"),
    ("corpora/news/split/validation", 1, "split.validation: .*less than 1"),
    ("corpora/news/split/between", "words", "split.between: .*'documents'"),
    ("corpora/news/files", {}, "corpora.news: `split` cuts one file"),
    ("corpora/news/files/dev", {}, "corpora.news.files"),
    ("corpora/news/files/all/kind", ..., "files.all"),
    ("corpora/news/files/all/kind", "ftp", "files.all: .*'ftp'"),
    ("corpora/news/files/all/licence", ..., "licence: Field required"),
    ("corpora/news/files/all/sha256", "abc", "sha256: .*match pattern"),
    ("corpora/news/files/all/encoding", "zip", "encoding: give an encoding of text"),
    ("corpora/news/files/all/encoding", "utf\0", "encoding: give an encoding of text"),
    ("corpora/news/files/all/member", "", "member: .*at least 1 character"),
    ("models", {}, "models: .*at least 1 item"),
    ("models/tiny/options", None, "models.tiny.options: .*dictionary"),
    ("models/tiny/options/num_hashes", 0, "num_hashes: .*greater than 0"),
    ("models/tiny/options/reversible", 1, "reversible: give true, false or auto"),
    ("models/tiny/tokenizer", "words", "models.tiny.tokenizer: .*'sentencepiece'"),
    ("models/tiny/checkpoint", {"kind": "checkpoint"}, "models.tiny"),
    ("models/tiny/pretraining/pieces", 0, "pieces: .*greater than 0"),
    ("models/tiny/pretraining/character_coverage", 1.5, "character_coverage: .*less than or"),
    ("models/tiny/pretraining/phases", [{}], "phases.0.sequence_length: Field required"),
    (f"{ARCHITECTURE}/attn_layers", "lsh", "architecture.attn_layers: Field 'attn_layers' with"),
    (f"{ARCHITECTURE}/attn_layers", ["lhs"], "architecture.attn_layers: attn_layers is"),
    (f"{ARCHITECTURE}/hidden_size", -1, "hidden_size: give at least 1, but it is -1"),
    (f"{ARCHITECTURE}/hidden_size", "64", "architecture.hidden_size: Field 'hidden_size' expec"),
    (f"{ARCHITECTURE}/axial_pos_shape", "8x32", "architecture.axial_pos_shape: Field"),
    (f"{ARCHITECTURE}/axial_pos_shape", [16, "16"], "architecture.axial_pos_shape: Field"),
    (f"{ARCHITECTURE}/hiden_size", 64, "has no hiden_size"),
    (f"{ARCHITECTURE}/model_type", "reformr", "options: model_type reformr has no option"),
    (
        f"{ARCHITECTURE}/axial_norm_std",
        float("nan"),
        "axial_norm_std: give a finite number",
    ),
    ("tokens/news-tiny/row_shape", "short", "row_shape: .*'whole'"),
    ("tokens/news-tiny/document_prefix", 1, "document_prefix: .*boolean"),
    ("counts/news-3gram/order", 10**6, "order: .*less than or equal to 64"),
    ("runs/true", RUN, "the name `true` is no text"),
    ("runs/1e5", RUN, "the name `1e5` is no text"),
    ("runs/.hidden", {}, "runs..hidden.*match pattern"),
    ("runs/news-64/sequence_length", 0, "sequence_length: .*greater than 1"),
    ("runs/news-64/sequence_length", "64", "sequence_length: .*valid integer"),
    ("runs/news-64/sequence_length", 10**9, "sequence_length: .*less than or equal"),
    ("runs/news-64/train", {"epochs": 1, "updates": 2}, "give one of `epochs` and `updates`"),
    ("runs/news-64/chunk", {"policy": "none"}, "chunk.policy: .*'contiguous'"),
    ("runs/news-64/evaluate", {"batch_size": 10**15}, "batch_size: .*less than or equal"),
    ("runs/news-64/options", {"num_bukets": 2}, "has no option `num_bukets`"),
    ("chunk", ..., "chunk: Field required"),
    ("train/precision", "float16", "train.precision: .*'float32'"),
    ("train/weight_decay", -1, "weight_decay: .*greater than or equal to 0"),
    ("train/max_gradient_norm", 0, "max_gradient_norm: .*greater than 0"),
    ("train/learning_rate", "5e-4x", "learning_rate: .*valid number"),
    ("train/optimizer", "muon", "`matrix_learning_rate` is what"),
    ("evaluate/contexts", 64, "evaluate.contexts: .*list"),
    ("evaluate/unknown_limit", -1, "unknown_limit: .*greater than or equal to 0"),
    ("report/notes", {"nobody": "x"}, "`nobody` is not among models"),
    (f"{SIZES}/model_type", "nonsense", "model_type must be a causal language model"),
    (f"{SIZES}/model_type", ..., "model_type must be a causal .*there is none"),
    (f"{SIZES}/model_type", "bert2", "model_type must be a causal language model"),
    (f"{SIZES}/hidden_size", -1, "hidden_size: give at least 1, but it is -1"),
    (f"{SIZES}/hidden_size", "64", "memory.models.tiny.hidden_size: Field 'hidden_size' expec"),
    (f"{SIZES}/hidden_size", 10**30, "hidden_size: give at most 2147483648"),
    (f"{SIZES}/attn_layers", ["x"], "memory.models.tiny: reformer does not build"),
    (f"{SIZES}/hiden_size", 64, "it has no `hiden_size`; did you mean hidden_size"),
    ("memory/models/tiny-gpt2/n_layer", 10**6, "n_layer: give at most 4096, but it is 1000000"),
    ("memory/models/tiny-gpt2/n_head", 7, "memory.models.tiny-gpt2: gpt2 does not build"),
    ("memory/rows/x", {"model": "nobody"}, "memory.rows.x"),
    ("memory/rows/tiny-256/batch_size", 10**15, "batch_size: .*less than or equal"),
    ("memory/gpu", "H1000", "gpu: `H1000` is not among memory.gpus"),
    ("memory/fits", ["nobody"], "fits: `nobody` is not among memory.rows"),
    ("memory/training/layers", [], "layers: .*at least 1 item"),
]


@pytest.fixture(scope="module")
def smoke_values() -> Any:
    return compose("smoke", CONF)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "value", "words"),
    MUTATED_PARAMS,
    ids=[f"{key}={value!r:.20}" for key, value, _ in MUTATED_PARAMS],
)
def test_mutated_params_are_refused_by_the_key(
    key: str, value: Any, words: str, smoke_values: Any, project: Path
) -> None:
    write_params(changed(deepcopy(smoke_values), key, value))
    assert _matches(words, ended(_checked_before_a_run))
    assert [path.name for path in project.iterdir()] == ["params.yaml"]


def _checked_before_a_run() -> None:
    study = load_study()
    check_models(study)
    check_memory_models(study)


def _matches(words: str, message: str) -> bool:
    """Whether a message says the words; the message is shown where it does not."""
    assert "Traceback" not in message
    assert re.search(words, message, re.DOTALL), message
    return True


def zipped(name: str, body: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(name, body)
    return content.getvalue()


def encoded(encoding: str) -> bytes:
    return TEXT.decode().encode(encoding)


LATIN = "Ten trees grow près de la rivière.\n".encode("latin-1") * 10
LINES_SPLIT = {"validation": 0.2, "test": 0.2, "between": "lines"}
DUMP = b"<mediawiki><page><title>One</title><ns>0</ns><revision><text>Two.</text></revision>"
REFUSED_TEXTS: dict[str, tuple[bytes, dict[str, Any], dict[str, Any], str]] = {
    "empty": (b"", {}, {}, "the file is empty"),
    "one newline": (b"\n", {}, {}, "nothing is left of the text"),
    "blank lines": (b"\n \n\t\n", {}, {}, "nothing is left of the text"),
    "two lines": (b"a\nb\n", {}, {}, "the test split is empty"),
    "a share of nothing": (
        TEXT,
        {"split": LINES_SPLIT | {"test": 1e-9}},
        {},
        "the test split is empty",
    ),
    "a byte of it": (TEXT, {"first_bytes": 1}, {}, "nothing is left of the text"),
    "two rows of it": (TEXT, {"first_rows": 2}, {}, "the validation split is empty"),
    "utf-16": (encoded("utf-16"), {}, {}, "no UTF-8 but utf-16, .*`encoding: utf-16`"),
    "utf-16 without a mark": (encoded("utf-16-le"), {}, {}, "`encoding: utf-16-le`"),
    "utf-32": (encoded("utf-32"), {}, {}, "`encoding: utf-32`"),
    "latin-1": (LATIN, {}, {}, "no UTF-8, 20 of its 350 bytes are none"),
    "not what is declared": (LATIN, {}, {"encoding": "ascii"}, "not ascii, near byte 17"),
    "half a character": (encoded("utf-16")[:-1], {}, {"encoding": "utf-16"}, "truncated data"),
    "a NUL": (TEXT + b"\0\n", {}, {}, "a NUL byte is at or after byte 280"),
    "surrogates": (b"\xed\xa0\x80 a\n" * 10, {}, {}, "no UTF-8, 30 of its 60 bytes"),
    "bytes": (bytes(range(128, 256)) * 9, {}, {}, "no UTF-8"),
    "zip": (zipped("a", TEXT), {}, {}, "no text but zip"),
    "zip in a zip": (zipped("a", zipped("b", TEXT)), {}, {"member": "a"}, "no text but zip"),
    "a member that is not there": (zipped("a", TEXT), {}, {"member": "b"}, "no member `b`"),
    "a member above": (zipped("../a", TEXT), {}, {"member": "../a"}, "`../a` is refused"),
    "a zip that is cut": (zipped("a", TEXT)[:-30], {}, {"member": "a"}, "cannot be unpacked"),
    "gzip": (gzip.compress(TEXT), {}, {}, "no text but gzip.*`compression: gz`"),
    "gzip twice": (gzip.compress(gzip.compress(TEXT)), {}, {"compression": "gz"}, "but gzip"),
    "gzip that is cut": (gzip.compress(TEXT)[:-9], {}, {"compression": "gz"}, "cannot be unp"),
    "no gzip": (TEXT, {}, {"compression": "gz"}, "cannot be unpacked"),
    "bzip2": (bz2.compress(TEXT), {}, {}, "no text but bzip2"),
    "pdf": (b"%PDF-1.7\n" + TEXT, {}, {}, "no text but PDF"),
    "parquet": (b"PAR1\x15" + TEXT, {}, {}, "no text but parquet"),
    "a tar": (TEXT[:257] + b"ustar\0" + TEXT, {}, {}, "no text but tar"),
    "too much unpacked": (TEXT, {}, {"unpacked_size": 99}, "has 280 bytes, but 99 are declared"),
    "another sum": (TEXT, {}, {"sha256": "0" * 64}, "another checksum than declared"),
    "another sum unpacked": (TEXT, {}, {"unpacked_sha256": "0" * 64}, "another checksum"),
    "nowhere": (TEXT, {}, {"path": "nowhere.txt"}, "no file or folder `nowhere.txt`"),
    "a folder": (TEXT, {}, {"path": "."}, "`.` is a folder"),
    "a device": (TEXT, {}, {"path": "/dev/zero"}, "`/dev/zero` is a device"),
    "a file that can't be read": (TEXT, {}, {"path": "/proc/self/mem"}, "Input/output error"),
    "a path with a NUL": (TEXT, {}, {"path": "a\0b"}, "no file or folder"),
    "no dump": (TEXT, {"format": "wikipedia_prose"}, {}, "no whole XML dump of MediaWiki"),
    "a dump that is cut": (DUMP, {"format": "wikipedia_prose"}, {}, "no whole XML dump"),
    "a dump of nothing": (b"<mediawiki/>", {"format": "wikipedia_prose"}, {}, "nothing is left"),
    "a dump that reads a file": (
        b'<!DOCTYPE l [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
        + DUMP.replace(b"Two.", b"&a;")
        + b"</page></mediawiki>",
        {"format": "wikipedia_prose"},
        {},
        "undefined entity",
    ),
    "no Python": (TEXT, {"format": "python_string"}, {}, "not a Python module of text: invalid"),
    "Python without a text": (b"x = 1\n", {"format": "python_string"}, {}, "nothing is left"),
    "Python too deep": (
        b"x = " + b"-" * 100_000 + b"1",
        {"format": "python_string"},
        {},
        "not a Python module of text: (.*Error|Parser stack overflowed)",
    ),
    "Python of half a character": (
        b"x = 'a\\ud800'\n",
        {"format": "python_string"},
        {},
        "surrogates not allowed",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED_TEXTS)
def test_a_text_that_cannot_be_had_is_refused_in_words(name: str, project: Path) -> None:
    body, corpus, source, words = REFUSED_TEXTS[name]
    assert _matches(words, downloaded(body, corpus, source))
    assert not list(TEXTS.glob("*"))
    assert {path.name for path in project.iterdir()} <= {"params.yaml", "mine.txt", "data", "work"}


def downloaded(body: bytes, corpus: dict[str, Any], source: dict[str, Any]) -> str:
    """What the stage `download` ends with for a text and what is declared of it."""
    study = SmallStudy()
    Path("mine.txt").write_bytes(body)
    study.corpus.update(corpus)
    study.corpus["files"]["all"].update(source)
    write_params(study.values)

    def run() -> None:
        load_study()
        download.main("news")

    return ended(run)


WORDS = TEXT.replace(b"\n", b" ")
TAKEN_TEXTS: dict[str, tuple[bytes, dict[str, Any], dict[str, Any], bytes]] = {
    "as it is": (TEXT, {}, {}, TEXT),
    "carriage returns": (TEXT.replace(b"\n", b"\r\n"), {}, {}, TEXT.replace(b"\n", b"\r\n")),
    "newlines made of them": (TEXT.replace(b"\n", b"\r\n"), {}, {"line_ends": "newline"}, TEXT),
    "carriage returns alone": (TEXT.replace(b"\n", b"\r"), {}, {"line_ends": "newline"}, TEXT),
    "no newline at the end": (TEXT[:-1], {}, {}, TEXT),
    "a byte order mark": (b"\xef\xbb\xbf" + TEXT, {}, {"encoding": "utf-8-sig"}, TEXT),
    "utf-16 as declared": (encoded("utf-16"), {}, {"encoding": "utf-16"}, TEXT),
    "utf-7 as declared": (TEXT, {}, {"encoding": "utf-7"}, TEXT),
    "gzip as declared": (gzip.compress(TEXT), {}, {"compression": "gz"}, TEXT),
    "a member": (zipped("a/b", TEXT), {}, {"member": "a/b"}, TEXT),
    "blank lines between": (TEXT.replace(b"\n", b"\n\n"), {}, {}, TEXT),
    "three rows": (TEXT, {"first_rows": 5}, {}, b"".join(LINES[:5])),
    "some bytes": (TEXT, {"first_bytes": 200}, {}, b"".join(LINES[:7])),
    "other line ends within": (TEXT.replace(b"by", b"\x0b\x1c\xc2\x85\xe2\x80\xa8"), {}, {},
                               TEXT.replace(b"by", b"\x0b\x1c\xc2\x85\xe2\x80\xa8")),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", TAKEN_TEXTS)
def test_a_text_that_is_odd_is_taken_as_declared(name: str, project: Path) -> None:
    body, corpus, source, text = TAKEN_TEXTS[name]
    assert downloaded(body, corpus, source) == ""
    splits = ("train", "validation", "test")
    read = b"".join((TEXTS / "news" / f"{split}.txt").read_bytes() for split in splits)
    assert read == text
    assert (project / "data").is_dir()


def test_a_pipe_and_a_link_to_itself_are_no_text(project: Path) -> None:
    os.mkfifo("pipe")
    (project / "link").symlink_to("link")
    assert _matches("`pipe` is a device or a pipe", downloaded(TEXT, {}, {"path": "pipe"}))
    assert _matches("no file or folder `link`", downloaded(TEXT, {}, {"path": "link"}))


HEAD = b"# @package _global_\ndefaults:\n  - /profile/smoke\n  - _self_\n"
MUTATED_PROFILES: dict[str, tuple[bytes, str]] = {
    "a tab": (b"train:\n\tupdates: 1\n", "can't be read: .*line 6"),
    "a value of nowhere": (b"profile: ${x}\n", "can't be read: .*'x' not found"),
    "a resolver": (b"profile: ${oc.env:NO_SUCH_VARIABLE}\n", "can't be read: .*NO_SUCH_VARIABLE"),
    "one that is unknown": (b"profile: ${no.such:1}\n", "can't be read"),
    "twice": (b"profile: a\nprofile: b\n", "can't be read: .*duplicate"),
    "latin-1": (b"profile: caf\xe9\n", r"not UTF-8 \(byte 0xe9 in line 5\)"),
    "utf-16": (b"\xff\xfep\0r\0", r"not UTF-8 \(byte 0xff in line 5\)"),
    "cut": (b"corpora: {news: [\n", "can't be read"),
    "a conflict": (b"<<<<<<< HEAD\nprofile: a\n=======\nprofile: b\n>>>>>>> b\n", "can't be read"),
    "a truth value": (b"train: {weight_decay: on}\n", "line 5: `on` is read as one thing"),
    "an octal number": (b"train: {epochs: 010}\n", "line 5: `010` is read as one thing"),
    "a time": (b"train:\n  epochs: 12:30\n", "line 6: `12:30` is read as one thing"),
    "a word": (b"train: {epochs: many}\n", "train.epochs: .*valid integer"),
    "a key of none": (b"trian: {epochs: 1}\n", "unknown key `trian`"),
    "a name of a number": (b"runs: {007x: {}, '64': {}}\n", "runs.64|name `64`|runs.007x"),
    "itself": (b"profile: ${profile}\n", "can't be read"),
    "a list": (b"- 1\n", "can't be read"),
}


@pytest.mark.parametrize("name", MUTATED_PROFILES)
def test_a_mutated_profile_is_refused_by_its_file(name: str, project: Path) -> None:
    body, words = MUTATED_PROFILES[name]
    conf = project / "conf"
    shutil.copytree(CONF, conf)
    (conf / "profile/mine.yaml").write_bytes(HEAD + body)
    message = ended(lambda: parse_study(compose("mine", conf), "mine.yaml"))
    assert _matches(words, message)
    assert "mine.yaml" in message


@pytest.mark.slow
def test_a_stage_refuses_a_profile_that_dvc_has_read_otherwise(project: Path) -> None:
    """DVC has made 8 of the profile's 010 when the stage looks."""
    shutil.copytree(CONF, project / "conf")
    study = SmallStudy()
    study.values["profile"] = "mine"
    study.values["train"]["epochs"] = 8
    write_params(study.values)
    (project / "conf/profile/mine.yaml").write_bytes(HEAD + b"train: {epochs: 010}\n")
    done = subprocess.run(
        [sys.executable, "-m", "stages.download", "news"],
        env=environment(PYTHONPATH=os.fspath(ROOT)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert _matches("error: .*mine.yaml, line 5: `010` is read as one thing", done.stderr)
    assert not TEXTS.exists()


def declared(**values: Any) -> Change:
    """Changes values of config.json; an ellipsis drops one."""

    def change(folder: Path) -> None:
        path = folder / "config.json"
        config = json.loads(path.read_text()) | values
        path.write_text(json.dumps({key: each for key, each in config.items() if each is not ...}))

    return change


def holding(name: str, content: bytes) -> Change:
    return lambda folder: (folder / name).write_bytes(content)


def cut(name: str, size: int) -> Change:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size])


def without(name: str) -> Change:
    return lambda folder: (folder / name).unlink()


def weights(change: Callable[[dict[str, Any], str], object]) -> Change:
    """Changes the tensors, given the name of the first."""

    def changes(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors, min(tensors))
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    return changes


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 3\n"
CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
MUTATED_FOLDERS: dict[str, tuple[Change, str]] = {
    "no config": (without(CONFIG), "own has no config.json|own is no checkpoint|`own` is a folder"),
    "an empty config": (holding(CONFIG, b""), "own is no checkpoint, .*config.json can't be read"),
    "a list": (holding(CONFIG, b"[]"), "own is no checkpoint"),
    "half a config": (cut(CONFIG, 100), "own is no checkpoint"),
    "utf-16": (holding(CONFIG, "{}".encode("utf-16")), "own is no checkpoint"),
    "too deep": (holding(CONFIG, b'{"a":' * 10**5), "own is no checkpoint"),
    "no type": (declared(model_type=...), "has no model_type: 'model_type'"),
    "a type of none": (declared(model_type="lama"), "it is `lama`; did you mean llama"),
    "no causal type": (declared(model_type="t5"), "must be a causal language model .* `t5`"),
    "another type": (declared(model_type="bert"), "lacks weights of the bert"),
    "less than nothing": (declared(hidden_size=-1), "hidden_size: give at least 1, but it is -1"),
    "a word for a number": (declared(hidden_size="64"), "'hidden_size' expected int, got str"),
    "past any machine": (declared(hidden_size=10**12), "give at most 2147483648"),
    "a million layers": (declared(num_hidden_layers=10**6), "give at most 4096"),
    "one layer more": (declared(num_hidden_layers=3), "own lacks weights of the llama"),
    "another vocabulary": (declared(vocab_size=7), "own lacks weights of the llama .* other shap"),
    "no weights": (without(WEIGHTS), "own has no weights"),
    "empty weights": (holding(WEIGHTS, b""), "own holds no llama that loads"),
    "a pointer of weights": (holding(WEIGHTS, POINTER), "own holds no llama that loads"),
    "cut in the header": (cut(WEIGHTS, 100), "own holds no llama that loads"),
    "cut in a tensor": (cut(WEIGHTS, 20_000), "own holds no llama that loads"),
    "a tensor less": (weights(lambda all_, name: all_.pop(name)), "own lacks weights"),
    "a tensor cut": (
        weights(lambda all_, name: all_.update({name: all_[name][:3].clone()})),
        "own lacks weights of the llama",
    ),
    "no tokenizer": (without(TOKENIZER), "own holds no tokenizer.json, which `tokenizer: transf"),
    "an empty tokenizer": (holding(TOKENIZER, b""), "tokenizer in data/bases/own is not of the"),
    "half a tokenizer": (cut(TOKENIZER, 100), "tokenizer in data/bases/own is not of the kind"),
    "a pointer of a tokenizer": (holding(TOKENIZER, POINTER), "own is not of the kind transf"),
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint") / "own"
    save_checkpoint(folder)
    return folder


def of_a_checkpoint(checkpoint: Path, change: Change) -> str:
    """What is said of a model folder before anything runs, else what its stage says."""
    shutil.copytree(checkpoint, "own")
    change(Path("own"))
    study = SmallStudy()
    source = {"kind": "path", "path": "own", "licence": "my own"}
    study.values["models"] = {
        "own": {"options": {}, "tokenizer": "transformers", "checkpoint": source}
    }
    study.values["tokens"] = {"news-own": {"corpus": "news", "model": "own"}}
    study.values["counts"] = {}
    run = {"corpus": "news", "model": "own", "sequence_length": 64}
    study.values["runs"] = {"news-64": run}
    write_params(study.values)
    return ended(lambda: check_models(load_study())) or ended(lambda: pretrain.main("own"))


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTATED_FOLDERS)
def test_a_mutated_model_folder_is_refused_in_words(
    name: str, checkpoint: Path, project: Path
) -> None:
    change, words = MUTATED_FOLDERS[name]
    assert _matches(words, of_a_checkpoint(checkpoint, change))
    assert not list(BASES.glob("*"))
    assert not DATA.exists() or not [path for path in DATA.rglob("*") if path.is_file()]


def test_a_model_folder_is_taken_as_it_is(checkpoint: Path, project: Path) -> None:
    assert of_a_checkpoint(checkpoint, declared(auto_map={"AutoConfig": "code.Config"})) == ""
    taken = {path.name for path in BASES.glob("own/*")}
    assert {CONFIG, WEIGHTS, TOKENIZER} < taken
    assert (BASES / "own" / WEIGHTS).read_bytes() == (checkpoint / WEIGHTS).read_bytes()


def test_there_are_many_mutations() -> None:
    tables = (MUTATED_PARAMS, REFUSED_TEXTS, TAKEN_TEXTS, MUTATED_PROFILES, MUTATED_FOLDERS)
    assert sum(map(len, tables)) >= 180
