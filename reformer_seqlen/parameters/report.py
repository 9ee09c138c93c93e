"""The section `report` of params.yaml: what the report alone reads."""

from typing import Annotated

from pydantic import Field

from reformer_seqlen.parameters.common.section import Name, Section


class Reporting(Section):
    """What tables mark and say.

    Attributes:
        diverged_above_best_nats: a run diverged if its last validation loss is that much above
            its best.
        notes: what a reader must know of a model, by its name; it stands below the scores.
    """

    diverged_above_best_nats: Annotated[float, Field(gt=0)] = 0.1
    notes: dict[Name, str] = Field(default_factory=dict)
