"""The published protocol, held against transformers and datasets doing it on the same rows."""

import itertools
import math
import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import sentencepiece
import torch
from ruamel.yaml import YAML
from transformers import (
    ReformerConfig,
    ReformerModelWithLMHead,
    ReformerTokenizer,
    Trainer,
    TrainingArguments,
)

from reformer_seqlen.parameters.corpora import Corpus
from reformer_seqlen.parameters.evaluation import Evaluation
from reformer_seqlen.parameters.model_options import ReformerOptions
from reformer_seqlen.parameters.models import Model
from reformer_seqlen.parameters.profiles import compose
from reformer_seqlen.parameters.sources import PathSource
from reformer_seqlen.parameters.study import parse_study
from reformer_seqlen.parameters.tokens import TokenSet
from reformer_seqlen.parameters.training import Training
from reformer_seqlen.reformer.hashing import rotation_seed
from reformer_seqlen.reformer.model import Reformer, create_reformer, load_reformer
from reformer_seqlen.runtime.files import write_json
from reformer_seqlen.scoring.measures import blocks_of, describe
from reformer_seqlen.scoring.scorer import Scorer
from reformer_seqlen.text.chunking import cut
from reformer_seqlen.text.encoding import write_tokens
from reformer_seqlen.text.shuffling import shuffle_lines
from reformer_seqlen.text.splits import Split
from reformer_seqlen.text.splitting import split_text
from reformer_seqlen.text.stored import write_text
from reformer_seqlen.text.tokenizers import load_tokenizer
from reformer_seqlen.text.tokens import load_tokens
from reformer_seqlen.text.windows import Windows
from reformer_seqlen.training.trainer import Trained, train
from stages.pretrain import fetch_checkpoint
from tests.conftest import CONF, ROOT
from tests.paper_example import (
    enwik8_bytes,
    ptb_lines,
    save_checkpoint,
    tokenizer,
    wikitext_bytes,
    wikitext_rows,
)

pytestmark = pytest.mark.slow

MODEL = "reformer-crime-and-punishment"
EPOCHS = 2
CORPORA = {"wikitext-2": 256, "ptb": 256, "enwik8": 512}
"""Each corpus with the shortest length that the study trained at."""


@dataclass(frozen=True)
class Study:
    """The rows of two splits as the study had them, and our text of the same."""

    rows: dict[str, list[str]]
    text: dict[str, bytes]


def study(corpus: str, folder: Path) -> Study:
    """Made-up rows of a corpus's shape, enough for several batches of 1000 rows a shard."""
    if corpus == "wikitext-2":
        hub = {"train": wikitext_rows(4700, 1), "validation": wikitext_rows(700, 2)}
        return Study(hub, {split: wikitext_bytes(rows) for split, rows in hub.items()})
    if corpus == "ptb":  # the hub's ptb_text_only strips each line of the file
        files = {"train": ptb_lines(5100, 3), "validation": ptb_lines(900, 4)}
        stripped = {
            split: [line.strip() for line in text.decode().splitlines()]
            for split, text in files.items()
        }
        return Study(stripped, files)
    declared = Corpus.model_validate(PROFILE["corpora"]["enwik8"])
    assert declared.split is not None
    assert declared.shuffle_lines_seed is not None
    whole = enwik8_bytes(6009, 5) + b"\n"
    write_text(folder, "whole", [whole], "corpora.x")
    shuffle_lines(folder, "whole", declared.shuffle_lines_seed, "shuffled")
    split_text(folder, "shuffled", declared.split, folder, "corpora.x")
    rows = enwik8_by_the_notebook(whole.decode(), declared.shuffle_lines_seed, folder)
    names = ("train", "validation")
    return Study(rows, {name: (folder / f"{name}.txt").read_bytes() for name in names})


def enwik8_by_the_notebook(text: str, seed: int, folder: Path) -> dict[str, list[str]]:
    """The study's way from enwik8 to rows, but for the seed that it had not."""
    lines = text.splitlines(keepends=True)
    random.seed(seed)
    random.shuffle(lines)
    train = math.floor(len(lines) * 0.8)
    validation = train + math.floor(len(lines) * 0.1)
    parts = {"train": lines[:train], "validation": lines[train:validation]}
    rows = {}
    for split, part in parts.items():
        path = folder / f"enwik8_{split}.txt"
        path.write_text("".join(part))
        rows[split] = list(datasets.Dataset.from_text(str(path), cache_dir=str(folder))["text"])
    return rows


