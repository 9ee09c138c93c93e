"""The section `corpora` of params.yaml: texts and their splits."""

from typing import Literal, Self

from pydantic import model_validator

from reformer_seqlen.parameters.common.quantities import SPLITS, Bytes, Fraction
from reformer_seqlen.parameters.common.section import Section
from reformer_seqlen.parameters.sources import FileSource
from reformer_seqlen.runtime.messages import parameters as messages

Format = Literal["lines", "wikipedia_prose", "bytes", "python_string"]
Between = Literal["documents", "lines"]
SplitFile = Literal["all", "train", "validation", "test"]


class Split(Section):
    """How one text becomes three: contiguous parts, in order, cut between documents or lines.

    Attributes:
        between: where it is cut; a text of one line is cut between words.
        shares_of: `validation` and `test` are shares of the text's bytes, or of the number of
            lines or documents, as the published study counted enwik8's lines.
    """

    validation: Fraction
    test: Fraction
    between: Between
    shares_of: Literal["bytes", "number"] = "bytes"

    @model_validator(mode="after")
    def _something_is_left_to_train_on(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError(messages.NOTHING_LEFT_TO_TRAIN_ON)
        return self


class Corpus(Section):
    """A text and its three splits: one file to be split, or a file for each split.

    Attributes:
        words: whether the text is words separated by blanks, as WikiText-2 and Penn Treebank are;
            each line's end is a word of its own. Perplexity per word is told then.
        first_bytes: of each file; what is used of it ends with a whole line, or with a word where
            no line fits.
        first_rows: of each file, lines.
        shuffle_lines_seed: the order in which lines are taken, before they are split.
    """

    format: Format
    files: dict[SplitFile, FileSource]
    words: bool = False
    first_bytes: Bytes | None = None
    first_rows: Bytes | None = None
    shuffle_lines_seed: int | None = None
    split: Split | None = None

    @model_validator(mode="after")
    def _files_fit_the_split(self) -> Self:
        if self.split is not None and set(self.files) != {"all"}:
            raise ValueError(messages.SPLIT_CUTS_ONE_FILE)
        if self.split is None and set(self.files) != set(SPLITS):
            raise ValueError(messages.FILES_WITHOUT_SPLIT)
        if self.split is None and self.shuffle_lines_seed is not None:
            raise ValueError(messages.SHUFFLE_WITHOUT_SPLIT)
        if self.split is not None and self.format == "bytes" and self.split.between != "lines":
            raise ValueError(messages.ONE_DOCUMENT)
        return self
