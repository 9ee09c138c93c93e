"""params.yaml and profiles as people break them: each ends in an error that says what is wrong."""

import os
from copy import deepcopy
from math import inf
from pathlib import Path
from typing import Any

import pytest

from reformer_seqlen.checking.profile import compare_profile
from reformer_seqlen.parameters.profiles import compose
from reformer_seqlen.parameters.study import load_study, parse_study
from reformer_seqlen.runtime.errors import StudyError
from tests.conftest import CONF, ROOT

WHOLE = (ROOT / "params.yaml").read_bytes()
BROKEN = {
    "empty": (b"", "is not a valid study: it is empty, and sections .* were expected"),
    "a list": (b"- 1\n", "is not a valid study: it is a list"),
    "latin-1": (
        WHOLE + b"# caf\xe9\n",
        r"is not UTF-8 \(byte 0xe9 in line \d+\): save it as UTF-8",
    ),
    "utf-16": (WHOLE.decode().encode("utf-16"), r"is not UTF-8 \(byte 0xff in line 1\)"),
    "a tab": (b"chunk:\n\tpolicy: contiguous\n", "is not YAML"),
    "conflict": (b"<<<<<<< HEAD\n" + WHOLE + b"=======\n>>>>>>> longer\n", "is not YAML"),
    "cut": (WHOLE[: WHOLE.index(b"runs:")], "runs: Field required"),
    "twice": (
        WHOLE + b"profile: quick\n",
        rf'is not YAML: line {len(WHOLE.splitlines()) + 1}: found duplicate key "profile"',
    ),
    "deep": (b"a: " + b"[" * 3000 + b"]" * 3000, "nested too deep"),
    "itself": (b"a: &a [*a]\n", "holds itself"),
    "ever more": (
        b"a: &a [1, 1, 1, 1, 1, 1, 1, 1]\n"
        + b"".join(b"%c: &%c [%s]\n" % (n + 1, n + 1, b"*%c, " % n * 9) for n in range(97, 110)),
        "aliases stand for too much",
    ),
    "a number without an end": (b"a: " + b"9" * 5000 + b"\n", "is not YAML: Exceeds the limit"),
    "no number": (b"a: !!int x\n", "is not YAML: invalid literal"),
    "a tag": (b"profile: !!python/object:os.system x\n", "is not YAML|not a valid study"),
    "a NUL": (b"profile: quick\x00\n", "is not YAML"),
}
NAMES = ("true", "null", "64", "1e5", "007", "on", "No", "y", "2021-01-01", "1_000", "0x1f")


@pytest.mark.parametrize(("content", "words"), BROKEN.values(), ids=BROKEN)
def test_a_file_that_is_no_study_says_why(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(StudyError, match=words) as said:
        load_study(path)
    assert str(path) in str(said.value)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    os.mkfifo(path)
    with pytest.raises(StudyError, match="is no regular file"):
        load_study(path)


@pytest.fixture
def values() -> Any:
    return deepcopy(compose("smoke", CONF))


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_yaml_reads_as_something_else_is_refused(name: str, values: Any) -> None:
    values["runs"][name] = values["runs"]["news-64"]
    with pytest.raises(StudyError, match=rf"the name `{name}` is no text .* as in a-{name}"):
        parse_study(values, "params.yaml")


@pytest.mark.parametrize(("name", "shown"), [(True, "True"), (64, "64"), (None, "None")])
def test_a_name_that_is_no_text_without_its_quotes_is_refused(
    name: Any, shown: str, values: Any
) -> None:
    values["runs"][name] = values["runs"]["news-64"]
    with pytest.raises(
        StudyError, match=rf"runs: the name `{shown}` is no text .* as in a-{shown}"
    ):
        parse_study(values, "params.yaml")


def test_a_key_that_is_no_text_below_a_name_is_placed(values: Any) -> None:
    values["runs"]["news-64"]["train"] = {3: 1}
    with pytest.raises(StudyError, match=r"runs\.news-64\.train\.") as said:
        parse_study(values, "params.yaml")
    assert "the name `3`" not in str(said.value)


def test_a_name_that_no_file_system_takes_is_refused(values: Any) -> None:
    values["runs"]["n" * 100] = values["runs"]["news-64"]
    parse_study(values, "params.yaml")
    values["runs"]["n" * 101] = values["runs"]["news-64"]
    with pytest.raises(StudyError, match="has 101 characters: at most 100"):
        parse_study(values, "params.yaml")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"train:\n\tupdates: 1\n", "mine.yaml can't be read: .*line 3"),
        (b"profile: ${x}\n", "mine.yaml can't be read: .*'x' not found"),
        (b"profile: a\nprofile: b\n", "mine.yaml can't be read: .*duplicate"),
        (b"profile: caf\xe9\n", r"mine.yaml is not UTF-8 \(byte 0xe9 in line 2\)"),
        (b"a: [1\n", "mine.yaml can't be read"),
    ],
)
def test_a_broken_profile_says_why(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "profile").mkdir()
    (tmp_path / "config.yaml").write_text("defaults:\n  - profile: mine\n  - _self_\n")
    (tmp_path / "profile/mine.yaml").write_bytes(b"# @package _global_\n" + content)
    with pytest.raises(StudyError, match=words):
        compose("mine", tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "chunk: 1", "profile: 7"])
