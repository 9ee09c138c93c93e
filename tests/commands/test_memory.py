"""The command `memory`: the tables for a model of one's own, with a study around it or without."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reformer_seqlen.commands.memory import main
from reformer_seqlen.memory import fit, tracker
from reformer_seqlen.parameters.memory import GPUS
from reformer_seqlen.runtime.errors import StudyError
from tests.conftest import ROOT, environment
from tests.memory_example import TINY_GPT2, TINY_LLAMA, TINY_REFORMER, TINY_SEEING, memory_values

HEAVY = ("altair", "dvc", "gensim", "mwparserfromhell", "pandas", "ruamel.yaml", "sentencepiece")
"""What only the study needs."""
ENCODER = {
    "model_type": "bert",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)


def write_config(config: Any, folder: str = ".") -> None:
    """Write a config.json."""
    Path(folder).mkdir(exist_ok=True)
    (Path(folder) / "config.json").write_text(json.dumps(config))


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What the command prints."""
    main([*words])
    return capsys.readouterr().out


@pytest.mark.slow
def test_a_model_is_shown_by_purpose_and_by_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    write_config(TINY_REFORMER | {"architectures": ["x"]})
    words = ("--config", "config.json", "--batch-size", "16", "--sequence-length", "4096")
    printed = shown(capsys, *words, "--gpu", "T4", "--gpu", "V100")
    assert "reformer, 16 x 4096 tokens, float32, inference" in printed
    for line in (
        "peak allocated",
        "peak reserved",
        "- for activations",
        "4096 (all its positions)",
    ):
        assert line in printed
    assert "T4" in printed
    assert "V100" in printed
    assert "H100" not in printed


