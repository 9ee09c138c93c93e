"""Small tokenizers of every kind, each in a folder of its own, and rows that are hard for them."""

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import sentencepiece
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer, UnigramTrainer

from reformer_seqlen.parameters.tokens import TokenizerKind
from reformer_seqlen.runtime.files import write_json
from reformer_seqlen.text.tokenizers import train_tokenizer

TEXT = "The tree grows by the river, and the trees grow: ten, twenty, thirty of them.\n" * 40
END = "<|end|>"
UTF_8_ROWS = [
    b" = Robert Boulter = \n",  # as WikiText writes it
    b" \n",
    b"\n",
    "The tree @-@ grows , in 1919 : ἀρχός . \n".encode(),
    b"lines end so\r\n",
    b"\r\r\n",
    b"a form\x0cfeed and a \x00 NUL\n",
    "a line\N{LINE SEPARATOR}separator, a next\N{NEXT LINE}line\n".encode(),
    "an emoji 🌳, a family 👨\N{ZERO WIDTH JOINER}👩\N{ZERO WIDTH JOINER}👧\n".encode(),
    "e\N{COMBINING ACUTE ACCENT} and é, ﬁ and \N{FULLWIDTH DIGIT TWO}\n".encode(),
    "no\N{NO-BREAK SPACE}break, \N{EM SPACE}wide\N{IDEOGRAPHIC SPACE} blanks \n".encode(),
    b"  two  blanks  \n",
    b"a tab\t\n",
    "how SentencePiece writes a blank: \N{LOWER ONE EIGHTH BLOCK} \n".encode(),
    f"<unk> the <unk> tree</s> {END} it\n".encode(),
    b"no newline at the end",
]
ROWS = [*UTF_8_ROWS[:-1], b"bytes \xff\xfe that are \xc3 no UTF-8 \xf0\x9f\n", UTF_8_ROWS[-1]]


def lossless(folder: Path) -> None:
    """A SentencePiece model as a base model that is made here has it."""
    text = folder / "train.txt"
    text.write_text(TEXT, encoding="utf-8")
    train_tokenizer(text, 130, folder / "spiece.model", "models.tiny.pretraining")


def sentencepiece_model(folder: Path, text: str = TEXT, **settings: Any) -> None:
    """A SentencePiece model of other settings; by default it normalises blanks away."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text.splitlines()),
        model_writer=model,
        minloglevel=2,
        **{"model_type": "bpe", "vocab_size": 60, **settings},
    )
    (folder / "spiece.model").write_bytes(model.getvalue())


def blanks_in_pieces(folder: Path) -> None:
    """A model with pieces of several blanks."""
    sentencepiece_model(
        folder,
        "a  tree   grows    by  the   river \n" * 40,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=False,
        vocab_size=40,
    )


def byte_level(folder: Path, text: Iterable[str] = (TEXT,)) -> Tokenizer:
    """A fast tokenizer whose pieces are made of bytes, as GPT-2's, with a special token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        text,
        BpeTrainer(
            vocab_size=400,
            special_tokens=[END],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return tokenizer


def metaspace(folder: Path) -> Tokenizer:
    """A fast unigram tokenizer that normalises, does not know all characters, and adds `<s>`."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.train_from_iterator(
        (TEXT,),
        UnigramTrainer(
            vocab_size=60,
            special_tokens=["<s>", "</s>", "<unk>"],
            unk_token="<unk>",  # noqa: S106
            show_progress=False,
        ),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return tokenizer


def nothing(_: Path) -> None:
    """A byte tokenizer has no file."""


MAKERS: dict[str, tuple[TokenizerKind, Callable[[Path], object]]] = {
    "lossless": ("sentencepiece", lossless),
    "normalising": ("sentencepiece", sentencepiece_model),
    "few-pieces": ("sentencepiece", lambda folder: sentencepiece_model(folder, vocab_size=28)),
    "no-a": (
        "sentencepiece",
        lambda folder: sentencepiece_model(folder, TEXT.replace("a", "o")),
    ),
    "blanks-in-pieces": ("sentencepiece", blanks_in_pieces),
    "unigram": (
        "sentencepiece",
        lambda folder: sentencepiece_model(folder, model_type="unigram", hard_vocab_limit=False),
    ),
    "byte-fallback": (
        "sentencepiece",
        lambda folder: sentencepiece_model(folder, byte_fallback=True, vocab_size=330),
    ),
    "byte-level": ("transformers", byte_level),
    "metaspace": ("transformers", metaspace),
    "bytes": ("bytes", nothing),
}
"""Tokenizers by name: their kind, and what writes their files into a folder."""


def make(name: str, folder: Path) -> Path:
    """Write a tokenizer of MAKERS into a new folder."""
    folder.mkdir(parents=True)
    kind, write = MAKERS[name]
    write(folder)
    write_json(folder / "kind.json", {"kind": kind})
    return folder
