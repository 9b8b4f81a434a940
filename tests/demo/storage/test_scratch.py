"""The folder of a process: private, the process's own, and gone with it, however it ends."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from demo.server import scratch_folder
from demo.storage import scratch
from demo.storage.scratch import LOCK, FolderError, Scratch, sweep
from tests.helpers.places import ROOT

LIVING = """
import sys, time
from pathlib import Path
from demo.storage.scratch import Scratch
folder = Scratch(Path(sys.argv[1])).path
(folder / "inner").mkdir()
(folder / "inner" / "upload").write_bytes(b"pixels of somebody")
print(folder, flush=True)
time.sleep(600)
"""


@contextmanager
def living(parent: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process with a folder below `parent` and a file in it."""
    process = subprocess.Popen([sys.executable, "-c", LIVING, str(parent)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests that use a folder give the system's own back."""
    monkeypatch.setattr(tempfile, "tempdir", tempfile.tempdir)
    for name in scratch.VARIABLES:
        monkeypatch.setenv(name, os.environ.get(name, ""))


def test_it_is_private_named_for_its_process_and_removed_with_all_that_is_in_it(tmp_path: Path) -> None:
    folder = Scratch(tmp_path / "deep" / "uploads")
    assert folder.path.parent == tmp_path / "deep" / "uploads"
    assert f"-{os.getpid()}-" in folder.path.name
    assert folder.path.stat().st_mode & 0o777 == 0o700
    (folder.path / "inner").mkdir()
    (folder.path / "inner" / "x").touch()
    folder.remove()
    assert list((tmp_path / "deep" / "uploads").iterdir()) == []


def test_what_a_killed_process_left_goes_at_the_next_start_and_never_before(tmp_path: Path) -> None:
    with living(tmp_path) as (process, left):
        second = Scratch(tmp_path)
        assert (left / "inner" / "upload").exists()
        process.kill()
        process.wait()
        assert (left / "inner" / "upload").exists()
        third = Scratch(tmp_path)
        assert not left.exists()
        assert second.path.exists()
        second.remove()
        third.remove()


def test_both_places_are_swept_wherever_the_folder_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    left = []
    for parent in (tmp_path / "tmp", tmp_path / "data" / "uploads"):
        parent.mkdir(parents=True)
        with living(parent) as (_, folder):
            left.append(folder)
    assert all((folder / "inner" / "upload").exists() for folder in left)
    own = scratch_folder(tmp_path / "data")
    assert own.path.parent == tmp_path / "data" / "uploads"
    assert not any(folder.exists() for folder in left)
    own.remove()


def test_it_is_swept_while_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = Scratch(tmp_path)
    with living(tmp_path) as (_, left):
        pass
    own.look_after()
    assert left.exists()  # it is not yet time
    monkeypatch.setattr(scratch, "SWEEP_SECONDS", 0.0)
    own.look_after()
    assert not left.exists()
    assert own.path.exists()
    own.remove()


def test_nothing_else_is_swept(tmp_path: Path) -> None:
    """A link to a folder, one inside a folder that goes, other people's names, a folder of another user."""
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / LOCK).touch()
    (kept / "mine").touch()
    place = tmp_path / "place"
    place.mkdir()
    (place / "strokenext-1-aaaaaaaa").symlink_to(kept)
    for name in ("strokenext-results", "strokenext-abcdefgh", "other-1-aaaaaaaa", "strokenext-1-aaaaaaaa-2"):
        (place / name).mkdir()
        (place / name / LOCK).touch()
    (place / "strokenext-2-aaaaaaaa").touch()
    foreign = place / "strokenext-3-aaaaaaaa"
    foreign.mkdir()
    (foreign / LOCK).touch()
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        os.chown(foreign, 12345, 12345)
    else:
        (foreign / LOCK).unlink()
        foreign.rmdir()
    before = set(place.iterdir())
    dead = place / "strokenext-4-aaaaaaaa"
    dead.mkdir()
    (dead / LOCK).touch()
    (dead / "link").symlink_to(kept)
    sweep(place)
    assert set(place.iterdir()) == before
    assert (kept / "mine").exists()


def test_a_folder_whose_lock_is_not_there_yet_stays(tmp_path: Path) -> None:
    """Its process is just making it; an old one goes, but not with files in it that nobody locked."""
    young, old, full = (tmp_path / f"strokenext-{n}-aaaaaaaa" for n in range(3))
    for folder in (young, old, full):
        folder.mkdir()
    (full / "x").touch()
    for folder in (old, full):
        os.utime(folder, (time.time() - 7200,) * 2)
    sweep(tmp_path)
    assert set(tmp_path.iterdir()) == {young, full}


def test_a_folder_that_a_cleaner_took_is_made_again(tmp_path: Path) -> None:
    own = Scratch(tmp_path)
    own.use()
    first = own.path
    for entry in first.iterdir():
        entry.unlink()
    first.rmdir()
    own.look_after()
    assert own.path.exists()
    assert own.path != first
    assert tempfile.gettempdir() == str(own.path) == os.environ["TMPDIR"]
    with tempfile.NamedTemporaryFile() as file:
        assert Path(file.name).parent == own.path
    own.remove()


@pytest.mark.parametrize("wrong", ["file", "~nobody-of-this-name", "loop"])
def test_a_place_where_none_can_be_made_is_a_sentence(tmp_path: Path, wrong: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(FolderError, match=r"--data-dir\.$") as caught:
        scratch_folder(Path(wrong) if wrong.startswith("~") else tmp_path / wrong)
    assert caught.value.exit_code == 8


@pytest.mark.parametrize("place", ["/proc/strokenext", "/dev/null"])
def test_the_start_ends_with_the_sentence_and_its_exit_code(place: str) -> None:
    if not Path("/proc/self").exists():
        pytest.skip("no file system that nobody can write to")
    ended = subprocess.run(
        [sys.executable, "app.py", "--port", "0", "--data-dir", place],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 8
    assert ended.stderr.startswith("No folder for uploads can be made")
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""