PROFILE = YAML(typ="safe").load(ROOT / "conf/profile/paper.yaml")


def transformers_tokenizer(model: Path) -> ReformerTokenizer:
    """The tokenizer that transformers makes of a SentencePiece model.

    Made by hand, as transformers needs protobuf to read the model: the merges are the pairs of
    pieces that make a piece, in the order of the pieces.
    """
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(model))
    vocabulary = {pieces.id_to_piece(number): number for number in range(pieces.vocab_size())}
    merges = [
        (whole[:place], whole[place:])
        for whole in vocabulary
        for place in range(1, len(whole))
        if whole[:place] in vocabulary and whole[place:] in vocabulary
    ]
    charsmap = _protobuf_field(_protobuf_field(model.read_bytes(), 3), 2)  # of the normaliser
    return ReformerTokenizer(vocab=vocabulary, merges=merges, _spm_precompiled_charsmap=charsmap)


def _protobuf_field(message: bytes, wanted: int) -> bytes:
    """The first field of this number in a serialised message; a field of bytes."""
    place = 0

    def integer() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = message[place]
            place += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while True:
        number, kind = divmod(integer(), 8)
        size = {0: 0, 1: 8, 5: 4}[kind] if kind != 2 else integer()
        if kind == 0:
            integer()
        content = message[place : place + size]
        place += size
        if number == wanted:
            return content


