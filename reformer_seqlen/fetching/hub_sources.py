"""Data sets and checkpoints of the Hugging Face hub, at one commit, through the hub's own clients.

The clients read HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_OFFLINE and the proxy variables, and keep
what they fetched in the hub's cache, so that offline mode finds it there.
datasets, huggingface_hub and pyarrow are imported where they are used: they take a second, which
sources that need none of them must not cost.
"""

import itertools
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import httpx2

from reformer_seqlen.fetching import patience
from reformer_seqlen.fetching.checkpoint_files import CHECKPOINT_FILES, PICKLED
from reformer_seqlen.fetching.patience import UnavailableError, root_reason
from reformer_seqlen.parameters.sources import HubCheckpoint, HubSource, describe
from reformer_seqlen.runtime import progress
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.messages import fetching as messages
from reformer_seqlen.runtime.messages import storage

if TYPE_CHECKING:
    from datasets import Dataset

Kind = Literal["model", "dataset"]


def write_rows(source: HubSource, target: Path) -> None:
    """Write a split's rows to `target` as UTF-8 text.

    Raises:
        UnavailableError: the hub does not have it or cannot be reached.
        StudyError: the data set is not what the source says of it, or came damaged.
    """
    commit = resolve("dataset", source.dataset, source.revision)
    rows = _load(source, online=commit is not None)
    if source.column not in rows.column_names:
        raise messages.no_column(source.dataset, source.column, rows.column_names)
    batches = rows.select_columns([source.column]).iter(batch_size=1000)
    values = itertools.chain.from_iterable(batch[source.column] for batch in batches)
    shown = progress.over(values, source.file_name, " rows", total=len(rows))
    with target.open("w", encoding="utf-8", newline="") as file:
        file.writelines(_row_text(value, number, source) for number, value in enumerate(shown))


def _row_text(value: object, number: int, source: HubSource) -> str:
    if not isinstance(value, str):
        raise messages.not_text(source.dataset, source.column, number, value)
    text = value or source.empty_row
    return text if text.endswith(source.row_end) else text + source.row_end


def _load(source: HubSource, *, online: bool) -> "Dataset":
    """Load a split at its commit, and nothing else: not a cached one of another commit."""
    import datasets
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
        disable_progress_bars()
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
        if storage.is_full(error):
            raise
        if online:
            _refuse_damage("dataset", source.dataset, source.revision)
        if online and isinstance(error, ValueError | RuntimeError):
            raise messages.cannot_fetch(describe(source), _brief(error)) from error
        raise UnavailableError(_brief(error)) from error
    folder = Path(rows.cache_files[0]["filename"]).parent
    if folder.name != source.revision:
        raise UnavailableError(messages.other_revision(folder.name))
    if online:
        try:
            _refuse_damage("dataset", source.dataset, source.revision)
        except StudyError:
            shutil.rmtree(folder)
            raise
    return rows


def snapshot(source: HubCheckpoint) -> tuple[dict[str, Path], str]:
    """Fetch a checkpoint's files into the hub's cache.

    Returns:
        The files there by name, and the commit.

    Raises:
        UnavailableError: the hub does not have it or cannot be reached.
        StudyError: a file came damaged.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    repository = source.repository
    commit = resolve("model", repository, source.revision)
    revision, wanted = commit or source.revision, list(CHECKPOINT_FILES)
    try:
        folder = Path(snapshot_download(repository, revision=revision, allow_patterns=wanted))
        if not any(folder.glob("*.safetensors")):
            wanted.append(PICKLED)
            folder = Path(snapshot_download(repository, revision=revision, allow_patterns=wanted))
    except (OSError, ValueError, httpx2.HTTPError) as error:
        if storage.is_full(error):
            raise
        raise UnavailableError(_brief(error)) from error
    if commit is not None:
        _refuse_damage("model", source.repository, commit)
    return {path.name: path for path in folder.iterdir() if path.is_file()}, folder.name


def resolve(kind: Kind, repository: str, revision: str) -> str | None:
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
    asked, timeout = HfApi().repo_info, patience.CONNECT_S
    for attempt in range(1 + patience.RETRIES):
        time.sleep(attempt)
        try:
            return asked(repository, repo_type=kind, revision=revision, timeout=timeout).sha
        except HfHubHTTPError as error:
            if error.response.status_code not in patience.WORTH_ANOTHER_TRY:
                raise UnavailableError(_brief(error)) from error
            reason: Exception = error
        except (ValueError, ImportError, httpx2.InvalidURL) as error:
            # A name that no repository can have, or a proxy of no use.
            raise UnavailableError(_brief(error)) from error
        except httpx2.TransportError as error:
            reason = error
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
        if storage.is_full(error):
            raise
        raise UnavailableError(_brief(error)) from error
    for wrong in checked.mismatches:
        (checked.verified_path / wrong["path"]).resolve().unlink()
    if checked.mismatches:
        raise messages.damaged(repository, checked.mismatches)


def _brief(error: Exception) -> str:
    """What a hub's message says before it goes on to general hints."""
    paragraphs = str(error).strip().split("\n\n")
    return " ".join(paragraph.strip().partition("\n")[0] for paragraph in paragraphs[:2])
