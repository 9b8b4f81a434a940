"""What a report is made of, whatever it is written as: sections with their sentences, tables and figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

T = TypeVar("T")


@dataclass(frozen=True)
class Table:
    """Column heads and rows of text."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, items: Iterable[T], columns: Mapping[str, Callable[[T], str]]) -> Table:
        """A row per item, a column per head with what it says of an item."""
        return cls(tuple(columns), tuple(tuple(cell(item) for cell in columns.values()) for item in items))

    def markdown(self) -> str:
        """The same for a Markdown document."""
        lines = [self.heads, ("---",) * len(self.heads), *self.rows]
        return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


@dataclass(frozen=True, eq=False)
class Section:
    """A heading with sentences, tables and figures, any of which may be missing.

    `level` 2 starts a part, 3 is inside one. `missing` says what is not there and which command makes it.
    `images` are captions with PNG bytes.
    """

    title: str
    text: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: Sequence[Figure] = ()
    images: Sequence[tuple[str, bytes]] = ()
    level: int = 2
    missing: str = ""
    bullets: tuple[str, ...] = ()
