"""Of files, disks and memory: what could not be written, and what is no longer what it was."""

import errno
from collections.abc import Sequence
from pathlib import Path

from reformer_seqlen.runtime.errors import StudyError

GO_ON = "then run the same command again: what is finished is kept"
FREE_SPACE = f"free some space on its disk, {GO_ON}"
WRITABLE = f"make its folder writable for this user, {GO_ON}"
ALLOWED = f"let this user read it and write into its folder, {GO_ON}"
MEND = {
    errno.ENOSPC: FREE_SPACE,
    errno.EDQUOT: FREE_SPACE,
    errno.EFBIG: f"raise the limit on the size of files (`ulimit -f`), {GO_ON}",
    errno.EROFS: WRITABLE,
    errno.EACCES: ALLOWED,
    errno.EPERM: ALLOWED,
    errno.EIO: f"look after its disk, {GO_ON}",
    errno.ENOMEM: f"give it more memory, {GO_ON}",
}
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What a disk, a quota or a limit says that holds no more."""


def is_full(error: BaseException) -> bool:
    """Whether an error says that there is no room for a file."""
    return isinstance(error, OSError) and error.errno in NO_ROOM


def refused(path: str | None, error: OSError) -> str:
    """The operating system refused a file, or anything else."""
    where = f"{path}: " if path else ""
    reason = error.strerror or str(error)
    mend = MEND.get(error.errno or 0)
    return f"{where}{reason}; {mend}" if mend else f"{where}{reason}"


def no_memory(reason: str) -> str:
    """Memory ran out."""
    return (
        f"the memory that this process may use ran out ({reason}); give it more, or choose a "
        f"smaller `batch_size` or `sequence_length`, {GO_ON}"
    )


def damaged(path: Path, found: str, folder: Path, cached: Path | None) -> StudyError:
    """A stored file is not what was stored; `cached` is DVC's copy of it, if that is damaged."""
    also = f" and {cached}, DVC's copy, which is damaged too," if cached else ""
    return StudyError(
        f"{path} is damaged: {found}; nothing was computed from it. Remove {folder}{also} and run "
        "`make repro`, which makes it again"
    )


OTHER_BYTES = "its bytes are not those that were stored"
MISSING = "it is missing"
NO_SUMS = "it is no whole list of checksums"


def held(what: str, holder: str) -> str:
    """Another process runs the same stage."""
    return f"{what}: {holder} runs it already; waiting until that has ended"


UNKNOWN_ATTEMPT = "it does not say what it was made of"
OTHER_FORMAT = "it is of another format"
PARTS = {
    "format": "the format of work folders",
    "parameters": "params.yaml",
    "data": "what it reads",
    "code": "code that decides numbers",
    "libraries": "a library",
}
LONGEST_VALUES = 60
SHOWN = 3
"""Of the values that differ."""


def changed(part: str, keys: Sequence[str]) -> str:
    """What is not as it was, of a part of a fingerprint."""
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return f"{PARTS.get(part, part)} has changed ({', '.join(keys[:SHOWN])}{more})"


def was(key: str, before: object, now: object) -> str:
    """A value that is not as it was; both, where they are short."""
    values = f"{before} -> {now}"
    return f"{key}: {values}" if len(values) < LONGEST_VALUES else key


def set_aside(what: str, why: str, place: Path) -> str:
    """What an attempt on other inputs left."""
    return (
        f"{what}: an interrupted attempt is not gone on from, since {why}; it was set aside in "
        f"{place}, which you may delete"
    )


def damaged_checkpoint(checkpoint: Path, error: Exception) -> str:
    """A checkpoint that is not gone on from."""
    return f"{checkpoint} is damaged ({error}): going on from the one before it, if there is one"


def parts_are_there(count: int) -> str:
    """Work goes on from what an earlier attempt has finished."""
    return f"going on after {count} finished parts"


def damaged_shard(path: Path, error: Exception) -> str:
    """A shard whose parts are made again."""
    return f"{path} is damaged ({error or type(error).__name__}): its parts are made again"


def removed(path: Path) -> str:
    """A file of a process that was killed while it wrote it."""
    return f"{path} was cut off while it was written, and is removed; nothing needs it any more"


def unblocked(path: Path) -> str:
    """Locks of processes that are gone."""
    return f"{path} names processes that run no longer, and is removed"


def lock_set_aside(path: Path, place: Path) -> str:
    """DVC's record of what was computed from what."""
    return (
        f"{path} was cut off while it was written, and is set aside in {place}; DVC takes what is "
        "finished from its cache (or `git checkout HEAD dvc.lock` brings back the committed one)"
    )


KILLED = (
    "the stage was killed from outside, as the system does when memory runs out: give it more, or "
    f"choose a smaller `batch_size`, {GO_ON}"
)
