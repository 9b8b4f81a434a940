"""What a case is called: its label as one line to be shown, and as a name that any file system takes.

Labels and names come from files that anybody may have made: control characters, and those that turn the direction of
the text around, are written out, so that a line shows what it holds and cannot pass for another.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath

from strokenext.types import Label

#: The most letters of one part of a label.
MOST = 48
#: Between the parts of a label.
BETWEEN = " · "
#: Names that Windows keeps for devices, with and without an extension.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def readable(text: str, most: int = MOST) -> str:
    """One line of at most `most` characters, control and invisible characters written as \\x1b or \\u202e.

    What is too long loses its middle: names of one folder often differ at the end alone.
    """
    whole = text if len(text) <= 8 * most else f"{text[: 4 * most]}…{text[-4 * most :]}"
    shown = re.sub(" +", " ", "".join(_written(c) for c in whole)).strip()
    if len(shown) <= most:
        return shown
    end = most // 3
    return f"{shown[: most - 1 - end]}…{shown[len(shown) - end :]}"


def case_label(label: Label | None, name: str = "", series: int | None = None) -> str:
    """Name, study, series, thickness and date, what there is of them: "CT7.zip · Head · 5 mm · 2024-05-03".

    `series` is the number of one of several in what the name stands for: "CT7.zip, series 2 · Head".
    """
    named = base_name(name)
    parts = [f"{named}, series {series}" if named and series is not None else named]
    if label is not None:
        thickness = "" if label.thickness is None else f"{label.thickness:g} mm"
        parts += [label.study, label.series, thickness, label.date]
    return BETWEEN.join(dict.fromkeys(shown for part in parts if (shown := readable(part))))


def case_title(label: Label | None, sha256: str, given: str = "") -> str:
    """What stands on pictures and reports: `given`, else the file's own label, else the start of its checksum."""
    return readable(given, 5 * (MOST + len(BETWEEN))) or case_label(label) or f"Input {sha256[:12]}"


def base_name(name: str) -> str:
    """The last part of a path, of whichever system wrote it."""
    return PurePosixPath(name.replace("\\", "/")).name


def file_stem(text: str, most: int = 60) -> str:
    """Letters, digits, dot, hyphen and underscore alone, at most `most` of them: a name for every file system.

    Accents are dropped, everything else becomes a hyphen; what is too long loses its middle; "case" where nothing is
    left.
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    stem = re.sub(r"-{2,}", "-", re.sub(r"[^A-Za-z0-9._-]", "-", plain)).strip("-._")
    if len(stem) > most:
        stem = f"{stem[: most - 1 - most // 3]}-{stem[len(stem) - most // 3 :]}".strip("-._")
    return "case" if not stem or _DEVICES.fullmatch(stem) else stem


def _written(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Zs":  # spaces of every width
        return " "
    return character.encode("unicode_escape").decode() if category[0] in "CZ" else character
