"""Where a long row may be cut between two words."""


def last_cut(row: bytes) -> int:
    """Where the last word of a row begins, 0 where it is the only one."""
    place = row.rfind(b" ", 0, -1)
    while place > 0:
        if ord("!") <= row[place - 1] <= ord("~") and ord("!") <= row[place + 1] <= ord("~"):
            return place
        place = row.rfind(b" ", 0, place)
    return 0
