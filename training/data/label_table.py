"""A tree of files whose folders name no class, with a table of labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from strokenext.errors import DataError

from .labels import LABELS, class_of
from .reading import LabelledFile, LeftOut, Reading, files_below
from .slices_csv import read_rows

#: Columns that name a file, its folder (a patient, a series), or either.
FILES, FOLDERS, EITHER = ("path", "file", "image", "filename"), ("folder", "series", "patient"), ("name", "id")
#: Columns with a label, and what the numbers 0 and 1 mean in each.
LABEL_COLUMNS = dict.fromkeys(("label", "class", "diagnosis"), ("normal", "stroke"))
LABEL_COLUMNS |= {"subtype": ("ischemic", "hemorrhagic"), "presence": ("normal", "stroke")}
Row = Mapping[str, str]


def read_labelled_tree(name: str, root: Path, table: Path) -> Reading:
    """DICOM (or picture) tree; a row applies to the file or to the enclosing folder that its key column names.

    Raises DataError where two rows could be meant by one file, or one bare file name by files of several folders:
    a label on the wrong slice is worse than none.
    """
    if not table.is_file():
        raise DataError(f"There is no label table at {table}.")
    rows = [{(k or "").strip().lower(): (v or "").strip() for k, v in row.items() if k} for row in read_rows(table)]
    columns, keys = set(rows[0]) if rows else set(), (*FILES, *EITHER, *FOLDERS)
    key = next((k for k in keys if k in columns), None)
    if key is None or not columns & set(LABEL_COLUMNS):
        raise DataError(f"{table} needs a column among {', '.join(keys)} and one among {', '.join(LABEL_COLUMNS)}.")
    files = [f for f in files_below(root) if f != table.resolve()]
    folders = {folder.name for file in files for folder in file.relative_to(root).parents if folder.name}
    patients = folders & {row.get("patient", "") for row in rows}
    named: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        named[row[key].strip("/")].append(row)
    images, left_out = [], []
    bare: dict[str, set[Path]] = defaultdict(set)
    for file in files:
        relative = file.relative_to(root)
        called, meant = _meant(relative, named, key, by_patient=bool(patients) and key != "patient")
        bare[called] |= {relative.parent} if called in (relative.name, relative.stem) and not patients else set()
        if len({(_label(row), row.get("patient")) for row in meant}) > 1 or len(bare[called]) > 1:
            raise DataError(
                f"In {table} '{called}' does not say which file it means: {relative.as_posix()} is one of several. "
                "Add a column path with each file's path under the folder."
            )
        text, word = _label(meant[0]) if meant else ("", None)
        if word is None:
            reason = f"the label '{text}' is not understood" if meant else "no row of the label table names it"
            left_out.append(LeftOut(relative.as_posix(), reason))
            continue
        presence, subtype = LABELS[word]
        patient = meant[0].get("patient") or (relative.parts[0] if len(relative.parts) > 1 else "")
        images.append(LabelledFile(file, name, presence, subtype, f"{name}/{patient}" if patient else None))
    return Reading("a tree with a label table", tuple(images), tuple(left_out))


def _meant(relative: Path, named: Mapping[str, Sequence[Row]], key: str, by_patient: bool) -> tuple[str, Sequence[Row]]:
    """What the table calls a file, and those rows; `by_patient`: of a bare file name only the rows of its patient."""
    above = {folder.name for folder in relative.parents}
    for called in _names(relative, key):
        rows = named.get(called, ())
        if by_patient and called in (relative.name, relative.stem):
            rows = [row for row in rows if row.get("patient") in above]
        if rows:
            return called, rows
    return "", ()


def _names(relative: Path, key: str) -> Iterator[str]:
    """What a column may call a file, the most exact first: its path, name, stem, then its folders from the inside."""
    if key not in FOLDERS:
        yield from (relative.as_posix(), relative.name, relative.stem)
    for folder in relative.parents:
        if folder != Path(".") and key not in FILES:
            yield from (folder.as_posix(), folder.name)


def _label(row: Row) -> tuple[str, str | None]:
    """A row's label as it stands there and as a word of LABELS; a `presence` that says normal counts alone."""
    given = {
        column: (text, class_of({"0": numbers[0], "1": numbers[1]}.get(text, text)))
        for column, numbers in LABEL_COLUMNS.items()
        if (text := row.get(column, ""))
    }
    presence = given.get("presence", ("", None))
    return presence if presence[1] == "normal" else next(iter(given.values()), presence)
