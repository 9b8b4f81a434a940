"""`python -m training prepare`: folders of head CT to one manifest, with counts, duplicates and contact sheets.

Every image is decoded once, to be hashed and to leave out what cannot be read. Exact copies are kept once, and not at
all when their labels contradict each other. Near duplicates and patients are joined into groups, which grouped splits
keep together. Contact sheets are drawn beside the manifest for the eyes of the person who prepares; they show
patients' images and belong in no repository.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strokenext.errors import DataError, StrokeNeXtError
from strokenext.saving import write_file
from strokenext.types import Progress
from training.environment import sha256
from training.measure.metrics import source_probe
from training.terminal import progress_bar

from .contact_sheets import contact_sheets
from .duplicates import Fingerprint, connect, fingerprint, near_pairs
from .forms import read
from .harmony import harmony, sentences
from .images import open_image
from .manifest import Manifest, Record, Scalar, write_csv, write_manifest
from .reading import LabelledFile, LeftOut


@dataclass(frozen=True)
class SourceFolder:
    """What to read: a name of one's own choice, the folder, and a label table where folders name no class."""

    name: str
    folder: Path
    labels: Path | None = None


@dataclass(frozen=True, eq=False)
class Opened:
    """A labelled file with what its pixels and bytes are compared by; `size` is (rows, columns)."""

    image: LabelledFile
    print: Fingerprint
    sha256: str
    size: tuple[int, int]


@dataclass(frozen=True)
class Prepared:
    """The manifest, what did not get into it with its source, and the pairs of near duplicates in it."""

    manifest: Manifest
    left_out: tuple[tuple[str, LeftOut], ...]
    near: tuple[tuple[str, str], ...]


def prepare(sources: Sequence[SourceFolder], progress: Progress | None = None) -> Prepared:
    """Read, open, join and check the sources. Raises DataError when one cannot be read or two share a name."""
    if not sources or len({s.name for s in sources}) != len(sources):
        raise DataError("Give at least one source, each under a name of its own: --source NAME=FOLDER.")
    root = Path(os.path.commonpath([s.folder.resolve() for s in sources]))
    readings = [read(s.name, s.folder, s.labels) for s in sources]
    opened, unread = _open_all([f for r in readings for f in r.images], root, progress)
    kept, copies = _without_copies(opened, root)
    left_out = [(s.name, one) for s, r in zip(sources, readings, strict=True) for one in r.left_out]
    left_out += unread + copies
    paths = [_relative(o.image.file, root) for o in kept]
    pairs = [(paths[i], paths[j]) for i, j in near_pairs([o.print for o in kept])]
    units = {p: o.image.patient or p for p, o in zip(paths, kept, strict=True)}
    groups = connect(units.values(), [(units[a], units[b]) for a, b in pairs])
    folders = [s.folder.resolve() for s in sources]
    by_path = sorted(zip(paths, kept, strict=True), key=lambda row: row[0])
    records = tuple(_record(o, p, str(groups[units[p]]), root, folders) for p, o in by_path)
    sizes = Counter(r.group for r in records)
    about = {
        "sources": [
            {"name": s.name, "form": r.form, "notes": list(r.notes)} for s, r in zip(sources, readings, strict=True)
        ],
        "left_out": _reasons(left_out),
        "counts": counts(records),
        "near_duplicate_pairs": len(pairs),
        "groups": len(sizes),
        "largest_group": max(sizes.values()),
        "source_predicts_presence": _source_predicts_presence(records),
        "harmony": harmony(Manifest(root, records)),
    }
    return Prepared(Manifest(root, records, about), tuple(left_out), tuple(pairs))


