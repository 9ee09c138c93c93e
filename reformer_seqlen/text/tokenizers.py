"""Training of SentencePiece tokenizers."""

import io
import string
from pathlib import Path

import sentencepiece

from reformer_seqlen.runtime.messages import text as messages


def train_tokenizer(text: Path, pieces: int, target: Path) -> None:
    """Train a lossless SentencePiece BPE model on a text file.

    Nothing is normalised, and every printable ASCII character and the newline are pieces, so that
    only other scripts and signs become unknown: a text with many unknown pieces is easier to
    predict than the text itself.

    Raises:
        StudyError: the text has too few different pieces, or more characters than pieces.
    """
    printable = string.ascii_letters + string.digits + string.punctuation
    model = io.BytesIO()
    with text.open(encoding="utf-8") as lines:
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=(line.rstrip("\n") for line in lines),
                model_writer=model,
                model_type="bpe",
                vocab_size=pieces,
                character_coverage=1.0,
                required_chars=printable,
                user_defined_symbols=["\n"],
                normalization_rule_name="identity",
                remove_extra_whitespaces=False,
                add_dummy_prefix=False,
                max_sentence_length=text.stat().st_size,
                num_threads=1,
                minloglevel=2,
            )
        except RuntimeError as error:
            raise messages.no_tokenizer(pieces, error) from error
    target.write_bytes(model.getvalue())
