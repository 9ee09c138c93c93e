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
