"""`python -m training publish`: a checkpoint or the Space to the Hub; with --dry-run the exact tree to a folder.

What is uploaded is first laid out in a folder, so that a dry run and an upload hold the same files. A checkpoint is
loaded and verified before anything leaves this machine. The token is the one huggingface_hub finds (HF_TOKEN or
`hf auth login`); this program never asks for one or shows it.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from strokenext.errors import DataError, HubUnavailableError
from training.data.reading import files_below

ROOT = Path(__file__).resolve().parent.parent
#: What a Space needs of the repository: the page, the library, bundled models and examples, and what README links to.
SPACE_PATHS = (
    "app.py",
    "requirements.txt",
    "README.md",
    "LICENSE",
    "strokenext",
    "demo",
    "assets",
    "docs",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "CITATION.cff",
)
#: Keys that the README's front matter must have for a Gradio Space.
SPACE_KEYS = ("title", "sdk", "sdk_version", "app_file", "python_version")


def lay_out_model(checkpoint: str | Path, folder: Path) -> list[Path]:
    """Copy the three files of a verified checkpoint. Raises ModelError when it does not answer as recorded."""
    from strokenext.record.config import CARD, CONFIG, WEIGHTS
    from strokenext.record.find import resolve
    from strokenext.record.weights import load_network

    source, config = resolve(checkpoint)
    load_network(source, config)
    card = source / CARD
    if not card.is_file() or not card.read_text(encoding="utf-8").startswith("---"):
        raise DataError(f"{source} has no model card with front matter ({CARD}); the Hub needs one.")
    return _copy([(source / name, Path(name)) for name in (CONFIG, WEIGHTS, CARD)], folder)


def lay_out_space(folder: Path, root: Path = ROOT) -> list[Path]:
    """Copy what a Space runs from. Raises DataError when a file or a key of the front matter is missing."""
    from huggingface_hub import metadata_load

    missing = [name for name in SPACE_PATHS if not (root / name).exists()]
    if missing:
        raise DataError(f"The Space needs {', '.join(missing)}, which the repository at {root} does not have.")
    try:
        keys = metadata_load(root / "README.md") or {}
    except (yaml.YAMLError, ValueError) as problem:
        raise DataError(f"The front matter of README.md cannot be read: {problem}") from problem
    absent = [key for key in SPACE_KEYS if key not in keys]
    if absent or keys.get("sdk") != "gradio":
        raise DataError(
            f"README.md is no front page of a Gradio Space: its front matter lacks {', '.join(absent) or 'sdk'}."
        )
    if not (root / keys["app_file"]).is_file():
        raise DataError(f"README.md names the app_file {keys['app_file']}, which is not there.")
    files = (f for p in map(root.joinpath, SPACE_PATHS) for f in ([p] if p.is_file() else files_below(p)))
    return _copy([(f, f.relative_to(root)) for f in files if f.parent.name != "__pycache__"], folder)


def _copy(files: Sequence[tuple[Path, Path]], folder: Path) -> list[Path]:
    if folder.exists() and any(folder.iterdir()):
        raise DataError(f"{folder} is not empty. Give a new folder.")
    for source, name in files:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return [name for _, name in files]


def upload(folder: Path, repo: str, kind: str, message: str, private: bool = False) -> str:
    """Create the repository when it is not there, upload the folder as one commit, and return the commit's hash.

    `kind` is "model" or "space". Files that the repository has and the folder has not stay there. Raises DataError
    when the Hub finds the card's front matter wrong, HubUnavailableError when it cannot be reached or refuses.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError

    failures: Any = (*HfHubHTTPError.__bases__, OSError)  # the HTTP library's own error is a base
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None)
    files = sorted(f for f in folder.rglob("*") if f.is_file())
    operations = [CommitOperationAdd(f.relative_to(folder).as_posix(), f) for f in files]
    sdk = "gradio" if kind == "space" else None
    try:
        api.create_repo(repo, repo_type=kind, private=private, exist_ok=True, space_sdk=sdk)
        commit = api.create_commit(repo, operations, commit_message=message, repo_type=kind)
    except failures as problem:
        raise HubUnavailableError(
            f"The upload to {repo} failed ({type(problem).__name__}). Check the connection, the repository's "
            "name, and that HF_TOKEN may write to it."
        ) from problem
    except ValueError as problem:
        raise DataError(f"The Hub does not accept the front matter of README.md: {problem}") from problem
    return str(commit.oid)


def main(argv: Sequence[str]) -> int:
    """Run the command. Returns 0."""
    p = argparse.ArgumentParser(prog="python -m training publish", description=__doc__.splitlines()[0])
    p.add_argument("what", choices=("model", "space"))
    p.add_argument("--model", help="checkpoint folder or bundled name, for `publish model`")
    p.add_argument("--repo", help="owner/name on the Hub")
    p.add_argument("--private", action="store_true")
    p.add_argument("--message", default="Upload from StrokeNeXt", help="commit message")
    p.add_argument("--dry-run", type=Path, metavar="FOLDER", help="write the exact tree there and upload nothing")
    o = p.parse_args(argv)
    if o.what == "model" and not o.model:
        raise DataError("Name the checkpoint: --model FOLDER.")
    if o.dry_run:
        for name in _lay_out(o, o.dry_run):
            print(f"{(o.dry_run / name).stat().st_size:>12,}  {name.as_posix()}")
        return 0
    if not o.repo or not re.fullmatch(r"[\w.-]+/[\w.-]+", o.repo):
        raise DataError("Name the repository: --repo OWNER/NAME, or write the tree with --dry-run FOLDER.")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "tree"
        _lay_out(o, folder)
        commit = upload(folder, o.repo, o.what, o.message, o.private)
    print(f"{o.repo}@{commit}")
    if o.what == "model":
        print(f'strokenext.load("{o.repo}", revision="{commit}")')
    return 0


def _lay_out(o: argparse.Namespace, folder: Path) -> list[Path]:
    return lay_out_model(o.model, folder) if o.what == "model" else lay_out_space(folder)
