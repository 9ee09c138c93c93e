"""The section `report` of params.yaml: what the report alone reads."""

from typing import Annotated

from pydantic import Field

from reformer_seqlen.parameters.common.section import Section


class Reporting(Section):
    """What tables mark.

    Attributes:
        diverged_above_best_nats: a run diverged if its last validation loss is that much above
            its best.
    """

    diverged_above_best_nats: Annotated[float, Field(gt=0)] = 0.1
