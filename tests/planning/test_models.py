"""What is refused before anything runs, as transformers alone knows it."""

from pathlib import Path
from typing import Any

import pytest

from reformer_seqlen.parameters.profiles import compose
from reformer_seqlen.parameters.study import parse_study
from reformer_seqlen.planning.models import check_memory_models, check_models
from reformer_seqlen.runtime.errors import StudyError
from tests.conftest import CONF
from tests.models_example import KINDS, made


def study_of(length: int, **architecture: Any) -> Any:
    values = compose("smoke", CONF)
    recipe = values["models"]["tiny"]["pretraining"]
    recipe |= {"architecture": {"model_type": "gpt2", **KINDS["gpt2"], **architecture}}
    values["models"]["tiny"]["options"] = {}
    values["runs"] = {"a": {"corpus": "news", "model": "tiny", "sequence_length": length}}
    return parse_study(values, "params.yaml")


def test_any_length_up_to_the_positions_is_right() -> None:
    for length in (100, 256):
        check_models(study_of(length))


def test_a_checkpoint_of_this_machine_says_what_it_is(tmp_path: Path) -> None:
    made("llama").save_pretrained(tmp_path)
    values = compose("smoke", CONF)
    source = {"kind": "path", "path": str(tmp_path), "licence": "my own"}
    values["models"]["tiny"] = {"options": {}, "checkpoint": source}
    values["runs"] = {"a": {"corpus": "news", "model": "tiny", "sequence_length": 257}}
    with pytest.raises(StudyError, match=r"runs\.a\.sequence_length: llama has 256 positions"):
        check_models(parse_study(values | {"counts": {}}, "params.yaml"))


@pytest.mark.parametrize(
    ("length", "architecture", "words"),
    [
        (257, {}, r"runs\.a\.sequence_length: gpt2 has 256 positions, 257 tokens are too many"),
        (
            64,
            {"n_layers": 3},
            r"pretraining\.architecture\.n_layers: .*did you mean n_layer",
        ),
        (64, {"n_layer": 2.5}, r"pretraining\.architecture\.n_layer: Field 'n_layer' expected int"),
        (64, {"n_positions": 32}, r"models\.tiny\.pretraining\.sequence_length: gpt2 has 32"),
    ],
)
def test_what_cannot_run_is_named_with_its_key(
    length: int, architecture: dict[str, Any], words: str
) -> None:
    with pytest.raises(StudyError, match=words):
        check_models(study_of(length, **architecture))


def test_a_checkpoint_whose_layers_do_not_hash_has_no_hash_rounds(tmp_path: Path) -> None:
    values = compose("smoke", CONF)
    source = {"kind": "path", "path": str(tmp_path), "licence": "my own"}
    values["models"]["tiny"] = {"options": {}, "checkpoint": source}
    values["evaluate"]["hash_rounds"] = [2]
    for layers, hashes in ((["local", "lsh"], True), (["local"], False)):
        made("reformer", attn_layers=layers).save_pretrained(tmp_path)
        study = parse_study(values | {"counts": {}}, "params.yaml")
        if hashes:
            check_models(study)
        else:
            complaint = r"runs\.news-64\.evaluate\.hash_rounds: models\.tiny has no layer that"
            with pytest.raises(StudyError, match=complaint):
                check_models(study)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"model_type": "nonsense"}, r"memory\.models\.mine.*nonsense"),
        (
            {"model_type": "gpt2", "n_layers": 3},
            r"memory\.models\.mine\.n_layers: .*mean n_layer",
        ),
    ],
)
def test_a_model_whose_memory_is_asked_for_is_one(values: dict[str, Any], words: str) -> None:
    study = compose("smoke", CONF)
    check_memory_models(parse_study(study, "params.yaml"))
    study["memory"]["models"]["mine"] = values
    with pytest.raises(StudyError, match=words):
        check_memory_models(parse_study(study, "params.yaml"))


def test_a_depth_that_a_model_cannot_have_is_named() -> None:
    study = compose("smoke", CONF)
    study["memory"]["models"]["mine"] = {"model_type": "prophetnet"}
    curves = {"mine": {"model": "mine"}}
    study["memory"]["training"] = study["memory"]["training"] | {"curves": curves}
    with pytest.raises(StudyError, match=r"memory\.models\.mine: no prophetnet of \d layers can"):
        check_memory_models(parse_study(study, "params.yaml"))
