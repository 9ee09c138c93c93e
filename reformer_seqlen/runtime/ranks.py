"""Which of the processes of one training this is, by the variables that torchrun sets.

Processes of one training have ranks 0, 1, ... The first alone prints and writes.
"""

import os

RANK, SIZE, LOCAL_RANK, LOCAL_SIZE = "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"
STORE = "REFORMER_SEQLEN_STORE"
"""The port at which the first process waits for those that it has started."""
NAMES = {RANK, SIZE, LOCAL_RANK, LOCAL_SIZE, STORE, "MASTER_ADDR", "MASTER_PORT"}
"""What sets the environment of one process of a training apart from another's."""


def rank() -> int:
    """This process's number, from 0."""
    return int(os.environ.get(RANK, "0"))


def local_rank() -> int:
    """This process's number among those of its machine, from 0."""
    return int(os.environ.get(LOCAL_RANK, "0"))


def size() -> int:
    """How many processes train together; 1 where one trains alone."""
    return int(os.environ.get(SIZE, "1")) if RANK in os.environ else 1


def local_size() -> int:
    """How many of them are on this machine."""
    return int(os.environ.get(LOCAL_SIZE, str(size())))


def is_first() -> bool:
    """Whether this process prints and writes."""
    return rank() == 0


def was_started() -> bool:
    """Whether the first process has started this one, not torchrun."""
    return STORE in os.environ
