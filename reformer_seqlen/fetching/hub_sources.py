"""Data sets and checkpoints of the Hugging Face hub, at one commit, through the hub's own clients.

The clients read HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_OFFLINE and the proxy variables, resume what
broke off, and keep what they fetched in the hub's cache, so that offline mode finds it there.
datasets, huggingface_hub and pyarrow are imported where they are used: they take a second, which
sources that need none of them must not cost.
"""

import itertools
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import httpx2
from tqdm import tqdm

from reformer_seqlen.fetching.checkpoint_files import CHECKPOINT_FILES, PICKLED
from reformer_seqlen.fetching.http_download import (
    WORTH_ANOTHER_TRY,
    Patience,
    UnavailableError,
    root_reason,
)
from reformer_seqlen.parameters.sources import HubCheckpoint, HubSource, describe
from reformer_seqlen.runtime.errors import StudyError

if TYPE_CHECKING:
    from datasets import Dataset

Kind = Literal["model", "dataset"]


def write_rows(source: HubSource, target: Path, *, patience: Patience) -> None:
    """Write a split's rows to `target` as UTF-8 text.

    Raises:
        UnavailableError: the hub does not have it or cannot be reached.
        StudyError: the data set is not what the source says of it, or came damaged.
    """
    commit = resolve("dataset", source.dataset, source.revision, patience)
    with _progress_bars():
        rows = _load(source, online=commit is not None)
    if source.column not in rows.column_names:
        raise StudyError(
            f"{source.dataset} has no column `{source.column}`; it has "
            f"{', '.join(rows.column_names)}"
        )
    batches = rows.select_columns([source.column]).iter(batch_size=1000)
    values = itertools.chain.from_iterable(batch[source.column] for batch in batches)
    shown = tqdm(
        values,
        desc=source.file_name,
        total=len(rows),
        unit=" rows",
        disable=None,
    )
    with target.open("w", encoding="utf-8", newline="") as file:
        file.writelines(_row_text(value, number, source) for number, value in enumerate(shown))


def _row_text(value: object, number: int, source: HubSource) -> str:
    if not isinstance(value, str):
        raise StudyError(
            f"{source.dataset}: column `{source.column}` is not text, row {number} has {value!r}"
        )
    text = value or source.empty_row
    return text if text.endswith(source.row_end) else text + source.row_end


def _load(source: HubSource, *, online: bool) -> "Dataset":
    """Load a split at its commit, and nothing else: not a cached one of another commit."""
    import datasets

    try:
        rows = datasets.load_dataset(
            f"hf://datasets/{source.dataset}",  # else a local folder of that name would do
            source.name,
            split=source.split,
            revision=source.revision,
        )
    except (
        OSError,
        ValueError,
        RuntimeError,
        datasets.exceptions.DatasetsError,
        httpx2.HTTPError,
    ) as error:
        if online:
            _refuse_damage("dataset", source.dataset, source.revision)
        if online and isinstance(error, ValueError | RuntimeError):
            raise StudyError(f"{describe(source)}: {_brief(error)}") from error
        raise UnavailableError(_brief(error)) from error
    folder = Path(rows.cache_files[0]["filename"]).parent
    if folder.name != source.revision:
        raise UnavailableError(f"the cache holds only another revision of it, {folder.name}")
    if online:
        try:
            _refuse_damage("dataset", source.dataset, source.revision)
        except StudyError:
            shutil.rmtree(folder)
            raise
    return rows


def snapshot(source: HubCheckpoint, *, patience: Patience) -> tuple[dict[str, Path], str]:
    """Fetch a checkpoint's files into the hub's cache.

    Returns:
        The files there by name, and the commit.

    Raises:
        UnavailableError: the hub does not have it or cannot be reached.
        StudyError: a file came damaged.
    """
    from huggingface_hub import snapshot_download

    commit = resolve("model", source.repository, source.revision, patience)

    def fetch(*names: str) -> Path:
        return Path(
            snapshot_download(
                source.repository,
                revision=commit or source.revision,
                allow_patterns=[*names],
            )
        )

    try:
        with _progress_bars():
            folder = fetch(*CHECKPOINT_FILES)
            if not any(folder.glob("*.safetensors")):
                folder = fetch(*CHECKPOINT_FILES, PICKLED)
    except (OSError, ValueError, httpx2.HTTPError) as error:
        raise UnavailableError(_brief(error)) from error
    if commit is not None:
        _refuse_damage("model", source.repository, commit)
    return {path.name: path for path in folder.iterdir() if path.is_file()}, folder.name


def resolve(kind: Kind, repository: str, revision: str, patience: Patience) -> str | None:
    """Ask the hub for the commit of a revision; None in offline mode, where it must not be asked.

    Asking first, and asking briefly, tells an unreachable hub from a wrong name within seconds:
    the loading functions try for half a minute, and then look for any older copy.

    Raises:
        UnavailableError: there is no such repository or revision, or no way to it.
    """
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError

    if constants.is_offline_mode():
        return None
    for failures in range(1, patience.tries + 1):
        try:
            return (
                HfApi()
                .repo_info(repository, repo_type=kind, revision=revision, timeout=patience.connect)
                .sha
            )
        except HfHubHTTPError as error:
            if error.response.status_code not in WORTH_ANOTHER_TRY:
                raise UnavailableError(_brief(error)) from error
            reason: Exception = error
        except ValueError as error:  # a name that no repository can have, a useless proxy
            raise UnavailableError(_brief(error)) from error
        except httpx2.TransportError as error:
            reason = error
        if failures < patience.tries:
            patience.wait(failures)
    raise UnavailableError(f"{constants.ENDPOINT}: {root_reason(reason)}") from reason


def _refuse_damage(kind: Kind, repository: str, commit: str) -> None:
    """Compare what the cache holds of a commit with the hub's own checksums.

    Raises:
        StudyError: a file differs; it is deleted, so that the next attempt fetches it again.
    """
    from huggingface_hub import HfApi

    try:
        checked = HfApi().verify_repo_checksums(repository, repo_type=kind, revision=commit)
    except ValueError:
        return  # nothing of it has come into the cache
    except (OSError, httpx2.HTTPError) as error:
        raise UnavailableError(_brief(error)) from error
    for wrong in checked.mismatches:
        _delete_through_links(checked.verified_path / wrong["path"])
    if checked.mismatches:
        sums = "\n".join(
            f"  {each['path']}: {each['algorithm']} of the hub {each['expected']}, "
            f"received {each['actual']}"
            for each in checked.mismatches
        )
        raise StudyError(
            f"{repository} came damaged from the hub, nothing of it was kept; try again:\n{sums}"
        )


def _delete_through_links(path: Path) -> None:
    """Delete a file of the hub's cache: the link, and what it leads to."""
    while path.is_symlink():
        link, path = path, path.parent / path.readlink()
        link.unlink()
    path.unlink(missing_ok=True)


def _brief(error: Exception) -> str:
    """What a hub's message says before it goes on to general hints."""
    paragraphs = str(error).strip().split("\n\n")
    return " ".join(paragraph.strip().partition("\n")[0] for paragraph in paragraphs[:2])


@contextmanager
def _progress_bars() -> Iterator[None]:
    """Show the libraries' own bars only where a person sees them."""
    import datasets
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if sys.stderr.isatty() or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
        datasets.enable_progress_bars()