def blocks_by_datasets(
    rows: list[str], pieces: ReformerTokenizer, length: int
) -> list[dict[str, list[int]]]:
    """The study's notebook: rows to ids, then batches of rows to blocks, both in four processes."""

    def tokenize(examples: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        return {"input_ids": pieces(examples["text"])["input_ids"]}

    def group(examples: dict[str, list[list[int]]]) -> dict[str, list[list[int]]]:
        joined = list(itertools.chain.from_iterable(examples["input_ids"]))
        whole = len(joined) // length * length
        cut = [joined[i : i + length] for i in range(0, whole, length)]
        return {"input_ids": cut, "labels": [list(block) for block in cut]}

    data = datasets.Dataset.from_dict({"text": rows})
    tokens = data.map(tokenize, batched=True, num_proc=4, remove_columns=["text"])
    return list(tokens.map(group, batched=True, num_proc=4))


def our_split(corpus: str, text: bytes, folder: Path, name: str, length: int) -> Split:
    """Our stages' way from a text to the windows of the published policy."""
    item = TokenSet.model_validate(PROFILE["tokens"][f"{corpus}-{MODEL}"])
    write_text(folder, name, [text], "corpora.x")
    write_tokens(load_tokenizer(folder, item.encoding), folder, name, folder, item.row_shape)
    tokens = load_tokens(folder, name)
    windows = cut("published", tokens.rows, len(tokens), length, every_token=name != "train")
    return Split(tokens, windows, length, "published")


@dataclass(frozen=True)
class Both:
    """The same rows cut by the study's code and by ours."""

    blocks: dict[str, list[dict[str, list[int]]]]
    splits: dict[str, Split]

    def first(self, train: int, validation: int) -> "Both":
        """The first blocks of each split alone."""
        sizes = {"train": train, "validation": validation}
        return Both(
            {name: self.blocks[name][:size] for name, size in sizes.items()},
            {name: _first(self.splits[name], size) for name, size in sizes.items()},
        )


def _first(split: Split, size: int) -> Split:
    windows = Windows(split.windows.starts[:size], split.windows.context[:size])
    return replace(split, windows=windows)


@pytest.fixture(scope="module", params=CORPORA)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Both:
    folder = tmp_path_factory.mktemp(request.param)
    pieces = transformers_tokenizer(tokenizer(folder))
    write_json(folder / "kind.json", {"kind": "sentencepiece"})
    made, length = study(request.param, folder), CORPORA[request.param]
    names = ("train", "validation")
    datasets.disable_progress_bars()
    return Both(
        {name: blocks_by_datasets(made.rows[name], pieces, length) for name in names},
        {name: our_split(request.param, made.text[name], folder, name, length) for name in names},
    )


def test_blocks_are_those_of_datasets(both: Both) -> None:
    for name, split in both.splits.items():
        inputs, targets = split.batch(slice(None))
        expected = [block["input_ids"] for block in both.blocks[name]]
        assert len(expected) > 16
        assert len(split.tokens) > inputs.numel()  # something was dropped
        assert inputs.tolist() == expected
        assert targets[:, :-1].tolist() == [block[1:] for block in expected]


def small_model() -> Reformer:
    """Without dropout and hashing, which ours draws elsewhere: what is left must be the same."""
    torch.manual_seed(0)
    config = ReformerConfig(
        attn_layers=["local", "local"],
        hidden_size=16,
        attention_head_size=8,
        num_attention_heads=2,
        feed_forward_size=32,
        vocab_size=320,
        axial_pos_embds=False,
        max_position_embeddings=512,
        hidden_dropout_prob=0.0,
        local_attention_probs_dropout_prob=0.0,
        is_decoder=True,
        loss_type="ForCausalLM",
    )
    return create_reformer(config)


def train_by_transformers(both: Both, work: Path) -> list[dict[str, Any]]:
    """The study's call of the Trainer: what it did not set is left at transformers' default."""
    trainer = Trainer(
        model=small_model(),
        args=TrainingArguments(
            output_dir=str(work),
            eval_strategy="epoch",
            learning_rate=2e-4,
            weight_decay=0.01,
            optim="adafactor",
            num_train_epochs=EPOCHS,
            per_device_train_batch_size=16,
            per_device_eval_batch_size=16,
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            use_cpu=True,
            dataloader_pin_memory=False,
            disable_tqdm=True,
        ),
        train_dataset=both.blocks["train"],
        eval_dataset=both.blocks["validation"],
    )
    # Today's Trainer divides by all tokens of a batch; in 2021 the model's own mean was the loss.
    trainer.model_accepts_loss_kwargs = False
    trainer.train()
    history: list[dict[str, Any]] = trainer.state.log_history
    return history


@dataclass(frozen=True)
class Trainings:
    """One training by transformers' Trainer, and one by ours with the paper profile's values."""

    data: Both
    theirs: list[dict[str, Any]]
    ours: Trained


@pytest.fixture(scope="module")
def trainings(both: Both, tmp_path_factory: pytest.TempPathFactory) -> Trainings:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    settings = Training(**{**PROFILE["train"], "epochs": EPOCHS})
    data = both.first(train=71, validation=21)  # the last batch of each is smaller
    train_split, validation = data.splits["train"], data.splits["validation"]
    work = tmp_path_factory.mktemp("work")
    trained = train(small_model(), train_split, validation, settings, work / "ours")
    theirs = train_by_transformers(data, work / "theirs")
    torch.set_num_threads(threads)
    return Trainings(data, theirs, trained)


def test_updates_and_learning_rates_are_those_of_the_trainer(trainings: Trainings) -> None:
    steps = [entry for entry in trainings.theirs if "loss" in entry]
    batches = math.ceil(len(trainings.data.blocks["train"]) / 16)
    history = trainings.ours.history
    assert history["updates"] == len(steps) == EPOCHS * batches
    for ours, theirs in zip(history["steps"], steps, strict=True):
        assert ours["learning_rate"] == pytest.approx(theirs["learning_rate"], rel=1e-12)
    assert steps[0]["learning_rate"] == pytest.approx(2e-4)


def test_losses_are_those_of_the_trainer(trainings: Trainings) -> None:
    """The same batches in the same order, through the same optimizer: seed 42 on both sides."""
    steps = [entry for entry in trainings.theirs if "loss" in entry]
    for ours, theirs in zip(trainings.ours.history["steps"], steps, strict=True):
        assert ours["training_loss"] == pytest.approx(theirs["loss"], rel=1e-4)
        assert ours["gradient_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-3)


def test_perplexity_is_exp_of_the_trainers_eval_loss(trainings: Trainings) -> None:
    evaluations = [entry for entry in trainings.theirs if "eval_loss" in entry]
    assert len(evaluations) == EPOCHS
    for ours, theirs in zip(trainings.ours.history["evaluations"], evaluations, strict=True):
        assert ours["validation_loss"] == pytest.approx(theirs["eval_loss"], rel=1e-5)
    settings = Evaluation(**PROFILE["evaluate"])
    split = trainings.data.splits["validation"]
    draws = Scorer(trainings.ours.model, None, settings).draws(
        trainings.ours.model, split, "validation"
    )
    losses = [draw.mean_nats for draw in draws]
    said = describe(split, losses, blocks_of(split, draws[0].nats), unknown_id=0)
    assert said["perplexity"] == pytest.approx(math.exp(evaluations[-1]["eval_loss"]), rel=1e-4)
    assert said["tokens"] == len(split.windows) * (split.length - 1)


def test_the_profile_says_what_the_study_did() -> None:
    params = parse_study(compose("paper", CONF), "paper")
    cells = {(run.corpus, run.sequence_length) for run in params.runs.values()}
    lengths = {"wikitext-2": 256, "ptb": 256, "enwik8": 512}
    assert cells == {(c, n) for c, least in lengths.items() for n in (least, 2048, 16384)}
    for run in params.runs:
        training, options = params.training(run), params.options(run)
        assert params.chunking(run).policy == "published"
        assert (training.optimizer, training.schedule, training.precision) == (
            "adafactor",
            "linear",
            "float32",
        )
        assert (training.learning_rate, training.weight_decay) == (2e-4, 0.01)
        assert (training.warmup_updates, training.max_gradient_norm) == (0, 1.0)
        assert (training.batch_size, training.epochs, training.seed) == (16, 30, 42)
        assert isinstance(options, ReformerOptions)
        assert (options.positions, options.lsh_causality) == ("published", "published")
        assert (options.num_hashes, options.num_buckets) == (None, None)
    shapes = {"wikitext-2": "blank_empty", "ptb": "stripped", "enwik8": "unended"}
    assert {item.corpus: item.row_shape for item in params.tokens.values()} == shapes
    assert {item.encoding for item in params.tokens.values()} == {"transformers"}
    enwik8 = params.corpora["enwik8"]
    assert enwik8.shuffle_lines_seed is not None
    assert enwik8.split is not None
    assert (enwik8.split.between, enwik8.split.shares_of) == ("lines", "number")
    assert (enwik8.split.validation, enwik8.split.test) == (0.1, 0.1)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, torch.Tensor]]:
    """A checkpoint with the published layout as our stage fetches it, and its weights as it had."""
    folder = tmp_path_factory.mktemp("checkpoint")
    small = {"hidden_size": 32, "attention_head_size": 16, "feed_forward_size": 48}
    saved = save_checkpoint(folder / "hub", **small, axial_pos_embds_dim=[8, 24])
    source = PathSource(kind="path", path=str(saved), licence="made up")
    model = Model(options={"lsh_causality": "published"}, checkpoint=source)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        fetch_checkpoint("small", model, source, folder / "base", None)
    return folder / "base", torch.load(saved / "pytorch_model.bin", weights_only=True)