def test_params_without_a_profile_are_compared_with_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(StudyError, match="names no `profile`"):
        compare_profile(tmp_path / "params.yaml", CONF)


PAST_ANY_MACHINE: dict[str, Any] = {
    "corpora.news.first_rows": 10**40,
    "corpora.news.first_bytes": 10**40,
    "models.tiny.pretraining.pieces": 10**12,
    "models.tiny.pretraining.skip_bytes": 10**40,
    "models.tiny.pretraining.architecture.feed_forward_size": 10**12,
    "models.tiny.pretraining.train.epochs": 10**30,
    "models.tiny.options.num_hashes": 10**9,
    "models.tiny.options.num_buckets": 2**20,
    "train.weight_decay": 1e308,
    "train.learning_rate": 1e308,
    "train.epochs": 10**30,
    "train.batch_size": 10**15,
    "train.warmup_updates": 10**30,
    "train.threads": 10**9,
    "train.seed": 2**32,
    "evaluate.hash_draws": 10**9,
    "evaluate.contexts": [10**12],
    "memory.models.tiny.hidden_size": 10**30,
    "memory.models.tiny-gpt2.n_layer": 10**6,
    "memory.training.layers": [100_000],
    "memory.training.batch_size": 10**15,
    "memory.limits.seconds": 1e300,
}


@pytest.mark.slow
@pytest.mark.parametrize(("key", "value"), PAST_ANY_MACHINE.items(), ids=PAST_ANY_MACHINE)
def test_a_number_past_any_machine_is_refused_by_its_name(
    key: str, value: Any, values: Any
) -> None:
    *path, last = key.split(".")
    section = values
    for name in path:
        section = section[name]
    section[last] = value
    with pytest.raises(StudyError, match=rf"{last}.*(less than|at most)"):
        parse_study(values, "params.yaml")


MAKES_NO_MODEL: dict[str, tuple[str, Any, str]] = {
    "no width": ("hidden_size", 0, "hidden_size: give at least 1, but it is 0"),
    "no positions": ("max_position_embeddings", 0, "max_position_embeddings: give at least 1"),
    "fewer than no layers": ("n_layer", -1, "n_layer: give at least 1, but it is -1"),
    "no hash rounds": ("num_hashes", 0, "num_hashes: give at least 1, but it is 0"),
    "no chunks": ("lsh_attn_chunk_length", 0, "lsh_attn_chunk_length: give at least 1"),
    "an empty factor": ("axial_pos_shape", [0, 64], r"axial_pos_shape\.0: give at least 1"),
    "no factors": ("axial_pos_shape", [], "axial_pos_shape: give a list of one number or more"),
    "no end": ("axial_norm_std", inf, "axial_norm_std: give a finite number, but it is inf"),
    "no spread": ("initializer_range", -0.1, "initializer_range: give at least 0"),
    "all is dropped twice": ("attention_dropout", 2, "attention_dropout: give at most 1"),
    "no end below": ("rope_scaling", {"factor": inf}, r"rope_scaling\.factor: give a finite numb"),
}


@pytest.mark.parametrize(("name", "value", "words"), MAKES_NO_MODEL.values(), ids=MAKES_NO_MODEL)
def test_a_value_that_makes_no_model_is_refused_by_its_key(
    name: str, value: Any, words: str, values: Any
) -> None:
    values["models"]["tiny"]["pretraining"]["architecture"][name] = value
    key = r"models\.tiny\.pretraining\.architecture\."
    with pytest.raises(StudyError, match=key + words):
        parse_study(values, "params.yaml")


def test_a_bound_may_be_infinite_where_there_is_none(values: Any) -> None:
    values["memory"]["models"]["mine"] = {"model_type": "mamba2", "time_step_limit": [0.0, inf]}
    assert parse_study(values, "params.yaml").memory.models["mine"]["time_step_limit"][1] == inf
