"""What every table is made of: cells of text, numbers as people read them."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

NOTHING = ""
SIGNIFICANT = 3
"""Digits of a speed."""
NOISE = 1e-9
"""No measure here is as small, but sums of rounded numbers are."""


@dataclass(frozen=True)
class Table:
    """One table, ready to be shown.

    Attributes:
        name: what the code calls it.
        title: what question it answers.
        intro: how to read it, in Markdown.
        notes: what stands below it, in Markdown.
        labels: how many columns at the left are text; the others are numbers, set to the right.
    """

    name: str
    title: str
    headers: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)
    labels: int = 1
    intro: str = ""

    def _draw(self, rows: list[list[str]], style: str) -> str:
        from tabulate import tabulate  # here, as a machine with a GPU may lack it

        alignment = ["left" if i < self.labels else "right" for i in range(len(self.headers))]
        return tabulate(
            rows, self.headers, tablefmt=style, disable_numparse=True, colalign=alignment
        )

    def markdown(self) -> str:
        """The table and its notes as GitHub shows them; nothing without rows."""
        if not self.rows:
            return NOTHING
        safe = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in self.rows]
        return "\n\n".join([self._draw(safe, "pipe"), *self.notes])

    def text(self) -> str:
        """The table and its notes for a terminal; nothing without rows."""
        if not self.rows:
            return NOTHING
        notes = [f"  {note}" for note in self.notes]
        return "\n".join([self.title, self._draw(self.rows, "simple"), *notes])


def number(value: float | None, digits: int = 2) -> str:
    """A number with thousands separated, nothing for none.

    One that these digits would make 0 keeps its first digit, as `0.0002` of 3 digits, unless it is
    the rest of numbers that cancel out.
    """
    if value is None:
        return NOTHING
    shown = f"{value:,.{digits}f}"
    vanishes = abs(value) > NOISE and not any(digit in shown for digit in "123456789")
    return f"{value:.1g}" if vanishes else shown


def significant(value: float | None, digits: int = 0) -> str:
    """A number with three significant digits, and no fewer after the point than these.

    Example: 41,234 of 41234.5, 10.1 of 10.12, 0.0457 of 0.04567.
    """
    if not value:
        return number(value, digits)
    before = math.floor(math.log10(abs(value))) + 1
    return number(value, max(digits, SIGNIFICANT - before))


def span(
    values: Iterable[float],
    digits: int = 0,
    show: Callable[[float | None, int], str] = number,
) -> str:
    """The lowest and the highest of some numbers, or the one that all of them are."""
    shown = [show(value, digits) for value in sorted(values)]
    if not shown:
        return NOTHING
    return shown[0] if shown[0] == shown[-1] else f"{shown[0]} to {shown[-1]}"


def percent(value: float | None, digits: int = 2) -> str:
    """A change in percent with its sign; one that rounds to nothing is `0 %`."""
    if value is None:
        return NOTHING
    return f"{value:+.{digits}f} %" if round(value, digits) else "0 %"


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss.ss, the way the published study shows them."""
    hundredths = round(seconds * 100)
    minutes, hundredths = divmod(hundredths, 6000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{hundredths / 100:05.2f}"


def joined(parts: list[str]) -> str:
    """Some words as a list in a sentence.

    Example: "a, b and c".
    """
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last
