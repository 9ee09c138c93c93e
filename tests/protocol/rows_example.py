"""Small texts of the published corpora, cut into blocks by the study's code and by ours."""

import itertools
import math
import random
from dataclasses import dataclass, replace
from pathlib import Path

import datasets
import sentencepiece
from ruamel.yaml import YAML
from transformers import (
    ReformerTokenizer,
)

from reformer_seqlen.parameters.corpora import Corpus
from reformer_seqlen.parameters.tokens import TokenSet
from reformer_seqlen.text.chunking import cut
from reformer_seqlen.text.encoding import write_tokens
from reformer_seqlen.text.pieces.protobuf import fields
from reformer_seqlen.text.shuffling import shuffle_lines
from reformer_seqlen.text.splits import Split
from reformer_seqlen.text.splitting import split_text
from reformer_seqlen.text.stored import write_text
from reformer_seqlen.text.tokenizers import load_tokenizer
from reformer_seqlen.text.tokens import load_tokens
from reformer_seqlen.text.windows import Windows
from tests.conftest import ROOT
from tests.paper_example import (
    enwik8_bytes,
    ptb_lines,
    wikitext_bytes,
    wikitext_rows,
)

MODEL = "reformer-crime-and-punishment"
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
    normaliser = fields(model.read_bytes())[3]
    assert isinstance(normaliser, bytes)
    charsmap = fields(normaliser)[2]
    return ReformerTokenizer(vocab=vocabulary, merges=merges, _spm_precompiled_charsmap=charsmap)


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
