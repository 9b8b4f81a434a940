"""A bundled name, a local folder or a Hub id to the folder that holds the model's three files.

Order: a bundled name first, then an existing path, then the Hub ("owner/repo", "owner/repo/subfolder", each with
"@revision"). A folder may hold one model, or one per task in subfolders named after the task.
"""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path

from strokenext.errors import ModelError, ModelMismatchError, ModelNotFoundError, OptionError
from strokenext.types import Progress

from . import hub
from .config import CONFIG, PICKLES, WEIGHTS, ModelConfig, load_config, pickle_refusal, refused_pickle

#: The bundled model that answers a task when none is named.
DEFAULT_MODELS = {"presence": "strokenext-atto-presence", "subtype": "strokenext-atto-subtype"}


def assets_folder() -> Path:
    """Where the bundled checkpoints lie: $STROKENEXT_ASSETS, or `assets/` next to the package."""
    chosen = os.environ.get("STROKENEXT_ASSETS")
    return Path(chosen).expanduser() if chosen else Path(__file__).resolve().parents[2] / "assets"


def bundled() -> list[ModelConfig]:
    """The records of the bundled checkpoints, by name. Raises ModelError when one cannot be read."""
    return [load_config(assets_folder() / name) for name in _bundled_names()]


def revision_of(folder: str | Path) -> str | None:
    """The commit of a folder in the Hub's cache (".../snapshots/<40 digits>/..."), None for any other folder."""
    commit = re.search(r"[/\\]snapshots[/\\]([0-9a-f]{40})(?:[/\\]|$)", str(folder))
    return commit.group(1) if commit else None


def resolve(
    model: str | Path | None = None,
    task: str | None = None,
    revision: str | None = None,
    progress: Progress | None = None,
    default: str | None = None,
) -> tuple[Path, ModelConfig]:
    """The folder of a model that answers `task`, and its record; `weights.load_network` verifies its numbers.

    `model` None takes the bundled default of the task. Without a `task` any will do, and where there are several that
    of the task `default` is taken. `revision` (branch, tag or commit) is for Hub models; the
    commit that was taken is in the folder's path, see `revision_of`. Raises ModelNotFoundError, ModelMismatchError
    (another task), ModelError (not a model, or a pickle), HubUnavailableError and OptionError.
    """
    sought = task or default
    folder = _folder(_default(sought) if model is None else model, sought, revision, progress)
    config = load_config(folder)
    if task is not None and config.task != task:
        raise ModelMismatchError(
            f"The model '{config.name}' answers the task '{config.task}', not '{task}'. "
            f"Choose another model, or ask for task='{config.task}'."
        )
    if not (folder / WEIGHTS).is_file():
        raise ModelError(refused_pickle(folder) or f"The folder {folder} has no {WEIGHTS}.")
    return folder, config


def _default(task: str | None) -> str:
    if task not in DEFAULT_MODELS:
        raise OptionError(
            f"There is no default model for the task '{task}'. Name a model, or choose a task: "
            f"{', '.join(DEFAULT_MODELS)}."
        )
    return DEFAULT_MODELS[task]


def _folder(model: str | Path, task: str | None, revision: str | None, progress: Progress | None) -> Path:
    name = str(model).strip()
    local = _bundled_folder(name, task) if isinstance(model, str) else None
    if local is None and _path_exists(name):
        local = _local_folder(Path(name).expanduser(), task)
    if local is not None:
        if revision is not None:
            raise OptionError(f"'{name}' is on this computer and has no revisions; leave the revision out.")
        return local
    if name.lower().endswith(PICKLES):
        raise ModelError(pickle_refusal(Path(name).name))
    if isinstance(model, Path) or name.startswith((".", "~", "/", "\\")) or "/" not in name:
        raise ModelNotFoundError(_not_found(name))
    return hub.fetch(hub.parse(name, revision), task, progress)


def _path_exists(name: str) -> bool:
    try:
        return Path(name).expanduser().exists()
    except (OSError, ValueError, RuntimeError):  # a name too long, with a zero byte, or of an unknown user's home
        return False


def _bundled_names() -> list[str]:
    return sorted(p.parent.name for p in assets_folder().glob(f"[!.]*/{CONFIG}"))


def _bundled_folder(name: str, task: str | None) -> Path | None:
    """The bundled folder of that name, or of that name with the task added; None when there is none."""
    plain = name.lower().replace("_", "-")
    for candidate in (name, plain, f"{plain}-{task}"):
        if candidate in _bundled_names():
            return assets_folder() / candidate
    return None


def _local_folder(path: Path, task: str | None) -> Path:
    """The model folder at a path: itself, its subfolder of the task, or the folder of one of the model's files."""
    if path.is_file():
        if path.name not in (CONFIG, WEIGHTS):
            raise ModelError(
                refused_pickle(path) or f"{path} is not a model; give the folder that holds {CONFIG} and {WEIGHTS}."
            )
        path = path.parent
    if task is not None and not (path / CONFIG).is_file() and (path / task / CONFIG).is_file():
        return path / task
    return path


def _not_found(name: str) -> str:
    names = _bundled_names()
    close = difflib.get_close_matches(name, names, n=2, cutoff=0.5)
    if close:
        return f"No model or folder is called '{name}'. Did you mean {' or '.join(close)}?"
    listing = f"Bundled models: {', '.join(names)}." if names else f"No model is bundled in {assets_folder()}."
    return f"No model or folder is called '{name}'. {listing} A Hub model is written 'owner/repository'."
