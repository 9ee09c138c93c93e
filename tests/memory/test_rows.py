"""Rows and studies as they are written, and the command that writes them."""

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reformer_seqlen.memory import fit
from reformer_seqlen.memory import rows as memory_results
from reformer_seqlen.memory.measurement import Job, Measurement
from reformer_seqlen.memory.rows import gpus_result, row_result, training_result
from reformer_seqlen.parameters.memory import MemoryStudy
from reformer_seqlen.runtime.errors import StudyError
from stages import benchmark_memory
from tests.memory_example import TINY_GPT2, TINY_REFORMER, memory_study, memory_values

STUDY = memory_study()


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Do not measure, but tell what was asked for."""
    jobs: list[Job] = []

    def measure(job: Job) -> Measurement:
        jobs.append(job)
        return Measurement("cpu", mib=25.0)

    monkeypatch.setattr(memory_results, "measure", measure)
    return jobs


def test_a_row_says_what_is_predicted_measured_and_published(measured: list[Job]) -> None:
    result = row_result(STUDY, "reformer-cp-axial-256")
    assert result["predicted_mib"] == 1015.0
    assert result["error_percent"] == 0.0
    assert result["predicted_reserved_mib"] == 96.0
    assert result["context_mib"] == 919
    assert result["positions"] == "axial"
    assert result["why"] == "predicted only"
    assert measured == []
    for parts in ("composition", "modules"):
        assert sum(result[parts].values()) == pytest.approx(
            result["predicted_allocated_mib"], abs=0.01
        )
    json.dumps(result, allow_nan=False)


def test_a_measured_row_says_how_far_the_prediction_is_off(measured: list[Job]) -> None:
    result = row_result(STUDY, "tiny")
    assert [job.expected_mib for job in measured] == [result["predicted_allocated_mib"]]
    assert (result["device"], result["measured_mib"], result["why"]) == ("cpu", 25.0, None)
    error = 100 * (result["predicted_allocated_mib"] / 25 - 1)
    assert result["measured_error_percent"] == pytest.approx(error, abs=0.001)
    assert (result["published_mib"], result["error_percent"]) == (None, None)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("gpt2-2048", "gpt2 has 1024 positions, 2048 tokens are too many"),
        ("too-long", "reformer has 4096 positions, 4160 tokens are too many"),
    ],
)
def test_a_row_beyond_the_positions_says_so(name: str, why: str) -> None:
    result = row_result(STUDY, name)
    assert result["why"] == why
    assert result["predicted_mib"] is result["measured_mib"] is None


def test_every_row_has_the_same_keys(measured: list[Job]) -> None:
    names = ("tiny", "too-long", "reformer-cp-axial-256")
    keys = [list(row_result(STUDY, name)) for name in names]
    assert keys[0] == keys[1] == keys[2]


def test_a_row_that_asks_for_what_its_model_has_not_says_so() -> None:
    rows: dict[str, dict[str, Any]] = {
        "positions": {"model": "gpt2", "positions": "axial"},
        "allocations": {"model": "tiny", "allocations": 2021},
        "key": {"model": "broken"},
    }
    shape = {"batch_size": 1, "sequence_length": 64}
    study = memory_study(
        models=memory_values()["models"] | {"broken": TINY_REFORMER | {"hiden_size": 3}},
        rows={name: row | shape for name, row in rows.items()},
        fits=[],
    )
    whys = {name: row_result(study, name)["why"] for name in rows}
    assert "memory.rows.positions: axial positions are for Reformers" in whys["positions"]
    assert "memory.rows.allocations: allocations: 2021 is for" in whys["allocations"]
    assert "memory.models.broken" in whys["key"]
    assert "did you mean hidden_size" in whys["key"]


def test_todays_gpt2_takes_less_than_that_of_2021() -> None:
    today = row_result(STUDY, "today")
    assert today["predicted_mib"] < row_result(STUDY, "gpt2-own-256")["predicted_mib"]


def test_cards_are_told_apart() -> None:
    [(name, result)] = gpus_result(STUDY).items()
    assert name == "tiny"
    small, colab = result["cards"]["small"], result["cards"]["colab"]
    assert small["fits"]
    assert small["largest_batch"] < colab["largest_batch"]
    assert small["longest_sequence"] == 4096
    assert small["longest_is_limited_by"] == "positions"


def test_the_training_study_has_a_point_for_every_curve_depth_and_length() -> None:
    points = training_result(STUDY)
    assert [(p["curve"], p["layers"], p["sequence_length"]) for p in points] == [
        (curve, layers, length)
        for curve in ("reversible", "gpt2")
        for layers in (2, 4)
        for length in (128, 256)
    ]
    assert all(point["predicted_allocated_mib"] > point["weights_mib"] for point in points)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"card": "T5"}, "card: `T5` is not among memory.cards: colab, small"),
        ({"fits": ["other"]}, "fits: `other` is not among memory.rows"),
        ({"cards": {"colab": {"memory_mib": 5, "context_mib": 9}}}, "context_mib must be less"),
        ({"limits": {"seconds": 0, "mib": 1}}, "greater than 0"),
    ],
)
def test_a_wrong_section_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        memory_study(**changes)


def test_a_row_of_an_unknown_model_is_refused() -> None:
    rows = {"a": {"model": "other", "batch_size": 1, "sequence_length": 64}}
    with pytest.raises(ValueError, match=r"rows\.a\.model: `other` is not among memory\.models"):
        MemoryStudy.model_validate(memory_values() | {"rows": rows, "fits": []})


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Run the command here, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(benchmark_memory, "load_study", lambda: SimpleNamespace(memory=STUDY))
    monkeypatch.setattr(benchmark_memory, "leave_at_once", lambda: None)
    monkeypatch.setattr(benchmark_memory, "import_without_collecting", lambda: None)

    def run(*words: str) -> None:
        monkeypatch.setattr(sys, "argv", ["benchmark_memory", *words])
        benchmark_memory.main()

    return run


def test_the_stage_writes_each_row_and_one_failure_leaves_the_others_alone(
    command: Any, measured: list[Job], capsys: pytest.CaptureFixture[str]
) -> None:
    command("too-long", "tiny")
    long, tiny = (
        json.loads(Path(f"data/memory/{n}.json").read_text()) for n in ("too-long", "tiny")
    )
    assert tiny["row"] == "tiny"
    assert tiny["measured_mib"] == 25.0
    assert long["predicted_mib"] is None
    assert "too-long: reformer has 4096 positions" in capsys.readouterr().err


def test_an_unknown_row_writes_nothing(command: Any) -> None:
    with pytest.raises(StudyError, match=r"memory\.rows\.tyni"):
        command("tyni")
    assert not Path("data").exists()


def test_what_fails_in_a_study_leaves_the_others_alone(capfd: pytest.CaptureFixture[str]) -> None:
    values = memory_values()
    training = values["training"] | {"sequence_lengths": [128, 100]}
    study = memory_study(fits=["too-long", "tiny"], training=training)
    assert list(gpus_result(study)) == ["tiny"]
    points = training_result(study)
    assert [(point["curve"], point["sequence_length"]) for point in points] == [
        *[("reversible", 128)] * 2,
        *[("gpt2", 128), ("gpt2", 100)] * 2,
    ]
    said = capfd.readouterr().err
    assert "too-long: reformer has 4096 positions" in said
    assert "reversible, 4 layers, length 100: the model does not run on 2 x 100 tokens" in said


def test_the_studies_are_files_of_their_own(command: Any) -> None:
    command("--cards-study")
    assert list(json.loads(Path("data/memory_study/cards.json").read_text())) == ["tiny"]


def test_rows_and_options_do_not_mix(command: Any) -> None:
    for words in ([], ["tiny", "--cards-study"]):
        with pytest.raises(SystemExit):
            command(*words)


@pytest.mark.parametrize("words", [["tiny", "--card", "small"], ["--cards-study", "--training"]])
def test_what_is_asked_of_a_model_of_ones_own_is_refused_elsewhere(
    words: list[str], command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        command(*words)
    assert f"error: {words[1]} goes with --config or --model alone" in capsys.readouterr().err
    assert not Path("data").exists()


def test_a_model_of_ones_own_is_shown_as_a_table(
    command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("config.json").write_text(json.dumps(TINY_REFORMER | {"architectures": ["x"]}))
    command("--config", "config.json", "--batch-size", "16", "--sequence-length", "1024")
    shown = capsys.readouterr().out
    assert "reformer, 16 x 1024 tokens, float32, inference" in shown
    for line in (
        "peak allocated",
        "peak reserved",
        "- for activations",
        "4096 (all its positions)",
    ):
        assert line in shown
    assert "colab" in shown
    assert "small" in shown


def test_the_table_is_of_training_too(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    Path("config.json").write_text(json.dumps(TINY_REFORMER))
    own = ["--config", ".", "--positions", "learned", "--card", "small", "--dtype", "bfloat16"]
    command(*own, "--training", "--optimizer", "adamw", "--sequence-length", "256")
    shown = capsys.readouterr().out
    assert "bfloat16, training with adamw" in shown
    assert "- for optimizer" in shown
    assert "colab" not in shown


@pytest.mark.parametrize(
    ("config", "words", "message"),
    [
        (TINY_REFORMER, ["--card", "T5"], r"memory\.cards\.T5: .*colab, small"),
        (TINY_REFORMER, ["--sequence-length", "8192"], "reformer has 4096 positions"),
        (TINY_REFORMER, ["--batch-size", "0"], "--batch-size must be at least 1"),
        ({"model_type": "t5"}, [], "config.json: model_type must be"),
        ([1], [], "expected a JSON object"),
    ],
)
def test_bad_input_is_one_clear_message(
    command: Any, config: Any, words: list[str], message: str
) -> None:
    Path("config.json").write_text(json.dumps(config))
    with pytest.raises(StudyError, match=message):
        command("--config", "config.json", *words)


def test_a_model_can_be_named(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path("mine")
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(TINY_GPT2))
    command("--model", "./mine", "--card", "small", "--attention", "sdpa")
    assert "gpt2, 1 x 1024 tokens" in capsys.readouterr().out
    with pytest.raises(StudyError, match=r"--model \./other: "):
        command("--model", "./other")


def test_a_file_that_is_no_configuration_is_one_clear_message(command: Any) -> None:
    with pytest.raises(StudyError, match=r"missing\.json: No such file"):
        command("--config", "missing.json")
    Path("broken.json").write_text("{")
    with pytest.raises(StudyError, match=r"broken\.json is not JSON"):
        command("--config", "broken.json")


def test_a_cache_and_reversible_layers_are_choices(
    command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def peak(config: dict[str, Any], *words: str) -> float:
        Path("config.json").write_text(json.dumps(config))
        command("--config", "config.json", "--card", "small", "--sequence-length", "256", *words)
        line = next(line for line in capsys.readouterr().out.splitlines() if "allocated" in line)
        return float(line.split()[-1])

    deep = TINY_REFORMER | {"attn_layers": ["local"] * 6, "axial_pos_embds": False}
    deep |= {"max_position_embeddings": 256}
    assert peak(TINY_GPT2, "--no-cache") < peak(TINY_GPT2)
    assert peak(deep, "--training", "--not-reversible") > 1.5 * peak(deep, "--training")
    with pytest.raises(StudyError, match="--not-reversible is for Reformers, not for gpt2"):
        peak(TINY_GPT2, "--not-reversible")


def test_what_cannot_be_searched_says_so_in_the_table(
    command: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "MOST_EVENTS", 1000)
    mamba = {"model_type": "mamba", "num_hidden_layers": 1, "hidden_size": 16, "vocab_size": 64}
    Path("config.json").write_text(json.dumps(mamba))
    command("--config", "config.json", "--card", "small", "--sequence-length", "64")
    shown = capsys.readouterr().out
    assert re.search(r"not searched: \d x 64 tokens fit; more do too many operations", shown)


def test_a_named_model_must_be_a_causal_language_model(command: Any) -> None:
    folder = Path("other")
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "t5"}))
    with pytest.raises(StudyError, match=r"--model \./other: model_type must be .* it is `t5`"):
        command("--model", "./other")


def test_the_whole_table_is_predicted_within_a_gib() -> None:
    script = (
        "import resource\n"
        "from reformer_seqlen.memory.rows import row_result\n"
        "from tests.memory_example import PUBLISHED, memory_study, row_name\n"
        "study = memory_study()\n"
        "for model, lengths in PUBLISHED.items():\n"
        "    for length in lengths:\n"
        "        assert row_result(study, row_name(*model, length))['predicted_mib']\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    kib = int(done.stdout) / (1024 if sys.platform == "darwin" else 1)
    assert kib < 1024 * 1024
