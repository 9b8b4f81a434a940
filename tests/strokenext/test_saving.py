"""One file written whole or not at all."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from strokenext.saving import STALE, write_file, write_folder


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    place = tmp_path / "a.json"
    write_file(place, b"old")
    write_file(place, "naïve\n")
    assert place.read_bytes() == "naïve\n".encode()
    assert os.listdir(tmp_path) == ["a.json"]


def test_its_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("x")
    write_file(tmp_path / "ours", "x")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_failure_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    place = tmp_path / "a.json"
    write_file(place, "old")
    with pytest.raises(UnicodeEncodeError):
        write_file(place, "\ud800")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        write_file(tmp_path / "folder", "new")
    assert place.read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["a.json", "folder"]


def test_it_makes_no_folders(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        write_file(tmp_path / "missing" / "a.json", "x")


def test_what_a_killed_process_left_half_written_goes_a_day_later(tmp_path: Path) -> None:
    old = time.time() - STALE - 60
    kept = tmp_path / ".0123456789abcdef.part"
    stale, folder, link = (tmp_path / f".{c * 16}.part" for c in "abc")
    other = tmp_path / ".results.part"
    for path in (kept, stale, other):
        path.write_text("x")
    folder.mkdir()
    (folder / "x").touch()
    link.symlink_to(other)
    for path in (stale, folder, other, link):
        os.utime(path, (old, old), follow_symlinks=False)
    write_file(tmp_path / "a.json", "new")
    assert sorted(os.listdir(tmp_path)) == sorted([kept.name, other.name, "a.json"])
    write_folder(tmp_path / "b", {"c": b"d"})
    assert kept.exists()
