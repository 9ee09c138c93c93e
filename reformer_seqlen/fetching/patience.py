"""How long to try: a place that cannot be reached is given up within seconds."""

RETRIES = 2
"""Further attempts: after one second, and after two more, as pooch waits."""

CONNECT_S = 4.0
"""Seconds to wait for a connection, to each of a host's addresses."""

READ_S = 20.0
"""Seconds to wait for the next bytes."""

WORTH_ANOTHER_TRY = frozenset({408, 425, 429, 500, 502, 503, 504})
"""The HTTP statuses of a server that is busy, and may not be a moment later."""


class UnavailableError(Exception):
    """A place did not give what was asked of it; the message is the reason alone."""


def root_reason(error: BaseException) -> str:
    """What is at the bottom of a network error, without the layers that pass it on."""
    below = error.__cause__ or error.__context__
    while below is not None:
        error, below = below, below.__cause__ or below.__context__
    return str(getattr(error, "strerror", None) or str(error) or type(error).__name__)
