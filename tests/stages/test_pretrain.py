"""Base models made here: what cannot be made is refused with its key."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from sentencepiece import SentencePieceProcessor

from reformer_seqlen.bases.architecture import architecture
from reformer_seqlen.bases.text import prepare_text
from reformer_seqlen.parameters.models import Model, Pretraining
from reformer_seqlen.parameters.sources import PathSource
from reformer_seqlen.reformer.hash_rules import hash_rules
from reformer_seqlen.reformer.inputs import Texts
from reformer_seqlen.reformer.model import (
    StockReformer,
    create_reformer,
    hash_buckets,
    parameter_counts,
)
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.files import read_json
from reformer_seqlen.runtime.paths import BASES
from reformer_seqlen.text.pieces.single_bytes import ByteTokenizer
from reformer_seqlen.text.tokenizers import train_tokenizer
from stages import pretrain
from stages.pretrain import fetch_checkpoint
from tests.small_study import LINES, SmallStudy

KEY = "models.tiny.pretraining"


def _recipe(**values: Any) -> Pretraining:
    return Pretraining.model_validate(
        {
            "file": {"kind": "path", "path": "x.txt", "licence": "none"},
            "format": "lines",
            "sequence_length": 64,
            "train": {},
            "architecture": values,
        }
    )


def model_of(recipe: Pretraining, **options: Any) -> Model:
    return Model(options=options, pretraining=recipe)


def _refusal(**values: Any) -> str:
    recipe = _recipe(**values)
    with pytest.raises(StudyError) as refused:
        architecture("tiny", model_of(recipe), recipe)
    return str(refused.value)


def test_the_architecture_is_the_published_one_unless_the_recipe_says_otherwise() -> None:
    recipe = _recipe(attn_layers=["lsh"], axial_pos_shape=[8, 8])
    config = architecture("tiny", model_of(recipe), recipe)
    assert (config.attn_layers, config.hidden_size, config.vocab_size) == (["lsh"], 256, 320)


def test_no_text_has_the_piece_that_stands_for_padding(tmp_path: Path) -> None:
    recipe = _recipe(attn_layers=["local"])
    config = architecture("tiny", model_of(recipe), recipe)
    text = tmp_path / "text"
    text.write_text("a few words of a text\n" * 50)
    train_tokenizer(text, 120, tmp_path / "spiece.model", KEY)
    processor = SentencePieceProcessor(model_file=str(tmp_path / "spiece.model"))
    assert processor.is_control(config.pad_token_id)


def test_the_padding_of_bytes_is_no_byte() -> None:
    recipe = _recipe(attn_layers=["local"]).model_copy(update={"pieces": 258})
    config = architecture("tiny", Model(options={}, tokenizer="bytes", pretraining=recipe), recipe)
    assert ByteTokenizer().decode([config.pad_token_id]) == ""


def test_the_models_options_are_those_of_its_base() -> None:
    recipe = _recipe(attn_layers=["lsh"], max_position_embeddings=4096)
    chosen = model_of(
        recipe,
        implementation="transformers",
        lsh_causality="published",
        positions="learned",
        num_hashes=3,
        num_buckets=4,
    )
    config = architecture("tiny", chosen, recipe)
    assert (config.num_hashes, config.num_buckets) == (3, [4])
    model = create_reformer(config, "transformers")
    assert isinstance(model, StockReformer)
    assert parameter_counts(model)["position_table"] == 64 * 256


def test_a_base_reads_the_texts_of_all_its_phases() -> None:
    """Each length hashes into as many buckets as it recommends, as the runs of that length do."""
    recipe = _recipe(attn_layers=["local", "lsh"], axial_pos_shape=[16, 32])
    phases = {"phases": [{"sequence_length": 512}, {"sequence_length": 256}]}
    recipe = Pretraining.model_validate({**recipe.model_dump(mode="json"), **phases})
    config = architecture("tiny", model_of(recipe), recipe)
    assert hash_buckets(create_reformer(config)) is None
    factors = {length: _factors(config, length) for length in (64, 256, 512)}
    assert factors == {64: (2,), 256: (8,), 512: (16,)}
    chosen = architecture("tiny", model_of(recipe, num_buckets=4), recipe)
    assert hash_buckets(create_reformer(chosen)) == 4
    learned = architecture("tiny", model_of(recipe, positions="learned"), recipe)
    assert learned.max_position_embeddings == 512


def _factors(config: Any, length: int) -> tuple[int, ...]:
    """Into how many buckets the second layer hashes a text."""
    texts = Texts(torch.zeros(1, length, 256), None, None, None)
    draw = torch.zeros(2, dtype=torch.long)
    return hash_rules(config, "strict", draw, texts, None, torch.zeros(()))[1].factors


def test_options_that_contradict_each_other_are_refused() -> None:
    recipe = _recipe()
    with pytest.raises(StudyError, match="stock transformers knows the published rule only"):
        architecture("tiny", model_of(recipe, implementation="transformers"), recipe)


def test_an_unknown_name_in_the_architecture_is_refused() -> None:
    message = _refusal(axial_pos_shapes=[8, 8])
    assert message.startswith("models.tiny.pretraining.architecture: ")
    assert "has no axial_pos_shapes; the default architecture sets attn_layers, " in message


@pytest.mark.parametrize(
    "wrong",
    [
        {"hidden_size": "wide"},
        {"attn_layers": []},
        {"attn_layers": ["global"]},
        {"num_buckets": []},
        {"num_buckets": -1},
    ],
)
def test_an_architecture_that_does_not_build_is_refused_by_its_key(wrong: dict[str, Any]) -> None:
    [name] = wrong
    assert _refusal(**wrong).startswith(f"models.tiny.pretraining.architecture.{name}: ")


def test_values_that_contradict_each_other_are_refused() -> None:
    key = "models.tiny.pretraining.architecture makes no Reformer: "
    assert _refusal(axial_pos_embds_dim=[1, 2]).startswith(key)


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"vocab_size": 320}, "pretraining.pieces"),
        ({"axial_pos_embds": False}, "options.positions"),
    ],
)
def test_a_setting_that_has_its_own_place_is_said_there(wrong: dict[str, Any], place: str) -> None:
    [name] = wrong
    assert f"say `{name}` in `{place}` of the model" in _refusal(**wrong)


@pytest.mark.parametrize("pieces", [50, 5000])
def test_too_few_or_too_many_pieces_are_refused(tmp_path: Path, pieces: int) -> None:
    text = tmp_path / "train.txt"
    text.write_text("In the beginning was the word.\n" * 40, encoding="utf-8")
    with pytest.raises(StudyError, match=rf"^{KEY}\.pieces: .* makes no {pieces} pieces"):
        train_tokenizer(text, pieces, tmp_path / "spiece.model", KEY)
    assert not (tmp_path / "spiece.model").exists()


def test_a_checkpoint_without_its_tokenizer_is_refused_when_it_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (tmp_path / "mine" / name).write_text("{}")
    source = PathSource(kind="path", path="mine", licence="my own")
    model = Model(options={}, checkpoint=source)
    with pytest.raises(StudyError, match=r"^bases/mine holds no spiece\.model, which `tokenizer: "):
        fetch_checkpoint("mine", model, source, Path("bases/mine"), None)
    assert list((tmp_path / "bases").iterdir()) == []
    said = "models.mine.checkpoint: no sha256 is declared; without it no later change of `mine` is"
    assert said in capsys.readouterr().out


def test_a_base_text_may_be_bytes_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """100 words of 4 bytes: 40 bytes are left out, 320 taken, and a tenth of those validates."""
    monkeypatch.chdir(tmp_path)
    text = b" ".join(b"%03d" % number for number in range(100))
    Path("x.txt").write_bytes(text)
    values = {"format": "bytes", "skip_bytes": 38, "first_bytes": 322, "validation": 0.1}
    recipe = _recipe().model_copy(update={**values, "pieces": 258})
    folder = tmp_path / "base"
    folder.mkdir()
    tokens = prepare_text(recipe, "bytes", folder, KEY, None)
    assert (folder / "train.txt").read_bytes() == text[40:328]
    assert (folder / "validation.txt").read_bytes() == text[328:360]
    assert {name: len(part) for name, part in tokens.items()} == {"train": 288, "validation": 32}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"file": {"path": "gone.txt"}}, r"\.file: there is no file or folder `gone\.txt`"),
        ({"file": {"encoding": "utf-16"}}, r"\.file\.encoding: this is not utf-16"),
        ({"format": "wikipedia_prose"}, r"\.file: this is no whole XML dump"),
        ({"first_bytes": 1}, ": nothing is left of the text"),
        ({"pieces": 50}, r"\.pieces: SentencePiece makes no 50 pieces"),
        ({"sequence_length": 256}, ": the train split has .* tokens, too few for one window"),
    ],
    ids=["no file", "encoding", "no dump", "nothing", "pieces", "short"],
)
def test_a_base_text_that_does_not_do_is_refused_with_its_key(
    change: dict[str, Any], complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    study = SmallStudy()
    source = {"kind": "path", "path": "mine.txt", "licence": "my own", **change.get("file", {})}
    recipe = study.values["models"]["tiny"]["pretraining"]
    recipe |= {"format": "lines", "validation": 0.2, "pieces": 110, **change, "file": source}
    with pytest.raises(StudyError, match=rf"^{KEY}{complaint}"):
        study.run(pretrain.main, "tiny")
    assert not Path("data/bases/tiny").exists()


@pytest.mark.slow
def test_a_card_says_of_which_text_a_base_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    study, text = SmallStudy(), b"".join(LINES)
    source = {"kind": "path", "path": "mine.txt", "licence": "my own"}
    recipe = study.values["models"]["tiny"]["pretraining"]
    recipe |= {"format": "lines", "validation": 0.2, "pieces": 110, "file": source, "train": "none"}
    study.run(pretrain.main, "tiny")
    digest = hashlib.sha256(text).hexdigest()
    said = f"{KEY}.file: no sha256 is declared, it is {digest} now; without it"
    assert said in capsys.readouterr().out
    made_of = {"kind": "path", "what": "mine.txt", "sha256": digest, "size_bytes": len(text)}
    assert read_json(BASES / "tiny/card.json")["pretraining"] == {
        "tokens_seen": 0,
        "text": {**made_of, "licence": "my own", "revision": None, "files": None},
    }
    source["sha256"] = digest
    study.run(pretrain.main, "tiny")
    assert "no sha256" not in capsys.readouterr().out


@pytest.mark.slow
def test_a_base_that_diverges_is_no_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No run is trained from it; what it came to stays in the folder of work."""
    monkeypatch.chdir(tmp_path)
    study = SmallStudy()
    recipe = study.values["models"]["tiny"]["pretraining"]
    recipe["train"] |= {"optimizer": "adamw", "learning_rate": 1e6}
    with pytest.raises(StudyError, match=rf"^{KEY}: the base diverged at update \d+: .*no run is"):
        study.run(pretrain.main, "tiny")
    assert Path("work/pretrain/tiny/phase-0/initial").exists()
    assert not Path("data/bases/tiny").exists()
