"""A line means the same in a profile, which Hydra reads, and in params.yaml, which DVC reads."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from ruamel.yaml import YAML

from reformer_seqlen.parameters.dialects import AMBIGUOUS, check_dialect, meant
from reformer_seqlen.parameters.model_options import AttentionOptions, ReformerOptions
from reformer_seqlen.parameters.profiles import compose
from reformer_seqlen.parameters.study import Study, load_study
from reformer_seqlen.runtime.errors import StudyError
from tests.conftest import CONF, ROOT
from tests.properties import drawn

WHOLE = (ROOT / "params.yaml").read_text(encoding="utf-8")


def _hydra_reads(text: str) -> Any:
    return OmegaConf.to_object(OmegaConf.create(text))


def _dvc_reads(text: str) -> Any:
    return YAML(typ="safe").load(text)


SCALARS = st.one_of(
    st.sampled_from(["yes", "No", "on", "OFF", "y", "n", "~", "null", "12:30", "007", "0o17"]),
    st.sampled_from(["2021-01-01", "1_000", "0x1f", "+.5", ".5e3", "1e3", "08", "00.5", ".inf"]),
    st.from_regex(r"[-+]?[0-9_]{1,4}([.:][0-9_]{1,3})?([eE][-+]?[0-9]{1,2})?", fullmatch=True),
    st.from_regex(r"[-+]?0[xob]?[0-9a-f]{0,4}", fullmatch=True),
    st.from_regex(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ][0-9:]{1,8}Z?)?", fullmatch=True),
    st.from_regex(r"[A-Za-z~.]{1,5}", fullmatch=True),
)


@pytest.mark.slow
@drawn
@given(SCALARS)
@example("1:2:3.5")
@example("-_0")
@example("0_17")
def test_what_is_not_refused_is_read_alike(scalar: str) -> None:
    text = f"key: {scalar}\n"
    if meant(scalar) is None:
        ours, hydras = _dvc_reads(text)["key"], _hydra_reads(text)["key"]
        assert (type(ours), repr(ours)) == (type(hydras), repr(hydras))


@drawn
@given(st.text(st.sampled_from("ynoftrue01:.-~ "), min_size=1, max_size=6))
def test_what_hydra_writes_is_read_back_by_both(word: str) -> None:
    """DVC has Hydra write params.yaml, with quotes where a word needs them."""
    written = OmegaConf.to_yaml(OmegaConf.create({"key": word}))
    assert _dvc_reads(written) == _hydra_reads(written) == {"key": word}


@pytest.mark.slow
@drawn
@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53))
def test_what_hydra_writes_of_a_number_is_read_back_by_both(number: float) -> None:
    written = OmegaConf.to_yaml(OmegaConf.create({"key": number}))
    assert _dvc_reads(written)["key"] == _hydra_reads(written)["key"] == number


@pytest.mark.parametrize(
    ("scalar", "advice"),
    [
        ("on", "write true"),
        ("no", "write false"),
        ("12:30", "write it in digits"),
        ("010", "write it in digits"),
        ("2021-01-01", "write the date in words"),
    ],
)
def test_params_and_profiles_refuse_the_same(scalar: str, advice: str, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(f"{WHOLE}extra: {scalar}\n", encoding="utf-8")
    line = WHOLE.count("\n") + 1
    said = rf"line {line}: `{scalar}` is read as one thing by YAML 1\.1 .*: {advice}.* in quotes"
    with pytest.raises(StudyError, match=rf"params\.yaml, {said}"):
        load_study(tmp_path / "params.yaml")
    (tmp_path / "profile").mkdir()
    (tmp_path / "config.yaml").write_text("defaults:\n  - profile: mine\n  - _self_\n")
    (tmp_path / "profile/mine.yaml").write_text(f"# @package _global_\nx:\n  {scalar}: 1\n")
    with pytest.raises(StudyError, match=rf"mine\.yaml, line 3: `{scalar}` .*: {advice}"):
        compose("mine", tmp_path)


def test_quotes_make_a_word_of_it(tmp_path: Path) -> None:
    path = tmp_path / "some.yaml"
    path.write_text("'on': \"no\"\nnote: |\n  on\n", encoding="utf-8")
    check_dialect(path)
    assert _dvc_reads(path.read_text()) == _hydra_reads(path.read_text())


def test_what_one_dialect_alone_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "some.yaml"
    path.write_text("times: [12:30]\n", encoding="utf-8")
    assert _hydra_reads(path.read_text()) == {"times": [750]}
    with pytest.raises(StudyError, match="is not YAML"):
        check_dialect(path)


def test_all_files_of_the_project_are_read_alike() -> None:
    for path in (ROOT / "params.yaml", *CONF.rglob("*.yaml")):
        check_dialect(path)


def test_no_key_or_value_of_ours_is_a_truth_value_to_one_dialect() -> None:
    schemas = [kind.model_json_schema() for kind in (Study, ReformerOptions, AttentionOptions)]
    words = {word for schema in schemas for word in _words(schema)}
    assert {"corpora", "auto", "wikipedia_prose", "contiguous", "sequence_length"} < words
    assert [word for word in words if any(form.fullmatch(word) for form in AMBIGUOUS)] == []


def _words(schema: Any) -> Iterator[str]:
    """The keys and the words that are values in a JSON schema."""
    if isinstance(schema, list):
        for each in schema:
            yield from _words(each)
    elif isinstance(schema, dict):
        yield from schema.get("properties", {})
        yield from (str(value) for value in schema.get("enum", ()) if isinstance(value, str))
        yield from (str(schema["const"]) for _ in [0] if isinstance(schema.get("const"), str))
        for each in schema.values():
            yield from _words(each)


@pytest.mark.parametrize(("given_", "taken"), [(True, "on"), (False, "off"), ("auto", "auto")])
def test_a_switch_is_true_false_or_auto(given_: object, taken: str) -> None:
    assert ReformerOptions.model_validate({"reversible": given_}).reversible == taken


@pytest.mark.parametrize("word", ["on", "off", 1, None, []])
def test_a_switch_is_nothing_else(word: object) -> None:
    with pytest.raises(ValueError, match="give true, false or auto"):
        ReformerOptions.model_validate({"reversible": word})