def test_a_loaded_checkpoint_computes_what_its_weights_say(
    base: tuple[Path, dict[str, torch.Tensor]],
) -> None:
    """Stock transformers, whose forward pass has no output bias, and the bias added by hand."""
    folder, weights = base
    config = ReformerConfig.from_pretrained(folder)
    stock = ReformerModelWithLMHead(config).eval()
    stock.load_state_dict({name: weights[name] for name in stock.state_dict()})
    for index, layer in enumerate(stock.reformer.encoder.layers):
        layer.attention.self_attention.hash_seed = rotation_seed(7, 0, index)
    ours = load_reformer(folder, lsh_causality="published", sequence_length=256).eval()
    ours.set_hash_draw(7)
    ids = torch.from_numpy(np.random.default_rng(0).integers(0, 320, (2, 256)))
    with torch.no_grad():
        logits = ours(ids).logits
        without = stock(ids, use_cache=False).logits
    assert weights["lm_head.bias"].abs().max() > 1
    torch.testing.assert_close(logits, without + weights["lm_head.bias"], atol=1e-4, rtol=1e-4)


def test_no_weight_of_the_checkpoint_is_lost(
    base: tuple[Path, dict[str, torch.Tensor]],
) -> None:
    """Under `published` positions only the axial tables give way, to a fresh table of stock's."""
    folder, weights = base
    kept = {name for name in weights if "mask_value" not in name and "decoder.bias" not in name}
    axial = load_reformer(folder, lsh_causality="published", sequence_length=256).state_dict()
    assert axial.keys() == kept
    assert all(torch.equal(axial[name], weights[name]) for name in kept)
    fresh = load_reformer(
        folder, lsh_causality="published", positions="published", sequence_length=256
    ).state_dict()
    tables = {name for name in kept if "position_embeddings" in name}
    [table] = fresh.keys() - kept
    assert kept - fresh.keys() == tables
    assert all(torch.equal(fresh[name], weights[name]) for name in kept - tables)
    assert fresh[table].shape == (524288, 32)
    assert fresh[table].std().item() == pytest.approx(0.02, rel=0.01)
