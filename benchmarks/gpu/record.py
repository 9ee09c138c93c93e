"""A part's results, written anew with each of them: a part that is ended keeps what it has."""

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch

from reformer_seqlen.runtime.errors import one_line
from reformer_seqlen.runtime.files import read_json, write_json

T = TypeVar("T")
TIME_WAS_UP = "not measured: time was up"


@dataclass
class Record:
    """The JSON file of a part, and the time that it has.

    Attributes:
        path: of the file, which has its head already.
        limit_seconds: how long the part may take; it is killed then.
    """

    path: Path
    limit_seconds: float
    results: dict[str, Any] = field(default_factory=dict)
    _began: float = field(default_factory=time.monotonic)

    @property
    def seconds_left(self) -> float:
        """How long until the part is killed."""
        return self._began + self.limit_seconds - time.monotonic()

    def note(self, name: str, value: Any) -> None:
        """Keep a result."""
        self.results[name] = value
        write_json(self.path, read_json(self.path) | {"results": self.results})

    def row(self, table: str, row: Mapping[str, Any]) -> None:
        """Keep a result as a table's next row, and print it."""
        columns = ", ".join(f"{key} {shown(value)}" for key, value in row.items())
        print(f"  {table}: {columns}", flush=True)
        self.note(table, [*self.results.get(table, []), dict(row)])

    def attempt(
        self, table: str, place: Mapping[str, Any], call: Callable[[], T], seconds: float = 3.0
    ) -> T | None:
        """What a call returns; if it fails or its time is up, None and a row that says why.

        Args:
            table: that gets the row.
            place: what the call is for, the row's first columns.
            call: the work.
            seconds: that it may need: with less left, it is not begun.
        """
        if self.seconds_left < seconds:
            self.row(table, {**place, "why": TIME_WAS_UP})
            return None
        try:
            return call()
        except Exception as error:
            why = f"{type(error).__name__}: {one_line(error)}"
        gc.collect()  # what the failed call held
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        self.row(table, {**place, "why": why})
        return None


def shown(value: Any) -> str:
    """A value as the lines of progress have it."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return f"{len(value)}, the last {shown(value[-1])}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