def _open_all(
    images: Sequence[LabelledFile], root: Path, progress: Progress | None
) -> tuple[list[Opened], list[tuple[str, LeftOut]]]:
    opened: list[Opened] = []
    unread: list[tuple[str, LeftOut]] = []
    for i, one in enumerate(images):
        try:
            pixels = open_image(one.file)
            opened.append(Opened(one, fingerprint(pixels), sha256(one.file), pixels.shape))
        except (StrokeNeXtError, OSError) as problem:
            unread.append((one.source, LeftOut(_relative(one.file, root), str(problem))))
        if progress is not None:
            progress(i + 1, len(images))
    if not opened:
        raise DataError(f"None of the {len(images)} images could be read. The first: {unread[0][1]}")
    return opened, unread


def _without_copies(opened: Sequence[Opened], root: Path) -> tuple[list[Opened], list[tuple[str, LeftOut]]]:
    """Keep the first of identical files, or none when their labels contradict each other."""
    copies: dict[str, list[Opened]] = defaultdict(list)
    for one in opened:
        copies[one.sha256].append(one)
    kept: list[Opened] = []
    left_out: list[tuple[str, LeftOut]] = []
    for same in copies.values():
        images = [o.image for o in same]
        presences = {i.presence for i in images if i.presence is not None}
        subtypes = {i.subtype for i in images if i.presence is not None and i.subtype is not None}
        contradict = len(presences) > 1 or len(subtypes) > 1
        best = max(same, key=lambda o: _known(o.image))
        kept += [] if contradict else [best]
        for one in same:
            file = _relative(one.image.file, root)
            if contradict:
                left_out.append((one.image.source, LeftOut(file, "identical files with contradicting labels")))
            elif one is not best:
                left_out.append((one.image.source, LeftOut(file, "exact copy", best.image.file.name)))
    return kept, left_out


def _known(image: LabelledFile) -> tuple[bool, bool, bool]:
    """How much is known of an image: of identical ones the greatest is kept."""
    return image.presence is not None, image.subtype is not None, image.evaluation_only


def _record(one: Opened, path: str, group: str, root: Path, folders: Sequence[Path]) -> Record:
    image = one.image
    extra: dict[str, Scalar] = dict(image.extra)
    for key in ("mask", "overlay", "dicom"):
        if key in extra:
            places = (folder / str(extra[key]) for folder in (*image.file.resolve().parents, *folders))
            file = next((f for f in places if f.exists()), None)
            if file is None:
                raise DataError(
                    f"The table of {image.source} gives {image.file.name} the {key} {extra[key]}, which is not there. "
                    "Put the file there, or leave that cell empty."
                )
            extra[key] = _relative(file, root)
    from_source = image.source, image.presence, image.subtype, image.patient
    phash = f"{one.print.phash:016x}"
    return Record(path, *from_source, group, one.sha256, phash, one.size, image.evaluation_only, extra)


def _relative(file: Path, root: Path) -> str:
    resolved = file.resolve()
    return resolved.relative_to(root).as_posix() if resolved.is_relative_to(root) else file.as_posix()


def _reasons(left_out: Iterable[tuple[str, LeftOut]]) -> dict[str, dict[str, int]]:
    """Source to reason to how many files."""
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    for source, one in left_out:
        reasons[source][one.reason] += 1
    return {source: dict(why) for source, why in reasons.items()}


def _source_predicts_presence(records: Sequence[Record]) -> dict[str, Any] | None:
    """How well presence is guessed from the source alone; None where only one label is known."""
    labelled = [(r.presence, r.source) for r in records if r.presence is not None]
    return source_probe(*zip(*labelled, strict=True)) if len({label for label, _ in labelled}) == 2 else None


def counts(records: Iterable[Record]) -> dict[str, dict[str, int]]:
    """Per source: images, patients (0 where unknown), groups and images of each label."""
    by_source: dict[str, list[Record]] = defaultdict(list)
    for r in records:
        by_source[r.source].append(r)
    return {
        source: {
            "images": len(rows),
            "patients": len({r.patient for r in rows if r.patient}),
            "groups": len({r.group for r in rows}),
            "normal": sum(r.presence == 0 for r in rows),
            "ischemic": sum(r.subtype == 0 for r in rows),
            "hemorrhagic": sum(r.subtype == 1 for r in rows),
            "stroke, kind unknown": sum(r.presence == 1 and r.subtype is None for r in rows),
            "unlabelled": sum(r.presence is None for r in rows),
            "evaluation only": sum(r.evaluation_only for r in rows),
        }
        for source, rows in sorted(by_source.items())
    }