@pytest.mark.slow
def test_gpus_are_the_known_ones_or_those_of_the_study_that_is_here(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_config(TINY_GPT2)
    words = ("--config", ".")
    assert set(GPUS) <= set(shown(capsys, *words).split())
    Path("params.yaml").write_text(json.dumps({"memory": memory_values()}))  # JSON is YAML
    with_study = shown(capsys, *words).split()
    assert {"colab", "small"} <= set(with_study)
    assert not set(GPUS) & set(with_study)
    Path("params.yaml").write_text("learning_rate: 1")  # of another project
    assert set(GPUS) <= set(shown(capsys, *words).split())


@pytest.mark.slow
def test_training_is_shown_too(capsys: pytest.CaptureFixture[str]) -> None:
    write_config(TINY_REFORMER)
    own = ("--config", ".", "--positions", "learned", "--gpu", "T4", "--dtype", "bfloat16")
    shape = ("--sequence-length", "2048", "--batch-size", "64")
    printed = shown(capsys, *own, *shape, "--training", "--optimizer", "adamw")
    assert "bfloat16, training with adamw" in printed
    assert "- for optimizer" in printed
    assert "training with adafactor" in shown(capsys, *own, *shape, "--training")


@pytest.mark.slow
def test_gpus_before_ampere_take_more_where_they_have_no_kernel(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_config(TINY_LLAMA | {"attn_implementation": "sdpa"})
    words = ("--config", ".", "--dtype", "float16", "--gpu", "T4", "--gpu", "A100-40GB")
    printed = shown(capsys, *words)
    newer, older = (
        float(re.search(pattern, printed)[1].replace(",", ""))  # type: ignore[index]
        for pattern in (r"peak allocated +([\d.,]+)", r"before Ampere: ([\d.,]+) MiB")
    )
    scores = 4 * 1024 * 1024  # of each head
    assert older - newer > 2 * scores * 4 / 2**20  # twice, in float32
    single = shown(capsys, "--config", ".", "--gpu", "T4", "--gpu", "A100-40GB")
    assert "before Ampere" not in single


@pytest.mark.slow
def test_the_dtype_of_a_configuration_is_honoured_and_its_quantization_is_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def weights(printed: str) -> float:
        return float(next(line for line in printed.splitlines() if "weights," in line).split()[-1])

    Path("params.yaml").write_text(json.dumps({"memory": memory_values()}))
    own = ("--config", ".", "--gpu", "small", "--sequence-length", "64")
    write_config(TINY_SEEING)
    single = shown(capsys, *own)
    write_config(TINY_SEEING | {"torch_dtype": "bfloat16", "quantization_config": {"bits": 4}})
    half = shown(capsys, *own)
    assert "64 tokens, float32, inference" in single
    assert "64 tokens, bfloat16, inference" in half
    assert weights(half) == pytest.approx(weights(single) / 2, rel=0.05)
    note = "quantization_config is not honoured: the weights are those of this dtype"
    assert (note in half, note in single) == (True, False)
    assert "64 tokens, float32, inference" in shown(capsys, *own, "--dtype", "float32")


def test_a_model_that_mixes_dtypes_says_so() -> None:
    write_config({"model_type": "xlnet", "n_layer": 2, "d_model": 64, "n_head": 4, "d_inner": 64})
    with pytest.raises(StudyError, match=r"1024 tokens: parts of it stay in float32 .* take float"):
        main(["--config", ".", "--gpu", "T4", "--dtype", "bfloat16"])


@pytest.mark.parametrize(
    ("config", "words", "message"),
    [
        (TINY_REFORMER, ["--gpu", "T5"], "--gpu T5 is unknown; known are colab-2021, T4"),
        (TINY_REFORMER, ["--sequence-length", "8192"], "reformer has 4096 positions"),
        (TINY_REFORMER, ["--optimizer", "adamw"], "--optimizer has no effect on inference"),
        (TINY_REFORMER, ["--checkpointing"], "--checkpointing has no effect on inference"),
        (TINY_REFORMER, ["--no-cache", "--training"], "--no-cache has no effect on --training"),
        (TINY_GPT2, ["--not-reversible"], "--not-reversible is for Reformers, not for gpt2"),
        (TINY_GPT2, ["--positions", "axial"], "--positions: axial positions are for Reformers"),
        ({"model_type": "t5"}, [], "config.json: model_type must be"),
        ({**TINY_REFORMER, "attn_layers": ["far"]}, [], "reformer does not build: .*far"),
        ([1], [], "expected a JSON object"),
        ({**TINY_GPT2, "n_layer": -1}, [], "of gpt2: n_layer: give at least 1, but it is -1"),
        (
            {**TINY_LLAMA, "max_position_embeddings": 2**24, "attn_implementation": "eager"},
            ["--batch-size", "1048576", "--sequence-length", "16777216"],
            "1048576 x 16777216 tokens: its tensors are larger than any memory",
        ),
        (
            ENCODER,
            [],
            "config.json is not a configuration of bert: it is an encoder, .*give `is_decoder",
        ),
        ({**TINY_REFORMER, "is_decoder": False}, [], "of reformer: it is an encoder"),
        (
            {**TINY_GPT2, "n_layer": "two"},
            [],
            "config.json is not a configuration of gpt2: .*n_layer",
        ),
    ],
)
def test_bad_input_is_one_clear_message(config: Any, words: list[str], message: str) -> None:
    write_config(config)
    with pytest.raises(StudyError, match=message):
        main(["--config", "config.json", *words])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "one of the arguments --config --model is required"),
        (["--config", ".", "--model", "gpt2"], "not allowed with argument --config"),
        (
            ["--model", "gpt2", "--batch-size", "0"],
            "whole number from 1 to 1048576, but it is 0",
        ),
        (["--model", "gpt2", "--batch-size", "1" + "0" * 20], "from 1 to 1048576, but it is 1000"),
        (["--model", "gpt2", "--sequence-length", "9" * 5000], "from 1 to 16777216, but it is 999"),
        (["--model", "gpt2", "--sequence-length", "1k"], "must be a whole number from 1"),
    ],
)
def test_a_wrong_command_line_is_explained(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(words)
    assert message in capsys.readouterr().err


def test_a_model_can_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    write_config(TINY_GPT2, folder="mine")
    printed = shown(capsys, "--model", "./mine", "--gpu", "T4", "--attention", "sdpa")
    assert "gpt2, 1 x 1024 tokens" in printed
    with pytest.raises(
        StudyError, match=r"--model \./other: there is no such folder; give one with"
    ):
        main(["--model", "./other"])


def test_an_encoder_that_is_made_a_decoder_is_a_causal_language_model(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_config(ENCODER | {"is_decoder": True})
    printed = shown(capsys, "--config", ".", "--gpu", "T4", "--sequence-length", "64")
    assert "bert, 1 x 64 tokens" in printed


def test_a_named_model_must_be_a_causal_language_model() -> None:
    write_config({"model_type": "t5"}, folder="other")
    with pytest.raises(StudyError, match=r"--model \./other: model_type must be .* it is `t5`"):
        main(["--model", "./other"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (json.dumps({**TINY_GPT2, "n_layer": "two"}), "n_layer"),
        ("[" * 100_000, "recursion"),
        (f'{{"model_type": "gpt2", "n_layer": {"9" * 5000}}}', "digits"),
    ],
)
def test_a_named_folder_whose_configuration_is_refused_is_one_clear_message(
    text: str, message: str
) -> None:
    write_config({}, folder="mine")
    Path("mine/config.json").write_text(text)
    with pytest.raises(StudyError, match=rf"--model \./mine: .*{message}"):
        main(["--model", "./mine"])


def test_a_file_that_is_no_configuration_is_one_clear_message() -> None:
    with pytest.raises(StudyError, match=r"--config missing\.json: there is no missing\.json"):
        main(["--config", "missing.json"])
    Path("empty").mkdir()
    with pytest.raises(StudyError, match=r"--config empty: there is no empty/config\.json; give"):
        main(["--config", "empty"])
    for text in ("{", "[" * 100_000, "9" * 5000):
        Path("broken.json").write_text(text)
        with pytest.raises(StudyError, match=r"broken\.json is not JSON"):
            main(["--config", "broken.json"])


@pytest.mark.parametrize("text", [b"\xff\xfe", b"memory: [", b"memory: !!int x"])
def test_a_study_that_cannot_be_read_is_named(text: bytes) -> None:
    write_config(TINY_GPT2)
    Path("params.yaml").write_bytes(text)
    with pytest.raises(StudyError, match=r"params\.yaml is not YAML: "):
        main(["--config", "."])


@pytest.mark.slow
def test_a_cache_and_reversible_layers_are_choices(capsys: pytest.CaptureFixture[str]) -> None:
    def peak(config: dict[str, Any], *words: str) -> float:
        write_config(config)
        own = ("--config", ".", "--gpu", "small", "--sequence-length", "256")
        lines = shown(capsys, *own, *words).splitlines()
        return float(next(line for line in lines if "allocated" in line).split()[-1])

    # The search for what fits a small GPU is short.
    Path("params.yaml").write_text(json.dumps({"memory": memory_values()}))
    deep = TINY_REFORMER | {"attn_layers": ["local"] * 6, "axial_pos_embds": False}
    deep |= {"max_position_embeddings": 256}
    assert peak(TINY_GPT2, "--no-cache") < peak(TINY_GPT2)
    assert peak(deep, "--training", "--not-reversible") > 1.5 * peak(deep, "--training")
    many = TINY_GPT2 | {"n_layer": 8}
    assert peak(many, "--training", "--checkpointing") < peak(many, "--training")


@pytest.mark.slow
def test_what_cannot_be_searched_says_so_in_the_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "MOST_EVENTS", 1000)
    write_config(
        {"model_type": "mamba", "num_hidden_layers": 1, "hidden_size": 16, "vocab_size": 64}
    )
    printed = shown(capsys, "--config", ".", "--gpu", "T4", "--sequence-length", "256")
    assert re.search(r"not searched: \d x 64 tokens fit; more do too many operations", printed)
    assert re.search(r"T4 .* yes +not searched +not searched", printed)


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "mamba", "num_hidden_layers": 1, "hidden_size": 16, "vocab_size": 64},
        {"model_type": "rwkv", "num_hidden_layers": 1, "hidden_size": 16, "vocab_size": 64},
        TINY_REFORMER | {"chunk_size_feed_forward": 1},
    ],
    ids=lambda config: config["model_type"],
)
def test_a_loop_over_positions_is_stopped_instead_of_recorded_for_minutes(
    config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracker, "MOST_OPERATORS", 1500)
    write_config(config)
    with pytest.raises(StudyError, match=r"more than 1,500 operations .* loops over its pos"):
        main(["--config", ".", "--gpu", "T4", "--sequence-length", "1024"])


@pytest.mark.slow
def test_it_needs_nothing_that_only_the_study_needs() -> None:
    write_config(TINY_GPT2)
    script = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({HEAVY}))  # as if they were not installed\n"
        "from reformer_seqlen.commands.memory import main\n"
        "main(['--config', '.', '--gpu', 'T4'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(PYTHONPATH=os.fspath(ROOT)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "gpt2, 1 x 1024 tokens" in done.stdout


def test_help_imports_no_torch() -> None:
    script = (
        "import sys\n"
        "from reformer_seqlen.commands.memory import main\n"
        "try:\n"
        "    main(['--help'])\n"
        "finally:\n"
        "    assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "--sequence-length N" in done.stdout
