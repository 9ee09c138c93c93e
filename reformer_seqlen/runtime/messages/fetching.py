"""Of sources: what they lack, what they have instead of what is declared, what to do about it."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.files import sha256_of

SHOWN_MEMBERS = 8

ROWS_UNCHECKED = "not used, as no `sha256` is declared to check it with"
FILES_UNCHECKED = "not used, as no `files` are declared to check it with"


def no_sha256(key: str, path: str) -> str:
    """A path of this machine whose changes nobody sees: DVC sees params.yaml, not the file."""
    file, found = Path(path).expanduser(), ""
    with suppress(OSError):  # who fetches it says what is wrong
        found = f", it is {sha256_of(file)} now" if file.is_file() else ""
    return f"{key}: no sha256 is declared{found}; without it no later change of `{path}` is seen"


def cannot_fetch(what: str, reason: object) -> StudyError:
    """It is declared wrongly, or the system refuses to read or write."""
    return StudyError(f"cannot fetch {what}: {reason}")


def unavailable(
    what: str, reasons: Iterable[str], name: str, *, addresses: bool, hub: bool, offline: bool
) -> StudyError:
    """No place gives it.

    Args:
        what: what was to be fetched.
        reasons: a line for each place that was tried.
        name: the file or folder that a mirror would have to hold.
        addresses: whether a mirror may be a base URL.
        hub: whether the origin is the hub.
        offline: whether HF_HUB_OFFLINE is set.
    """
    place = "a folder or base URL" if addresses else "a folder of this machine"
    hints = ["check the network, and HTTPS_PROXY and NO_PROXY if there is a proxy"]
    if hub:
        hints += [
            "set HF_TOKEN if the hub asks who you are, HF_ENDPOINT if you have a hub of your own",
            "unset HF_HUB_OFFLINE, which forbids to ask the hub"
            if offline
            else "set HF_HUB_OFFLINE=1 if the hub's cache on this machine (HF_HOME) has it",
        ]
    hints += [
        f"name a mirror that holds {name}: {place}, as `sources.mirror` in params.yaml or as "
        "REFORMER_SEQLEN_MIRROR",
        "declare a copy on this machine with `kind: path`",
    ]
    shown = [f"  {reason}" for reason in reasons] + ["what may help:"] + [f"  - {h}" for h in hints]
    return StudyError("\n".join([f"cannot fetch {what}:", *shown]))


def answered(status: int, reason: str) -> str:
    """A server refuses."""
    return f"answered {status} {reason}"


def has_no(what: str) -> str:
    """A mirror lacks a file or folder."""
    return f"has no {what}"


def other_revision(revision: str) -> str:
    """What the hub's cache has offline."""
    return f"the cache holds only another revision of it, {revision}"


def no_such_mirror(mirror: str) -> StudyError:
    """A mirror that is neither a folder nor an address."""
    return StudyError(f"the mirror `{mirror}` is neither a folder nor an http(s) URL")


def other_sum(what: str, declared: str, found: str) -> StudyError:
    """A checksum is not the declared one."""
    return StudyError(
        f"{what} has another checksum than declared, nothing of it was kept:\n"
        f"  declared sha256 {declared}\n  found    sha256 {found}"
    )


def other_size(what: str, size: int, declared: int) -> StudyError:
    """A size in bytes is not the declared one."""
    return StudyError(
        f"{what} has {size} bytes, but {declared} are declared; nothing of it was kept"
    )


def no_package(package: str, file: str) -> StudyError:
    """The package that ships a text is missing."""
    return StudyError(
        f"the package `{package}`, which ships {file}, is not installed: run `make install`"
    )


def no_file_of_package(package: str, file: str) -> StudyError:
    """The package is there and lacks the file."""
    return StudyError(
        f"the package {package} has no file `{file}`; run `make install` for the pinned version"
    )


def no_path(path: str, *, exists: bool) -> StudyError:
    """A path that is not there, or is a device or pipe."""
    if exists:
        return StudyError(f"`{path}` is a device or a pipe, not a file: copy it to a file first")
    return StudyError(f"there is no file or folder `{path}` (in {Path.cwd()})")


def is_a_folder(path: str) -> StudyError:
    """A folder where a text is wanted."""
    return StudyError(f"`{path}` is a folder, and a text is one file: name a file of it")


