"""Hugging Face Hub repository to a folder in the local cache: three files of one commit, never half of one.

Downloading, caching, checksums of transfers, resuming and tokens (HF_TOKEN or a stored login) are
huggingface_hub's; here its errors become sentences and everything is pinned to a commit. HF_ENDPOINT, HF_HOME,
HF_HUB_CACHE and HF_HUB_OFFLINE are honoured at the time of the call.
"""

from __future__ import annotations

import errno
import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strokenext.errors import HubUnavailableError, ModelError, ModelNotFoundError, OptionError, StrokeNeXtError

from .config import CARD, CONFIG, MAX_CONFIG_BYTES, PICKLES, WEIGHTS, pickle_refusal

#: Called with (bytes so far, bytes in all).
Progress = Callable[[int, int], None]

#: Largest files that are downloaded, in bytes; the largest StrokeNeXt in float32 has 1.6 GB.
LIMITS = {CONFIG: MAX_CONFIG_BYTES, WEIGHTS: 4_000_000_000, CARD: 5_000_000}

#: Seconds to wait for the Hub's first answer.
TIMEOUT = 10

_COMMIT = re.compile(r"[0-9a-f]{40}")
_PART = re.compile(r"[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HubId:
    """A place on the Hub; `revision` is a branch, tag or commit, None for the default branch."""

    repo: str
    subfolder: str = ""
    revision: str | None = None

    def __str__(self) -> str:
        place = f"{self.repo}/{self.subfolder}" if self.subfolder else self.repo
        return f"{place}@{self.revision}" if self.revision else place

    @property
    def pinned(self) -> bool:
        """Whether the revision is a commit, which can never change."""
        return self.revision is not None and _COMMIT.fullmatch(self.revision) is not None


@dataclass(frozen=True)
class _Connection:
    """The settings of this call, read from the environment now and not when huggingface_hub was imported."""

    endpoint: str | None
    cache: str | None
    offline: bool


def parse(text: str, revision: str | None = None) -> HubId:
    """The place that "owner/repo" or "owner/repo/subfolder" names, with "@revision" or the argument.

    Raises ModelNotFoundError for anything else, OptionError for an impossible revision.
    """
    place, _, written = text.strip().partition("@")
    if written and revision is not None and written != revision:
        raise OptionError(f"Two revisions were given, '{written}' and '{revision}'. Give one.")
    owner, *rest = place.removeprefix("https://huggingface.co/").strip("/").split("/")
    chosen = written or revision
    parts = [owner, *rest]
    if not rest or not all(_PART.fullmatch(p) and ".." not in p for p in parts):
        raise ModelNotFoundError(
            f"'{text}' is not a Hub model. Write 'owner/repository' or 'owner/repository/subfolder'."
        )
    if chosen is not None and (not re.fullmatch(r"[\w./-]{1,100}", chosen, re.ASCII) or ".." in chosen):
        raise OptionError(f"'{chosen}' is not a revision. Give a branch, a tag or a commit.")
    return HubId(f"{owner}/{rest[0]}", "/".join(rest[1:]), chosen)


def fetch(place: HubId, task: str | None = None, progress: Progress | None = None) -> Path:
    """The folder in the cache with the model's files, of one commit, downloaded when it is not there yet.

    Looks at the place itself, then at its subfolder named after the task. Without a network, or with
    HF_HUB_OFFLINE=1, the cached commit of that revision is used. `progress` gets (bytes so far, bytes in all) of
    the weights; without it huggingface_hub shows its own bar. Raises ModelNotFoundError, ModelError and
    HubUnavailableError.
    """
    from huggingface_hub.errors import HfHubHTTPError

    # Its bases are the HTTP library's own error and OSError; hf_xet adds RuntimeError.
    failures: Any = (*HfHubHTTPError.__bases__, RuntimeError)
    _check_name(place)
    connection = _connection()
    cached = _cached(place, task, connection)
    if cached is not None and (place.pinned or connection.offline):
        return cached
    if connection.offline:
        raise HubUnavailableError(f"{place} is not in the cache and HF_HUB_OFFLINE is set. Unset it to download it.")
    try:
        folder = _download(place, task, connection, progress)
    except failures as error:
        reason = _sentence(error, place, connection)
        if cached is None or not isinstance(reason, HubUnavailableError):
            raise reason from error
        _log.warning("The Hub cannot be reached; %s is taken from the cache.", place)
        return cached
    if not place.pinned:
        commit = _commit_of(folder)
        _log.info("%s is commit %s; ask for '%s@%s' to pin it.", place, commit, place.repo, commit)
    return folder


def _check_name(place: HubId) -> None:
    """Raises ModelNotFoundError for a name the Hub has no repositories under, such as one with "--"."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(place.repo)
    except HFValidationError as error:
        raise ModelNotFoundError(f"'{place.repo}' is not a name the Hub allows. Check the spelling.") from error


def _connection() -> _Connection:
    from huggingface_hub import constants

    cache = os.environ.get("HF_HUB_CACHE")
    if cache is None and "HF_HOME" in os.environ:
        cache = str(Path(os.environ["HF_HOME"]) / "hub")
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
    return _Connection(os.environ.get("HF_ENDPOINT") or None, cache, offline or bool(constants.HF_HUB_OFFLINE))


def _folders(place: HubId, task: str | None) -> list[str]:
    """Folders of the repository where the model may lie, as prefixes ending in a slash or empty."""
    own = f"{place.subfolder}/" if place.subfolder else ""
    return [own] if task is None else [own, f"{own}{task}/"]


def _cached(place: HubId, task: str | None, connection: _Connection) -> Path | None:
    """The cached folder with config and weights of the revision's last known commit, None when not complete."""
    from huggingface_hub import try_to_load_from_cache

    for prefix in _folders(place, task):
        found = [
            try_to_load_from_cache(place.repo, prefix + name, connection.cache, place.revision)
            for name in (CONFIG, WEIGHTS)
        ]
        if all(isinstance(path, str) for path in found):
            return Path(str(found[0])).parent
    return None


def _download(place: HubId, task: str | None, connection: _Connection, progress: Progress | None) -> Path:
    """Weights first, config.json last: its arrival moves the branch's pointer, so a pointer never leads to half."""
    prefix, commit = _locate(place, task, connection)
    pinned = HubId(place.repo, place.subfolder, commit)
    _one(pinned, prefix + WEIGHTS, connection, progress)
    if _size_and_commit(pinned, prefix + CARD, connection) is not None:
        _one(pinned, prefix + CARD, connection)
    _one(pinned, prefix + CONFIG, connection)
    return _one(place, prefix + CONFIG, connection).parent


def _locate(place: HubId, task: str | None, connection: _Connection) -> tuple[str, str]:
    """Prefix of the model in the repository, and the commit, after a look at the sizes of its files."""
    for prefix in _folders(place, task):
        config = _size_and_commit(place, prefix + CONFIG, connection)
        if config is not None:
            if _size_and_commit(place, prefix + WEIGHTS, connection) is None:
                raise ModelError(_wrong_files(place, connection))
            return prefix, config[1]
    raise ModelError(_wrong_files(place, connection))


def _size_and_commit(place: HubId, filename: str, connection: _Connection) -> tuple[int | None, str] | None:
    """(bytes, commit) of a file, None when the repository has no such file. Raises ModelError when too large."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, FileMetadataError

    url = hf_hub_url(place.repo, filename, revision=place.revision, endpoint=connection.endpoint)
    try:
        found = get_hf_file_metadata(url, timeout=TIMEOUT, endpoint=connection.endpoint)
    except EntryNotFoundError:
        return None
    limit = LIMITS[filename.rpartition("/")[2]]
    if found.size is not None and found.size > limit:
        raise ModelError(f"The file {filename} of {place} has {found.size} bytes; more than {limit} is refused.")
    if found.commit_hash is None or not _COMMIT.fullmatch(found.commit_hash):
        raise FileMetadataError("the answer names no commit")
    return found.size, found.commit_hash


def _one(place: HubId, filename: str, connection: _Connection, progress: Progress | None = None) -> Path:
    """Download one file into the cache, or find it there."""
    from huggingface_hub import hf_hub_download

    options: dict[str, Any] = {} if progress is None else {"tqdm_class": _bar(progress)}
    path = hf_hub_download(
        place.repo,
        filename,
        revision=place.revision,
        cache_dir=connection.cache,
        endpoint=connection.endpoint,
        etag_timeout=TIMEOUT,
        **options,
    )
    return Path(path)


def _bar(progress: Progress) -> type:
    """A silent progress bar that reports to a function."""
    from tqdm import tqdm

    class Bar(tqdm):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            options.pop("name", None)
            super().__init__(*arguments, **(options | {"disable": False, "mininterval": 0}))

        def update(self, n: float | None = 1) -> bool | None:
            answer = super().update(n)
            progress(int(self.n), int(self.total or self.n))
            return answer

        def display(self, *_: Any, **__: Any) -> None:
            """Nothing is drawn."""

    return Bar


def _commit_of(folder: Path) -> str:
    parts = [p for p in folder.parts if _COMMIT.fullmatch(p)]
    return parts[-1] if parts else ""


def _wrong_files(place: HubId, connection: _Connection) -> str:
    """Why the repository holds no model of ours: it names a pickle, or what is missing."""
    from huggingface_hub import HfApi

    info = HfApi(endpoint=connection.endpoint).model_info(place.repo, revision=place.revision, timeout=TIMEOUT)
    files = [sibling.rfilename for sibling in info.siblings or []]
    here = [f for f in files if f.startswith(f"{place.subfolder}/")] if place.subfolder else files
    pickles = [f for f in here if f.lower().endswith(PICKLES)]
    if pickles and not any(f.endswith(WEIGHTS) for f in here):
        return f"The repository {place} holds no safetensors. {pickle_refusal(pickles[0])}"
    return (
        f"The repository {place} is not a StrokeNeXt model: it needs {CONFIG} and {WEIGHTS}"
        f"{' in that subfolder' if place.subfolder else ''}. Check the name, or add the subfolder."
    )


def _sentence(error: Exception, place: HubId, connection: _Connection) -> StrokeNeXtError:
    """The library's error for one of huggingface_hub's."""
    from huggingface_hub import errors as hf

    site = connection.endpoint or "https://huggingface.co"
    status = error.response.status_code if isinstance(error, hf.HfHubHTTPError) else None
    if isinstance(error, hf.GatedRepoError):
        return ModelNotFoundError(
            f"The Hub model {place.repo} asks its users to apply for access. Apply at {site}/{place.repo}, then set "
            "HF_TOKEN to a token of your account."
        )
    if isinstance(error, hf.RevisionNotFoundError):
        return ModelNotFoundError(
            f"The Hub model {place.repo} has no revision '{place.revision or 'main'}'. Leave it out, or give a branch, "
            "tag or commit it has."
        )
    if isinstance(error, hf.RepositoryNotFoundError):
        return ModelNotFoundError(
            f"The Hub has no model {place.repo} that you may read. Check the spelling; if it is private, set HF_TOKEN "
            "to a token that may read it."
        )
    if status in (401, 403):
        return ModelNotFoundError(
            f"The Hub refused access to {place.repo} (status {status}). Check that HF_TOKEN is valid and may read it."
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EPERM):
        return ModelError(
            f"The model cannot be written to the cache ({error.strerror}: {error.filename}). Free space, or set "
            "HF_HOME to a folder you may write to."
        )
    return HubUnavailableError(
        f"The Hub at {site} cannot be reached ({type(error).__name__}) and {place} is not in the cache. Connect to the "
        "internet and try again, or use a bundled model or a local folder."
    )
