"""The one kind of error that a person is meant to read."""


class StudyError(Exception):
    """Something that a person can mend.

    The message says what is wrong, where (file, key or run), what was expected and what to do.
    `reformer_seqlen.runtime.console.run` prints it without a traceback and exits with 1.
    """


def one_line(error: Exception, characters: int = 300) -> str:
    """An exception's message on one line of bearable length."""
    return " ".join(str(error).split())[:characters] or type(error).__name__
