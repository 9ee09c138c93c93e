"""params.yaml: what is right is read, what is wrong is named with its key, value and remedy."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from reformer_seqlen.parameters.common.reading import known
from reformer_seqlen.parameters.model_options import ReformerOptions
from reformer_seqlen.parameters.models import Model
from reformer_seqlen.parameters.profiles import compose
from reformer_seqlen.parameters.study import load_study, parse_study
from reformer_seqlen.runtime.errors import StudyError
from tests.conftest import CONF, ROOT


@pytest.fixture(scope="module")
def smoke_values() -> Any:
    return compose("smoke", CONF)


@pytest.fixture
def values(smoke_values: Any) -> Any:
    return deepcopy(smoke_values)


PAIR = {"processes": 2}
PROFILES = sorted(path.stem for path in (CONF / "profile").glob("*.yaml"))


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_is_a_valid_study(name: str) -> None:
    assert parse_study(compose(name, CONF), name).profile == name


def test_the_committed_params_are_the_composed_quick_profile() -> None:
    assert YAML(typ="safe").load(ROOT / "params.yaml") == compose("quick", CONF)


def test_a_run_overrides_what_holds_for_all(values: Any) -> None:
    values["runs"]["news-64"] |= {"train": {"epochs": 7}, "options": {"reversible": True}}
    params = parse_study(values, "params.yaml")
    short, long = params.training("news-64"), params.training("news-256")
    assert short is not None
    assert long is not None
    assert (short.epochs, short.batch_size) == (7, params.train.batch_size)
    assert long.epochs == params.train.epochs
    assert params.options("news-64") == ReformerOptions.model_validate({"reversible": True})
    assert params.options("news-256") == ReformerOptions()


def test_a_note_is_of_a_model_that_there_is(values: Any) -> None:
    values["report"]["notes"] = {"tiny": "It has surely seen the text."}
    assert parse_study(values, "params.yaml").report.notes["tiny"].startswith("It has")
    values["report"]["notes"] = {"tiyn": "It has surely seen the text."}
    with pytest.raises(StudyError, match=r"report\.notes: `tiyn` is not among models: tiny"):
        parse_study(values, "params.yaml")


def test_a_run_may_be_scored_without_training(values: Any) -> None:
    values["runs"]["news-64"]["train"] = "none"
    params = parse_study(values, "params.yaml")
    assert [run.is_trained for run in params.runs.values()] == [False, True]
    assert params.training("news-64") is None
    values["runs"]["news-64"]["train"] = {}
    assert parse_study(values, "params.yaml").training("news-64") == params.train


def test_a_run_may_be_scored_in_more_than_one_way(values: Any) -> None:
    values["evaluate"] |= {"hash_rounds": [2], "protocols": ["published"]}
    values["runs"]["news-64"]["evaluate"] = {"hash_rounds": [4, 8]}
    params = parse_study(values, "params.yaml")
    assert [params.evaluation(run).hash_rounds for run in params.runs] == [[4, 8], [2]]
    assert params.evaluation("news-64").protocols == ["published"]


def test_a_model_without_layers_that_hash_has_no_hash_rounds(values: Any) -> None:
    model = values["models"]["tiny"]
    model["pretraining"]["architecture"]["attn_layers"] = ["local", "local"]
    values["evaluate"]["hash_rounds"] = [2]
    complaint = r"runs\.news-64\.evaluate\.hash_rounds: models\.tiny has no layer that hashes; give"
    with pytest.raises(StudyError, match=complaint):
        parse_study(values, "params.yaml")
    model |= {"options": {}}
    model["pretraining"]["architecture"] = {"model_type": "gpt2"}
    with pytest.raises(StudyError, match=complaint):
        parse_study(values, "params.yaml")
    values["runs"] = {"news-64": {**values["runs"]["news-64"], "evaluate": {"hash_rounds": []}}}
    assert parse_study(values, "params.yaml").evaluation("news-64").hash_rounds == []


def _set(path: str, value: Any) -> Any:
    def change(values: Any) -> None:
        *parents, last = path.split("/")
        for key in parents:
            values = values[key]
        values[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (_set("train/epochs", "three"), r"train\.epochs: .*valid integer, but it is 'three'"),
        (_set("train/batch_size", 1.5), r"train\.batch_size: .*integer.*1\.5"),
        (_set("train/learning_rate", -0.1), r"train\.learning_rate: .*greater than 0.*-0\.1"),
        (_set("train/seed", -1), r"train\.seed: .*greater than or equal to 0, but it is -1"),
        (_set("train/seed", 2**32), r"train\.seed: .*less than 4294967296, but it is 4294967296"),
        (_set("train/speed", 3), r"train: unknown key `speed`; known are optimizer, "),
        (_set("runz", {}), r"params: unknown key `runz`; known are profile, "),
        (
            _set("runs/news-64/sequence_length", 100),
            r"runs\.news-64\.sequence_length: 100 is no multiple of 64, and a Reformer reads whole",
        ),
        (
            _set("models/tiny/pretraining/sequence_length", 100),
            r"models\.tiny\.pretraining\.sequence_length: 100 is no multiple of 64",
        ),
        (
            _set("models/tiny/pretraining/architecture", {"model_type": "gpt2"}),
            r"models\.tiny\.options: model_type gpt2 has no option `positions`, `lsh_causality`",
        ),
        (
            _set("models/tiny/options/attention", "sdpa"),
            r"models\.tiny\.options: model_type reformer has no option `attention`; it has imple",
        ),
        (
            _set("runs/news-64/evaluate", {"stride": 65}),
            r"runs\.news-64\.evaluate\.stride: 65 is more than the 64 tokens of a window",
        ),
        (
            _set("runs/news-64/options", {"attention": "sdpa"}),
            r"runs\.news-64\.options: model_type reformer has no option `attention`",
        ),
        (
            _set("runs/news-64/corpus", "novels"),
            r"runs\.news-64\.corpus: `novels` is not among corpora: news",
        ),
        (
            _set("runs/news-64/model", "big"),
            r"runs\.news-64\.model: `big` is not among models: tiny",
        ),
        (
            _set("counts/news-3gram/corpus", "novels"),
            r"counts\.news-3gram\.corpus: `novels` is not among corpora: news",
        ),
        (_set("counts/news-3gram/order", 0), r"counts\.news-3gram\.order: .*greater than 0.*is 0"),
        (_set("counts/news-3gram/text", "base"), r"news-3gram\.text: .*'own' or 'all'.*'base'"),
        (
            _set("counts/news-64", {"corpus": "news", "model": "tiny", "order": 3}),
            r"counts\.news-64: runs\.news-64 has that name too; rename one of them",
        ),
        (_set("tokens/news-tiny/corpus", "x"), r"tokens: `news-tiny` holds"),
        (_set("runs", {}), r"runs: .*at least 1 item"),
        (_set("corpora", {}), r"corpora: .*at least 1 item"),
        (
            _set("runs/news-64/train", {"learning_rate": 0}),
            r"runs\.news-64\.train\.learning_rate: .*greater than 0, but it is 0",
        ),
        (
            _set("runs/news-64/train", {"pace": 1}),
            r"runs\.news-64\.train: unknown key `pace`; known are optimizer, ",
        ),
        (
            _set("runs/news-64/train", "some"),
            r"runs\.news-64\.train: give values .* or the word `none` .*, but it is 'some'",
        ),
        (_set("runs/news-64/train", None), r"runs\.news-64\.train: give values .* but it is None"),
        (
            _set("evaluate/hash_rounds", [0]),
            r"evaluate\.hash_rounds\.0: .*greater than 0, but it is 0",
        ),
        (
            _set("evaluate/protocols", ["stock"]),
            r"evaluate\.protocols\.0: .*'contiguous' or 'published', but it is 'stock'",
        ),
        (_set("corpora/news/words", "yes"), r"corpora\.news\.words: .*boolean, but it is 'yes'"),
        (
            _set("train/optimizer", "sgd"),
            r"train\.optimizer: .*'adafactor', 'adamw' or 'muon'.*'sgd'",
        ),
        (_set("corpora/news/split/test", 0.9), r"corpora\.news\.split: .*less than 1"),
        (_set("corpora/news/split", None), r"corpora\.news: give `files: \{all"),
        (_set("models/tiny/pretraining", None), r"models\.tiny: give either"),
        (_set("runs/news-0.5", {}), r"runs\.news-0\.5.*match pattern"),
        (_set("train/learning_rate", float("inf")), r"train\.learning_rate: .*finite number"),
        (_set("train/threads", 10**9), r"train\.threads: .*less than or equal to 4096"),
        (
            _set("runs/news-64/train", {"processes": 5}),
            r"runs\.news-64\.train\.processes: 5 is more than the 4 sequences of an update, .* at "
            r"most 4",
        ),
        (
            _set("models/tiny/pretraining/train/processes", 17),
            r"models\.tiny\.pretraining\.train\.processes: 17 is more than the 16 sequences",
        ),
        (
            _set("models/tiny/pretraining/phases", [{"sequence_length": 64, "train": PAIR}]),
            r"models\.tiny\.pretraining: all phases have the `processes` of `train`",
        ),
        (
            _set(
                "models/tiny/pretraining/phases",
                [{"sequence_length": 64, "train": {"precision": "bfloat16"}}],
            ),
            r"models\.tiny\.pretraining: all phases have the `precision` of `train`",
        ),
        (
            _set("models/tiny/pretraining/phases", [{"sequence_length": 64, "train": {"up": 1}}]),
            r"pretraining\.phases\.0\.train: unknown key `up`",
        ),
        (
            _set("runs/news-64/train", {"updates": 30, "warmup_updates": 5, "decay_updates": 40}),
            r"runs\.news-64\.train: .*warm-up of 5 and the decay of 40 updates are more than",
        ),
        (
            _set("models/tiny/options/num_buckets", 3),
            r"tiny\.options\.num_buckets.*multiple of 2",
        ),
        (
            _set("models/tiny/options/num_buckets", []),
            r"tiny\.options\.num_buckets.*at least 1 item",
        ),
        (
            _set("runs/news-64/sequence_length", 4096),
            r"runs\.news-64\.sequence_length: 4096 is more than the 256 positions",
        ),
    ],
    ids=lambda item: item if isinstance(item, str) else "",
)
def test_what_is_wrong_is_named(values: Any, change: Any, complaint: str) -> None:
    change(values)
    with pytest.raises(StudyError, match=complaint):
        parse_study(values, "params.yaml")


def test_a_training_takes_a_core_for_each_thread_of_each_process(values: Any) -> None:
    assert parse_study(values, "params.yaml").cores() == 1
    values["train"]["threads"] = 3
    assert parse_study(values, "params.yaml").cores() == 3
    values["runs"]["news-64"]["train"] = PAIR
    assert parse_study(values, "params.yaml").cores() == 6


def test_a_run_gets_no_other_corpuss_tokens(values: Any) -> None:
    """news-x with tiny, and news with x-tiny, would share the name news-x-tiny."""
    values["corpora"]["news-x"] = values["corpora"]["news"]
    values["models"]["x-tiny"] = values["models"]["tiny"]
    values["tokens"]["news-x-tiny"] = {"corpus": "news-x", "model": "tiny"}
    run = values["runs"]["news-64"]
    values["runs"]["clash"] = {**run, "corpus": "news", "model": "x-tiny"}
    with pytest.raises(StudyError, match=r"runs\.clash needs tokens\.news-x-tiny of corpus news "):
        parse_study(values, "params.yaml")


def test_a_study_may_count_nothing(values: Any) -> None:
    del values["counts"]
    assert parse_study(values, "params.yaml").counts == {}


def test_a_checkpoints_own_text_is_not_counted(values: Any) -> None:
    values["models"]["tiny"] = compose("paper", CONF)["models"]["reformer-crime-and-punishment"]
    complaint = (
        r"counts\.news-3gram-all\.text: `all` counts the base text too, but models\.tiny is a"
    )
    with pytest.raises(StudyError, match=complaint):
        parse_study(values, "params.yaml")
    del values["counts"]["news-3gram-all"]
    assert list(parse_study(values, "params.yaml").counts) == ["news-3gram"]


@pytest.mark.parametrize(
    ("architecture", "chunk_length"),
    [
        ({}, 64),
        ({"local_attn_chunk_length": 96}, 192),
        ({"attn_layers": ["local"], "local_attn_chunk_length": 32}, 32),
        ({"attn_layers": ["lsh"], "local_attn_chunk_length": 96}, 64),
        ({"local_attn_chunk_length": "long"}, 64),  # refused where the model is made
    ],
)
def test_lengths_are_multiples_of_the_chunks_of_the_layers_that_there_are(
    architecture: dict[str, Any], chunk_length: int, values: Any
) -> None:
    given = values["models"]["tiny"]["pretraining"]
    given["architecture"] = architecture
    assert Model.model_validate(values["models"]["tiny"]).chunk_length == chunk_length


def test_lines_of_files_that_are_splits_are_not_shuffled(values: Any) -> None:
    corpus = values["corpora"]["news"]
    [source] = corpus["files"].values()
    corpus |= {"files": dict.fromkeys(("train", "validation", "test"), source), "split": None}
    assert parse_study(values, "params.yaml").corpora["news"].split is None
    corpus["shuffle_lines_seed"] = 42
    with pytest.raises(StudyError, match=r"corpora\.news: .*leave `shuffle_lines_seed` out"):
        parse_study(values, "params.yaml")


def test_a_base_may_stay_untrained(values: Any) -> None:
    recipe = values["models"]["tiny"]["pretraining"]
    trained = recipe["train"]
    recipe["train"] = "none"
    complaint = r"counts\.news-3gram-all\.text: .* or untrained; give `own`"
    with pytest.raises(StudyError, match=complaint):
        parse_study(values, "params.yaml")
    del values["counts"]["news-3gram-all"]
    made = parse_study(values, "params.yaml").models["tiny"].pretraining
    assert made is not None
    assert made.trainings() == []
    assert made.model_dump()["train"] == "none"
    for wrong in ("nothing", None):
        recipe["train"] = wrong
        with pytest.raises(StudyError, match=r"pretraining\.train: .*the word `none`"):
            parse_study(values, "params.yaml")
    recipe |= {"train": "none", "phases": [{"sequence_length": 64, "train": trained}]}
    with pytest.raises(StudyError, match=r"`train: none` has no `phases`"):
        parse_study(values, "params.yaml")


def test_every_mistake_is_named_at_once(values: Any) -> None:
    _set("train/epochs", 0)(values)
    _set("evaluate/batch_size", 0)(values)
    with pytest.raises(StudyError, match=r"(?s)train\.epochs.*evaluate\.batch_size"):
        parse_study(values, "params.yaml")


def test_a_missing_key_is_named(values: Any) -> None:
    del values["runs"]["news-64"]["corpus"]
    with pytest.raises(StudyError, match=r"runs\.news-64\.corpus: Field required"):
        parse_study(values, "params.yaml")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"params\.yaml is missing"):
        load_study(tmp_path / "params.yaml")


def test_what_is_not_yaml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("runs: [")
    with pytest.raises(StudyError, match=r"params\.yaml is not YAML"):
        load_study(path)


def test_a_number_in_scientific_notation_is_a_number(tmp_path: Path, values: Any) -> None:
    path = tmp_path / "params.yaml"
    YAML().dump(values, path)
    path.write_text(path.read_text().replace("learning_rate: 0.01", "learning_rate: 1e-2"))
    assert load_study(path).train.learning_rate == 0.01


def test_an_unknown_name_on_the_command_line_is_named(values: Any) -> None:
    params = parse_study(values, "params.yaml")
    with pytest.raises(StudyError, match=r"runs\.x: not in params\.yaml, which has news-64"):
        known("runs", params.runs, "x")


def test_a_byte_tokenizer_has_258_pieces(values: Any) -> None:
    values["models"]["tiny"]["tokenizer"] = "bytes"
    with pytest.raises(StudyError, match=r"models\.tiny: `tokenizer: bytes` has 258 pieces: give"):
        parse_study(values, "params.yaml")
    values["models"]["tiny"]["pretraining"]["pieces"] = 258
    assert parse_study(values, "params.yaml").models["tiny"].tokenizer == "bytes"


def test_a_fast_tokenizer_is_a_checkpoints(values: Any) -> None:
    values["models"]["tiny"]["tokenizer"] = "transformers"
    with pytest.raises(StudyError, match="`tokenizer: transformers` is read from a `checkpoint`"):
        parse_study(values, "params.yaml")


def test_an_encoding_of_sentencepiece_is_refused_for_another_tokenizer(values: Any) -> None:
    values["models"]["tiny"]["tokenizer"] = "bytes"
    values["models"]["tiny"]["pretraining"]["pieces"] = 258
    values["tokens"]["news-tiny"]["encoding"] = "transformers"
    complaint = r"tokens\.news-tiny\.encoding: .* the tokenizer of models\.tiny is `bytes`"
    with pytest.raises(StudyError, match=complaint):
        parse_study(values, "params.yaml")
