"""A study of one small text, whose stages run in this process and the working folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from reformer_seqlen.parameters.profiles import compose
from tests.conftest import CONF

LINES = [b"%d trees grow by the river.\n" % number for number in range(10, 20)]
"""Ten lines of 28 bytes."""


class SmallStudy:
    """The smoke profile on LINES.

    Attributes:
        values: of params.yaml, to be changed before a stage runs.
    """

    def __init__(self) -> None:
        Path("mine.txt").write_bytes(b"".join(LINES))
        self.values: Any = compose("smoke", CONF)
        source = {"kind": "path", "path": "mine.txt", "licence": "my own"}
        self.values["corpora"]["news"] |= {"files": {"all": source}, "first_bytes": None}
        self.values["corpora"]["news"]["split"] = {
            "validation": 0.2, "test": 0.2, "between": "documents",
        }  # fmt: skip

    @property
    def corpus(self) -> Any:
        """The declaration of the text."""
        return self.values["corpora"]["news"]

    def run(self, main: Callable[[str], None], name: str) -> None:
        """Run a stage's `main` as `python -m stages.STAGE NAME` does."""
        YAML().dump(self.values, Path("params.yaml"))
        main(name)