def cannot_unpack(name: str, error: Exception) -> StudyError:
    """A file is damaged, encrypted, or packed in a way that Python can't undo."""
    return StudyError(f"{name} cannot be unpacked: {error}")


def no_zip(name: str, member: str) -> StudyError:
    """A member of what is no .zip, or of one that was cut off, which lacks its list of members."""
    return StudyError(
        f"{name} cannot be unpacked: `member: {member}` is taken from a .zip, and this is none, or "
        "one that was cut off; unpack another archive and declare the raw file with `kind: path`"
    )


def unsupported(name: str, ending: str) -> StudyError:
    """An archive whose member nobody named, or a packing that is not undone here."""
    return StudyError(
        f"{name} is packed as .{ending}: name the `member` of a .zip that is wanted; unpack "
        "anything else and declare the raw file with `kind: path`; or say `compression: none` if "
        "it is the text itself"
    )


def no_member(name: str, member: str, names: Sequence[str]) -> StudyError:
    """An archive lacks a file."""
    shown = ", ".join(names[:SHOWN_MEMBERS]) + (", …" if len(names) > SHOWN_MEMBERS else "")
    return StudyError(f"{name} has no member `{member}`; it has {shown or 'none'}")


def member_outside(name: str, member: str) -> StudyError:
    """A member's name that would lead out of the folder that an archive is unpacked in."""
    return StudyError(
        f"{name}: the member `{member}` is refused, its name leads out of the archive; "
        "choose one that does not begin with / and has no .. in it"
    )


def member_is_no_file(name: str, member: str) -> StudyError:
    """A member of an archive that points to another place."""
    return StudyError(
        f"{name}: the member `{member}` is a link and holds no text: name the member that it leads "
        "to, or unpack the archive and declare the raw file with `kind: path`"
    )


def unpacks_to_more(name: str, declared: int) -> StudyError:
    """What comes out of a file is larger than declared, by how much is not looked for."""
    return StudyError(
        f"what is unpacked of {name} has more than the {declared} bytes that are declared as "
        "`unpacked_size`; nothing of it was kept"
    )


def no_column(dataset: str, column: str, columns: Iterable[str]) -> StudyError:
    """A data set lacks the column."""
    return StudyError(f"{dataset} has no column `{column}`; it has {', '.join(columns)}")


def not_text(dataset: str, column: str, row: int, value: object) -> StudyError:
    """A column holds something else than text."""
    return StudyError(f"{dataset}: column `{column}` is not text, row {row} has {value!r}")


def damaged(repository: str, mismatches: Iterable[Mapping[str, object]]) -> StudyError:
    """Files of the hub differ from the hub's own checksums."""
    sums = (
        f"  {each['path']}: {each['algorithm']} of the hub {each['expected']}, "
        f"received {each['actual']}"
        for each in mismatches
    )
    return StudyError(
        "\n".join(
            [f"{repository} came damaged from the hub, nothing of it was kept; try again:", *sums]
        )
    )


def lacks_declared_file(what: str, name: str) -> StudyError:
    """A checkpoint without a file that `files` names."""
    return StudyError(f"{what} has no {name}, which `files` declares")


def no_checkpoint(what: str, config: str) -> StudyError:
    """A folder without a configuration."""
    return StudyError(f"{what} is not a checkpoint: it has no {config}")


def no_weights(what: str, pickled: str) -> StudyError:
    """A checkpoint without weights."""
    return StudyError(f"{what} has no weights: neither *.safetensors nor {pickled}")


def unsafe_weights(what: str, pickled: str, error: Exception) -> StudyError:
    """A pickle that could run code when it is opened, or that is none."""
    reason = str(error).strip().partition("\n")[0]
    return StudyError(
        f"{pickled} of {what} is refused, it holds more than tensors or is damaged: {reason}"
    )


def no_wheel(wanted: str, printed: str) -> StudyError:
    """Pip gets no wheel; its last words say why."""
    words = [line for line in printed.splitlines() if line.startswith("ERROR:")]
    reason = words[-1].removeprefix("ERROR: ") if words else "pip ended without one"
    return StudyError(f"pip can't fetch the wheel {wanted}: {reason}")
