"""The section `counts` of params.yaml: n-gram models, counted and scored beside the runs."""

from typing import Annotated, Literal

from pydantic import Field

from reformer_seqlen.parameters.common.section import Name, Section


class Count(Section):
    """An n-gram model of a corpus under a model's tokenizer.

    Attributes:
        order: how many pieces its longest n-grams have; 1 is the unigram.
        text: what is counted: the corpus's `own` training split; or `all` that a run of the model
            is trained on, its base text and that split.
    """

    corpus: Name
    model: Name
    order: Annotated[int, Field(gt=0, le=64)]
    text: Literal["own", "all"] = "own"
