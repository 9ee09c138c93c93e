"""YAML has two dialects: profiles are read by one, params.yaml and what DVC writes by the other.

Hydra reads YAML 1.1, DVC and we read 1.2. What they read differently is refused in either file, so
that a line means the same wherever it stands.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import ScalarEvent

from reformer_seqlen.runtime.files import read_text
from reformer_seqlen.runtime.messages import parameters as messages
from reformer_seqlen.runtime.paths import CONF

IN_DIGITS = "write it in digits, without leading zeros, colons or signs before the point"
AMBIGUOUS = {
    re.compile(r"on|yes|On|Yes|ON|YES"): "write true",
    re.compile(r"off|no|Off|No|OFF|NO"): "write false",
    re.compile(r"[-+]?0[0-9_]+(?:\.[0-9_]*)?|[-+]?0o[0-7_]+"): IN_DIGITS,  # octal, or decimal
    re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"): IN_DIGITS,  # to base 60
    re.compile(r"[-+]\.[0-9_]+(?:[eE][-+]?[0-9]+)?|\.[0-9_]+[eE][0-9]+"): IN_DIGITS,
    re.compile(r"[-+]?[0-9.]*_[0-9_.]*[eE][-+0-9_]*|[-+.]_[0-9_.]*|[-+]?0[bx]_+"): IN_DIGITS,
    re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt \t].*)?"): "write the date in words",
}
"""Values without quotes that the dialects read differently, and what may be meant."""


def meant(scalar: str) -> str | None:
    """What to write instead of a value without quotes; None where both dialects read the same."""
    return next((words for form, words in AMBIGUOUS.items() if form.fullmatch(scalar)), None)


def check_dialect(path: Path) -> None:
    """Refuse a file with a value that the two dialects read differently.

    Raises:
        StudyError: the message names the line.
    """
    try:
        for line, scalar in plain_scalars(read_text(path)):
            if advice := meant(scalar):
                raise messages.two_dialects(path, line, scalar, advice)
    except YAMLError as error:
        raise messages.not_yaml(path, error) from error
    except RecursionError as error:
        raise messages.not_yaml(path, "it is nested too deep") from error


def check_profile(name: str, conf: Path = CONF) -> None:
    """Check the files that a profile is composed from, as far as they are here."""
    shared = [path for path in conf.rglob("*.yaml") if path.parent != conf / "profile"]
    for path in (conf / "profile" / f"{name}.yaml", *sorted(shared)):
        if path.is_file():
            check_dialect(path)


def plain_scalars(text: str) -> Iterator[tuple[int, str]]:
    """Keys and values without quotes, each with its line."""
    for event in YAML(typ="safe").parse(text):
        if isinstance(event, ScalarEvent) and event.implicit[0]:
            yield event.start_mark.line + 1, event.value
