"""Sources as params.yaml declares them, fetched into the working folder or refused."""

import hashlib
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field, TypeAdapter

from reformer_seqlen.fetching.fetch import fetch
from reformer_seqlen.parameters.sources import Fetched, Source
from reformer_seqlen.runtime.errors import StudyError

KEY = "corpora.news.files.all"
"""Where the sources stand in params.yaml."""
SOURCES: TypeAdapter[Source] = TypeAdapter(Annotated[Source, Field(discriminator="kind")])


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def declared(**values: Any) -> Source:
    return SOURCES.validate_python({"licence": "made up", **values})


def got(source: Source, mirror: object = None, name: str = "raw") -> Fetched:
    return fetch(source, Path(name), KEY, mirror=None if mirror is None else str(mirror))


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """Within the block, the system writes no larger file, as on a disk that is full then."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def refused(source: Source, mirror: object = None) -> str:
    """What is said, after the key, of a fetch that must fail and leave nothing at its target."""
    with pytest.raises(StudyError) as caught:
        got(source, mirror, name="refused")
    assert [path for path in Path().iterdir() if "refused" in path.name] == []
    key, said = str(caught.value).split(": ", 1)
    assert key == KEY
    assert KEY not in said
    return said
