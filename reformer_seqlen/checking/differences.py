"""Which values of two nested objects differ, and by how much they may."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

SPREAD = "_spread"
"""How the key of a spread ends; what it is a spread of has the key before that."""
IN_BITS = {"bits_per_byte", "low", "high"}
"""The keys of scores and of differences of scores. These are known as well as the scores, which are
about a bit or more: the least that their tolerance is relative to is a bit."""
LONGEST = 120
"""Characters of a value that are shown."""
Labels = tuple[str, str]
"""How to call the two values of a difference."""
OF_HEAD: Labels = ("committed", "computed")


class Words(str):
    """Words in the place of a value, shown without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


MISSING = Words("nothing")


@dataclass(frozen=True)
class Difference:
    """One value that is not what it should be.

    Attributes:
        file: where it stands.
        key: of the value; empty for the file as a whole.
        what: both values, in words.
    """

    file: str
    key: str
    what: str

    def __str__(self) -> str:
        return f"{self.file}: {self.key or 'all of it'}: {self.what}"


def difference(file: str, key: str, pair: tuple[Any, Any], labels: Labels = OF_HEAD) -> Difference:
    """A difference that shows both values."""
    what = (f"{label} {_short(value)}" for label, value in zip(labels, pair, strict=True))
    return Difference(file, key, ", ".join(what))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def is_number(value: Any) -> bool:
    """Whether a value is a number; yes and no are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def differences(
    file: str, committed: Any, computed: Any, tolerance: float, labels: Labels = OF_HEAD
) -> Iterator[Difference]:
    """Every leaf of two nested objects that differs by more than `tolerance` (relative).

    Only numbers with a fraction have a tolerance: names, counts and yes or no must be equal. A
    spread is a small difference of what it is a spread of, so its tolerance is relative to that.
    """
    for key, pair, of in _leaves((committed, computed), (None, None)):
        least = (1.0,) if key.rpartition(".")[2] in IN_BITS else ()
        if not _equal(pair, tolerance, (*of, *least)):
            yield difference(file, key, pair, labels)


def _leaves(
    pair: tuple[Any, Any], of: tuple[Any, Any], key: str = ""
) -> Iterator[tuple[str, tuple[Any, Any], tuple[Any, Any]]]:
    """The leaves of two nested objects: key, both values, and what both are a spread of."""
    left, right = pair
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        for name in dict.fromkeys([*left, *right]):
            whole = str(name).removesuffix(SPREAD) if str(name).endswith(SPREAD) else None
            yield from _leaves(
                (left.get(name, MISSING), right.get(name, MISSING)),
                (left.get(whole), right.get(whole)),
                f"{key}.{name}" if key else str(name),
            )
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for i, items in enumerate(zip(left, right, strict=True)):
            yield from _leaves(items, (None, None), f"{key}[{i}]")
    else:
        yield key, pair, of


def _equal(pair: tuple[Any, Any], tolerance: float, of: tuple[Any, ...]) -> bool:
    """Whether two values are equal; `of` is what their tolerance is relative to, if it is more."""
    committed, computed = pair
    if committed == computed:
        return True
    if not tolerance or not (is_number(committed) and is_number(computed)):
        return False
    if isinstance(committed, int) and isinstance(computed, int):
        return False
    largest = max(abs(value) for value in (*pair, *of) if is_number(value))
    return bool(abs(committed - computed) <= tolerance * largest)
