"""The section `chunk` of params.yaml."""

from reformer_seqlen.parameters.common.quantities import Policy
from reformer_seqlen.parameters.common.section import Section


class Chunking(Section):
    """How windows are cut out of a split's tokens.

    Attributes:
        policy: `contiguous` windows drop nothing but the tail of a split; `published` are the
            study's, which drop the rest of every batch of rows.
    """

    policy: Policy = "contiguous"
