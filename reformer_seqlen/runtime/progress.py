"""Progress on a terminal: quiet where nobody watches."""

from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def over(items: Iterable[T], what: str, unit: str, total: int | None = None) -> "tqdm[T]":
    """The items, with a bar that counts them; it is gone when they are."""
    return tqdm(items, desc=what, unit=unit, total=total, leave=False, disable=None)


def of_bytes(what: str, total: int | None) -> "tqdm[None]":
    """A bar to be told how many bytes are done."""
    return tqdm(desc=what, total=total, unit="B", unit_scale=True, unit_divisor=1024, disable=None)


def duration(seconds: float) -> str:
    """Seconds in the two largest of days, hours, minutes and seconds.

    Example: 7384 seconds are "2 h 03 min".
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours:02d} h"
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
