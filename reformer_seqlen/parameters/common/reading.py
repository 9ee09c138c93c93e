"""Reading params.yaml: a stage takes the sections that it uses, and depends on nothing else.

That the file is right as a whole is checked before (`parameters.study`).
"""

from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from reformer_seqlen.runtime.messages import parameters as messages
from reformer_seqlen.runtime.paths import PARAMS

T = TypeVar("T")


def read_values(path: Path = PARAMS) -> Any:
    """What YAML makes of params.yaml.

    Raises:
        StudyError: there is no such file, or it is not YAML.
    """
    try:
        return _parsed(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise messages.missing(path) from None
    except YAMLError as error:
        raise messages.not_yaml(path, error) from error


@cache
def _parsed(text: str) -> Any:
    """One process reads the same text several times; ruamel.yaml takes a tenth of a second."""
    return YAML(typ="safe").load(text)


def read_section(name: str, kind: type[T], path: Path = PARAMS) -> T:
    """A section of params.yaml, checked; None where it is left out.

    Args:
        name: its key.
        kind: its type, such as `Training` or `dict[str, Run]`.
        path: the file.

    Raises:
        StudyError: it can't be read, or a value is wrong.
    """
    try:
        return TypeAdapter(kind).validate_python(read_values(path).get(name))
    except ValidationError as error:
        raise messages.invalid_study(str(path), messages.complaints(error, name)) from error


def known(section: str, items: dict[str, T], name: str) -> T:
    """The item called `name` of a section of params.yaml.

    Raises:
        StudyError: there is none.
    """
    if name not in items:
        raise messages.not_in_params(section, name, items)
    return items[name]
