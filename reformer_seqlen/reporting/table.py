"""What every table is made of: cells of text, numbers as people read them."""

from dataclasses import dataclass, field

from tabulate import tabulate

NOTHING = ""


@dataclass(frozen=True)
class Table:
    """One table, ready to be shown; `name` is its marker in the README."""

    name: str
    title: str
    headers: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)
    labels: int = 1
    """How many columns at the left are text; the others are numbers and stand at the right."""

    def _alignment(self) -> list[str]:
        return ["left" if i < self.labels else "right" for i in range(len(self.headers))]

    def _draw(self, rows: list[list[str]], style: str) -> str:
        return tabulate(
            rows, self.headers, tablefmt=style, disable_numparse=True, colalign=self._alignment()
        )

    def markdown(self) -> str:
        """The table and its notes as GitHub shows them."""
        if not self.rows:
            return "\n\n".join(self.notes)
        safe = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in self.rows]
        return "\n\n".join([self._draw(safe, "pipe"), *self.notes])

    def text(self) -> str:
        """The table and its notes for a terminal."""
        drawn = [self._draw(self.rows, "simple")] if self.rows else []
        return "\n".join([self.title, *drawn, *(f"  {note}" for note in self.notes)])


def number(value: float | None, digits: int = 2) -> str:
    """A number with thousands separated, nothing for none."""
    return NOTHING if value is None else f"{value:,.{digits}f}"


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss.ss, the way the published study shows them."""
    hundredths = round(seconds * 100)
    minutes, hundredths = divmod(hundredths, 6000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{hundredths / 100:05.2f}"
