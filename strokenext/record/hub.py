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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strokenext.errors import HubUnavailableError, ModelError, ModelNotFoundError, OptionError, StrokeNeXtError
from strokenext.types import Progress

from .config import CARD, CONFIG, MAX_CONFIG_BYTES, PICKLES, WEIGHTS, pickle_refusal

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

    def folders(self, task: str | None) -> list[str]:
        """Where in the repository the model may lie, as prefixes ending in a slash or empty."""
        own = f"{self.subfolder}/" if self.subfolder else ""
        return [own] if task is None else [own, f"{own}{task}/"]


def parse(text: str, revision: str | None = None) -> HubId:
    """The place that "owner/repo" or "owner/repo/subfolder" names, with "@revision" or the argument.

    Raises ModelNotFoundError for anything else, OptionError for an impossible revision.
    """
    place, _, written = text.strip().partition("@")
    if written and revision is not None and written != revision:
        raise OptionError(f"Two revisions were given, '{written}' and '{revision}'. Give one.")
    parts = place.removeprefix("https://huggingface.co/").strip("/").split("/")
    chosen = written or revision
    if len(parts) < 2 or not all(_PART.fullmatch(p) and ".." not in p for p in parts):
        raise ModelNotFoundError(
            f"'{text}' is not a Hub model. Write 'owner/repository' or 'owner/repository/subfolder'."
        )
    if chosen is not None and (not re.fullmatch(r"[\w./-]{1,100}", chosen, re.ASCII) or ".." in chosen):
        raise OptionError(f"'{chosen}' is not a revision. Give a branch, a tag or a commit.")
    return HubId("/".join(parts[:2]), "/".join(parts[2:]), chosen)


def fetch(place: HubId, task: str | None = None, progress: Progress | None = None) -> Path:
    """The folder in the cache with the model's files, of one commit, downloaded when it is not there yet.

    Looks at the place itself, then at its subfolder named after the task. Without a network, or with
    HF_HUB_OFFLINE=1, the cached commit of that revision is used. `progress` gets (bytes so far, bytes in all) of
    the weights; without it huggingface_hub shows its own bar. Raises ModelNotFoundError, ModelError and
    HubUnavailableError.
    """
    from huggingface_hub import constants
    from huggingface_hub import errors as hf

    cache = os.environ.get("HF_HUB_CACHE")
    if cache is None and "HF_HOME" in os.environ:
        cache = str(Path(os.environ["HF_HOME"]) / "hub")
    offline = constants.HF_HUB_OFFLINE or os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
    # The bases of HfHubHTTPError are the HTTP library's own error and OSError; hf_xet adds RuntimeError.
    failures: Any = (*hf.HfHubHTTPError.__bases__, RuntimeError)
    cached = None
    try:
        cached = _cached(place, task, cache)
        if cached is not None and (place.pinned or offline):
            return cached
        if offline:
            sentence = f"{place} is not in the cache and HF_HUB_OFFLINE is set. Unset it to download it."
            raise HubUnavailableError(sentence)
        return _download(place, task, cache, progress)
    except hf.HFValidationError as error:
        raise ModelNotFoundError(f"'{place.repo}' is not a name the Hub allows. Check the spelling.") from error
    except failures as error:
        reason = _sentence(error, place)
        if cached is None or not isinstance(reason, HubUnavailableError):
            raise reason from error
        _log.warning("The Hub cannot be reached; %s is taken from the cache.", place)
        return cached


def _cached(place: HubId, task: str | None, cache: str | None) -> Path | None:
    """The cached folder with config and weights of the revision's last known commit, None when not complete."""
    from huggingface_hub import try_to_load_from_cache

    for prefix in place.folders(task):
        paths = [try_to_load_from_cache(place.repo, prefix + name, cache, place.revision) for name in (CONFIG, WEIGHTS)]
        if all(isinstance(path, str) for path in paths):
            return Path(str(paths[0])).parent
    return None


def _download(place: HubId, task: str | None, cache: str | None, progress: Progress | None) -> Path:
    """One commit's weights first, config.json last, and only then the branch: its pointer never leads to half."""
    from huggingface_hub import HfApi, hf_hub_download

    options: dict[str, Any] = {"cache_dir": cache, "endpoint": _endpoint(), "etag_timeout": TIMEOUT}
    api = HfApi(endpoint=_endpoint())
    info = api.model_info(place.repo, revision=place.revision, timeout=TIMEOUT, files_metadata=True)
    sizes = {file.rfilename: file.size for file in info.siblings or []}
    prefix = next((p for p in place.folders(task) if {p + CONFIG, p + WEIGHTS} <= sizes.keys()), None)
    if prefix is None:
        raise ModelError(_wrong_files(place, list(sizes)))
    names = [prefix + name for name in (WEIGHTS, CARD, CONFIG) if prefix + name in sizes]
    for name in names:
        size, limit = sizes[name] or 0, LIMITS[name.removeprefix(prefix)]
        if size > limit:
            raise ModelError(f"The file {name} of {place} has {size} bytes; more than {limit} is refused.")
    for name in names:
        bar: dict[str, Any] = {"tqdm_class": _bar(progress)} if progress and name.endswith(WEIGHTS) else {}
        path = hf_hub_download(place.repo, name, revision=info.sha, **bar, **options)
    if not place.pinned:  # the branch's pointer
        hf_hub_download(place.repo, prefix + CONFIG, revision=place.revision, **options)
        _log.info("%s is commit %s; ask for '%s@%s' to pin it.", place, info.sha, place.repo, info.sha)
    return Path(path).parent


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


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


def _wrong_files(place: HubId, files: list[str]) -> str:
    """Why the repository holds no model of ours: it names a pickle, or what is missing."""
    here = [f for f in files if f.startswith(f"{place.subfolder}/")] if place.subfolder else files
    pickles = [f for f in here if f.lower().endswith(PICKLES)]
    if pickles and not any(f.endswith(WEIGHTS) for f in here):
        return f"The repository {place} holds no safetensors. {pickle_refusal(pickles[0])}"
    return (
        f"The repository {place} is not a StrokeNeXt model: it needs {CONFIG} and {WEIGHTS}"
        f"{' in that subfolder' if place.subfolder else ''}. Check the name, or add the subfolder."
    )


def _sentence(error: Exception, place: HubId) -> StrokeNeXtError:
    """The library's error for one of huggingface_hub's."""
    from huggingface_hub import errors as hf

    site = _endpoint() or "https://huggingface.co"
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
