"""The fields of a serialised protocol buffer, for which no schema is needed."""


def fields(message: bytes) -> dict[int, int | bytes]:
    """A message's fields by number: integers, or the bytes of anything else; a repeated one's last.

    Raises:
        IndexError: the message is cut off.
    """
    found: dict[int, int | bytes] = {}
    place = 0
    while place < len(message):
        key, place = _integer(message, place)
        number, kind = divmod(key, 8)
        size = {1: 8, 5: 4}.get(kind)
        if size is None:
            size, place = _integer(message, place)
        if kind == 0:
            found[number] = size
        else:
            found[number] = message[place : place + size]
            place += size
    return found


def _integer(message: bytes, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, lowest first, and the place after it."""
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
