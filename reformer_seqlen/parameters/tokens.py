"""The section `tokens` of params.yaml: corpora under a model's tokenizer."""

from typing import Literal

from reformer_seqlen.parameters.common.section import Name, Section

TokenizerKind = Literal["sentencepiece", "transformers", "bytes"]
Encoding = Literal["sentencepiece", "transformers"]
RowShape = Literal["whole", "blank_empty", "unended", "stripped"]


class TokenSet(Section):
    """A corpus under a model's tokenizer.

    Attributes:
        encoding: whose rules make pieces of a row under a SentencePiece model. `sentencepiece`
            drops a blank at the row's end and spells out a `<unk>` that stands in the text.
            `transformers` is the fast tokenizer that the published study called. It makes a piece
            of a blank at the row's end, or before a special token. It reads `<unk>` and `</s>` in
            the text as those tokens.
        row_shape: what of a line is the row: the `whole` line; the line, or nothing where it is
            blank (`blank_empty`, the hub's WikiText); the line without its newline (`unended`,
            as `datasets` reads text files); without blanks at both ends (`stripped`, the hub's
            Penn Treebank).
        document_prefix: whether each document begins with the special tokens that the model's
            tokenizer puts before a text, such as `<s>`. They are context for the document's first
            piece and never a target, and stand for no bytes of text.
    """

    corpus: Name
    model: Name
    encoding: Encoding = "sentencepiece"
    row_shape: RowShape = "whole"
    document_prefix: bool = False
