"""The README's tables, written between markers from the result files, and the check that they have not drifted.

Markers are HTML comments on lines of their own: `<!-- results:NAME -->` and `<!-- /results:NAME -->`, where NAME is
presence, subtype, paper-presence, paper-subtype, calibration, explanation or benchmark.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from strokenext.errors import DataError

_BLOCK = re.compile(r"(<!-- results:([\w-]+) -->\n)(.*?)(<!-- /results:\2 -->)", re.DOTALL)


def filled(text: str, tables: Mapping[str, str]) -> str:
    """The README with the table of each marker in place. Raises DataError for a marker that no table belongs to."""

    def table(found: re.Match[str]) -> str:
        name = found[2]
        if name not in tables:
            raise DataError(f"The README asks for the table '{name}'. There are: {', '.join(sorted(tables))}.")
        return f"{found[1]}\n{tables[name].strip()}\n\n{found[4]}"

    return _BLOCK.sub(table, text)


def update(file: Path, tables: Mapping[str, str], check: bool = False) -> bool:
    """Whether the file was already as the tables say; without `check` it is made so."""
    before = file.read_text(encoding="utf-8")
    after = filled(before, tables)
    if after != before and not check:
        file.write_text(after, encoding="utf-8")
    return after == before
