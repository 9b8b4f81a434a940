"""Zip archives and gzip streams read in memory: nothing is extracted, so a member's path cannot reach the disk."""

from __future__ import annotations

import gzip
import stat
import zipfile
from io import BytesIO
from pathlib import Path

from strokenext.errors import DamagedFileError, InputError, TooLargeError, UnsupportedFormatError

from . import limits, sniff
from .members import Member, base_name, is_clutter, natural
from .quiet import guarded

_DAMAGED = "This zip archive is damaged or cut short. Pack or copy it again."
#: Others (LZMA above all) let a few bytes ask for gigabytes of dictionary.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def members(source: Path | bytes) -> tuple[Member, ...]:
    """The files of an archive, natural order, each read (bounded) when asked for.

    Raises TooLargeError for a bomb by count, size or ratio, UnsupportedFormatError for encryption and
    rare compression, DamagedFileError, InputError when it is empty or is a document.
    """
    size = source.stat().st_size if isinstance(source, Path) else len(source)
    if size > limits.MAX_ARCHIVE:
        raise TooLargeError(f"This archive is larger than {limits.MAX_ARCHIVE // limits.MIB} MB. Give the head alone.")
    with guarded(_DAMAGED):
        archive = zipfile.ZipFile(BytesIO(source) if isinstance(source, bytes) else source)
        entries = [e for e in archive.infolist() if not _is_folder(e) and not is_clutter(e.filename)]
    _check(entries, size)
    entries.sort(key=lambda e: natural(e.filename.replace("\\", "/")))
    # the members share the open archive, which closes when the last of them is forgotten
    return tuple(_member(archive, e) for e in entries)


def _is_folder(entry: zipfile.ZipInfo) -> bool:
    """Whether an entry is a folder; programs on Windows write its name with a backslash at the end."""
    return entry.is_dir() or (entry.filename.endswith("\\") and entry.file_size == 0)


def _check(entries: list[zipfile.ZipInfo], size: int) -> None:
    if not entries:
        raise InputError("This zip archive holds no files. Pack the folder of images and give that.")
    if any(e.filename == "[Content_Types].xml" for e in entries):
        raise UnsupportedFormatError("This file is an office document. Give the images themselves.")
    limits.check_members(len(entries))
    total = sum(e.file_size for e in entries)
    if total > limits.MAX_ARCHIVE or (total > limits.RATIO_FLOOR and total > limits.MAX_RATIO * max(size, 1)):
        raise TooLargeError(
            f"This archive would unpack to {total // limits.MIB} MB, more than is read. Give the head series alone."
        )
    if any(e.flag_bits & 0x1 for e in entries):
        raise UnsupportedFormatError("This zip archive is encrypted. Unpack it with its password and give the folder.")
    if any(e.compress_type not in _METHODS for e in entries):
        raise UnsupportedFormatError("This zip archive uses a rare compression. Pack it again with ordinary zip.")


def _member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Member:
    def load() -> bytes:
        limits.check_file(entry.file_size)
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise InputError("This is a link inside an archive, which is not followed. Pack the file itself.")
        with guarded(_DAMAGED), archive.open(entry) as stream:
            data = stream.read(limits.MAX_FILE + 1)
        if len(data) != entry.file_size:
            raise DamagedFileError(_DAMAGED)
        return data

    return Member(base_name(entry.filename), load, folder=entry.filename.replace("\\", "/").rpartition("/")[0])


def gunzip(data: bytes) -> bytes:
    """The one file inside a gzip stream; of a NIfTI no more than its header declares.

    Raises TooLargeError before a bomb goes off, DamagedFileError, and what `nifti.declared_size` raises.
    """
    from . import nifti  # only here: an archive of pictures needs no nibabel

    with guarded("This gzip file is damaged or cut short. Copy it again."):
        stream = gzip.GzipFile(fileobj=BytesIO(data))
        head = stream.read(nifti.HEADER)
        if sniff.sniff(head) == "nifti":
            return head + stream.read(max(0, nifti.declared_size(head) - len(head)))
        plain = head + stream.read(limits.MAX_FILE + 1)
        limits.check_file(len(plain))
        return plain