def counts_table(table: Mapping[str, Mapping[str, int]]) -> str:
    """The counts of `counts` as a Markdown table."""
    heads = list(next(iter(table.values()))) if table else []
    lines = ["| source | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    lines += [f"| {name} | " + " | ".join(str(row[h]) for h in heads) + " |" for name, row in table.items()]
    return "\n".join(lines) + "\n"


def write(prepared: Prepared, out: Path, sheets: bool = True) -> Path:
    """Write manifest.jsonl, manifest.csv, counts.md, left_out.csv, near_duplicates.csv and the contact sheets."""
    out.mkdir(parents=True, exist_ok=True)
    file = write_manifest(prepared.manifest, out / "manifest.jsonl")
    write_csv(prepared.manifest, out / "manifest.csv")
    write_file(out / "counts.md", counts_table(prepared.manifest.about["counts"]))
    left_out = ((source, one.file, str(one)) for source, one in prepared.left_out)
    _write_rows(out / "left_out.csv", ("source", "file", "reason"), left_out)
    _write_rows(out / "near_duplicates.csv", ("first", "second"), prepared.near)
    if sheets:
        contact_sheets(prepared.manifest, out)
    return file


def _write_rows(file: Path, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([heads, *rows])


#: The folders that `prepare` understands.
FORMS = (
    "A source's folder is one of: TEKNOFEST 2021 as published (its Turkish names, or Bleeding, Ischemia and Normal "
    "with PNG, OVERLAY and DICOM); class folders such as Normal and Stroke; train, validation and test with class "
    "folders; a folder with slices.csv (columns image and label, optionally patient, source, mask); or any tree of "
    "files with --labels NAME=table.csv, which has a column path, file, folder or patient and one label (or presence, "
    "subtype)."
)


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    p = argparse.ArgumentParser(prog="python -m training prepare", description=__doc__.splitlines()[0], epilog=FORMS)
    p.add_argument("--source", action="append", required=True, metavar="NAME=FOLDER", help="repeat for several")
    p.add_argument("--labels", action="append", default=[], metavar="NAME=CSV", help="label table of a source")
    p.add_argument("--out", type=Path, default=Path("data"), help="folder for the manifest (default: data)")
    p.add_argument("--no-sheets", action="store_true", help="draw no contact sheets")
    return p


def main(argv: Sequence[str]) -> int:
    """Run the command. Returns 0."""
    options = parser().parse_args(argv)
    tables = {name: Path(file) for name, file in map(_pair, options.labels)}
    sources = [SourceFolder(name, Path(folder), tables.get(name)) for name, folder in map(_pair, options.source)]
    with progress_bar("prepare") as progress:
        prepared = prepare(sources, progress)
    file = write(prepared, options.out, not options.no_sheets)
    about = prepared.manifest.about
    print(counts_table(about["counts"]))
    for source in about["sources"]:
        print(f"{source['name']}: {source['form']}. {' '.join(source['notes'])}")
    for name, reasons in about["left_out"].items():
        print(f"left out of {name}: " + "; ".join(f"{n} x {reason}" for reason, n in reasons.items()))
    probe = about["source_predicts_presence"]
    if probe:
        print(f"The source alone predicts presence with AUROC {probe['auroc']:.3f} (0.5 would be no confounding).")
    print("\n".join(sentences(about["harmony"])))
    print(f"{about['near_duplicate_pairs']} near-duplicate pairs, {about['groups']} groups. Manifest: {file}")
    return 0


def _pair(text: str) -> tuple[str, str]:
    name, mark, value = text.partition("=")
    if not (name and mark and value):
        raise DataError(f"'{text}' should read NAME=PATH.")
    return name, value
