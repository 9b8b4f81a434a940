"""README, docs/ and the cards: links lead somewhere, commands name stages, tables are those of the result files."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.helpers.places import ROOT
from training.__main__ import STAGES
from training.report import documents

PAGES = sorted((ROOT / "docs").glob("*.md"))
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *PAGES,
    *sorted((ROOT / "assets").glob("*/README.md")),
]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def anchors(file: Path) -> set[str]:
    """What a link may name inside a page: its headings in lower case, words joined by hyphens."""
    text = _FENCE.sub("", file.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}


@pytest.mark.parametrize("file", DOCUMENTS, ids=short)
def test_every_relative_link_resolves(file: Path) -> None:
    text = _FENCE.sub("", file.read_text(encoding="utf-8"))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (file.parent / path).resolve() if path else file
        assert target.exists(), f"{short(file)} links to {link}"
        assert not anchor or anchor in anchors(target), f"{short(file)} links to {link}, a heading that is not there"


@pytest.mark.parametrize("file", DOCUMENTS, ids=short)
def test_every_file_that_is_named_is_there(file: Path) -> None:
    """In backquotes, from the repository's root: `training/recipes/unet.toml`, `tests/test_architecture.py`."""
    for name in re.findall(r"`((?:strokenext|demo|training|tests|assets|docs|results)/[\w./-]+)`", file.read_text()):
        assert (ROOT / name).exists(), f"{short(file)} names {name}"


@pytest.mark.parametrize("file", DOCUMENTS, ids=short)
def test_every_command_is_one(file: Path) -> None:
    for language, block in _FENCE.findall(file.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines() if language == "bash" else ():
            words = shlex.split(line, comments=True)
            if words[:2] == ["python", "-m"] and words[2] in ("training", "strokenext"):
                known = STAGES if words[2] == "training" else ("predict", "segment", "models", "info")
                assert words[3] in known, f"{short(file)}: {line}"


def test_the_readme_is_short_and_leads_on() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.encode()) <= 9000
    _, command, _ = re.split(r"<!-- /?test-command -->\n", text)
    assert len(_FENCE.findall(command)) == 1, ".ci/run reads exactly one block between the markers"
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert "docs/results.md" in text
    assert [p.name for p in PAGES if p.name != "index.md" and f"({p.name})" not in index] == []


def test_the_documents_have_not_drifted() -> None:
    tables = documents.tables(ROOT)
    for file in documents.documents(ROOT):
        text = file.read_text(encoding="utf-8")
        assert documents.filled(text, tables) == text, f"{short(file)}: run python -m training readme"


def test_the_rows_of_the_readme_are_in_the_records() -> None:
    """The README shows named rows; one that no bundled model has any more would be gone without a word."""
    names = {n for config in documents.bundled_models(ROOT / "assets") for n in config.metrics}
    assert set(documents.MAIN_ROWS) <= names
