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
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from strokenext.errors import DataError, StrokeNeXtError
from training.environment import sha256
from training.measure.metrics import source_probe

from .duplicates import Fingerprint, connect, fingerprint, near_pairs
from .forms import Found, Reading, read
from .harmony import harmony, sentences
from .images import open_image
from .manifest import Manifest, Record, Scalar, write_csv, write_manifest

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Source:
    """What to read: a name of one's own choice, the folder, and a label table where folders name no class."""

    name: str
    folder: Path
    labels: Path | None = None


@dataclass(frozen=True, eq=False)
class _Opened:
    found: Found
    print: Fingerprint
    sha256: str
    size: tuple[int, int]


@dataclass(frozen=True)
class Prepared:
    """The manifest and what did not get into it: (source, file, reason)."""

    manifest: Manifest
    left_out: tuple[tuple[str, str, str], ...]
    near: tuple[tuple[str, str], ...]


def prepare(sources: Sequence[Source], progress: Progress | None = None) -> Prepared:
    """Read, open, join and check the sources. Raises DataError when one cannot be read or two share a name."""
    if not sources or len({s.name for s in sources}) != len(sources):
        raise DataError("Give at least one source, each under a name of its own: --source NAME=FOLDER.")
    readings = [read(s.name, s.folder, s.labels) for s in sources]
    left_out = [(s.name, *row) for s, r in zip(sources, readings, strict=True) for row in r.left_out]
    root = Path(os.path.commonpath([s.folder.resolve() for s in sources]))
    opened, unread = _open_all([f for r in readings for f in r.images], progress)
    left_out += [(f.source, _relative(f.file, root), reason) for f, reason in unread]
    kept, repeats = _without_exact(opened)
    left_out += [(o.found.source, _relative(o.found.file, root), reason) for o, reason in repeats]
    paths = [_relative(o.found.file, root) for o in kept]
    pairs = [(paths[i], paths[j]) for i, j in near_pairs([o.print for o in kept])]
    units = {p: o.found.patient or p for p, o in zip(paths, kept, strict=True)}
    groups = connect(units.values(), [(units[a], units[b]) for a, b in pairs])
    bases = {s.name: s.folder.resolve() for s in sources}
    records = tuple(
        _record(o, p, str(groups[units[p]]), root, bases)
        for o, p in sorted(zip(kept, paths, strict=True), key=lambda x: x[1])
    )
    about = _about(sources, readings, records, pairs, left_out)
    about["harmony"] = harmony(Manifest(root, records))
    return Prepared(Manifest(root, records, about), tuple(left_out), tuple(pairs))


def _open_all(found: Sequence[Found], progress: Progress | None) -> tuple[list[_Opened], list[tuple[Found, str]]]:
    opened: list[_Opened] = []
    unread: list[tuple[Found, str]] = []
    for i, one in enumerate(found):
        try:
            image = open_image(one.file)
            opened.append(_Opened(one, fingerprint(image), sha256(one.file), image.shape))
        except (StrokeNeXtError, OSError) as problem:
            unread.append((one, str(problem)))
        if progress is not None:
            progress(i + 1, len(found))
    if not opened:
        raise DataError(
            f"None of the {len(found)} images could be read. The first: {unread[0][1] if unread else 'none'}"
        )
    return opened, unread


def _without_exact(opened: Sequence[_Opened]) -> tuple[list[_Opened], list[tuple[_Opened, str]]]:
    """Keep the first of identical files, or none when their labels contradict each other."""
    copies: dict[str, list[_Opened]] = defaultdict(list)
    for one in opened:
        copies[one.sha256].append(one)
    kept, repeats = [], []
    for same in copies.values():
        labels = {(o.found.presence, o.found.subtype) for o in same if o.found.presence is not None}
        if len({a for a, _ in labels}) > 1 or len({b for _, b in labels if b is not None}) > 1:
            repeats += [(o, "identical files with contradicting labels") for o in same]
            continue
        best = max(
            same, key=lambda o: (o.found.presence is not None, o.found.subtype is not None, o.found.evaluation_only)
        )
        kept.append(best)
        repeats += [(o, f"exact copy of {best.found.file.name}") for o in same if o is not best]
    return kept, repeats


def _record(one: _Opened, path: str, group: str, root: Path, bases: dict[str, Path]) -> Record:
    f = one.found
    extra: dict[str, Scalar] = dict(f.extra)
    for key in ("mask", "overlay", "dicom"):
        if key in extra:
            places = (*f.file.resolve().parents, *bases.values())
            base = next((b for b in places if (b / str(extra[key])).exists()), None)
            if base is None:
                raise DataError(f"The table of {f.source} gives {f.file.name} the {key} {extra[key]}, which is not "
                                "there. Put the file there, or leave that cell empty.")  # fmt: skip
            extra[key] = _relative(base / str(extra[key]), root)
    return Record(
        path, f.source, f.presence, f.subtype, f.patient, group, one.sha256, f"{one.print.phash:016x}", one.size,
        f.evaluation_only, extra,
    )  # fmt: skip


def _relative(file: Path, root: Path) -> str:
    resolved = file.resolve()
    return resolved.relative_to(root).as_posix() if resolved.is_relative_to(root) else file.as_posix()


def _about(
    sources: Sequence[Source],
    readings: Sequence[Reading],
    records: Sequence[Record],
    pairs: Sequence[tuple[str, str]],
    left_out: Iterable[tuple[str, str, str]],
) -> dict[str, object]:
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    for name, _, reason in left_out:
        reasons[name][reason.split(" of ")[0] if reason.startswith("exact") else reason] += 1
    sizes = Counter(r.group for r in records)
    labelled = [(r.presence, r.source) for r in records if r.presence is not None]
    probe = source_probe(*zip(*labelled, strict=True)) if len({label for label, _ in labelled}) == 2 else None
    return {
        "sources": [
            {"name": s.name, "form": r.form, "notes": list(r.notes)} for s, r in zip(sources, readings, strict=True)
        ],
        "left_out": {name: dict(why) for name, why in reasons.items()},
        "counts": counts(records),
        "near_duplicate_pairs": len(pairs),
        "groups": len(sizes),
        "largest_group": max(sizes.values()),
        "source_predicts_presence": probe,
    }


def counts(records: Iterable[Record]) -> dict[str, dict[str, int]]:
    """Per source: images, patients (0 where unknown), groups and images of each label."""
    table: dict[str, dict[str, int]] = {}
    by_source: dict[str, list[Record]] = defaultdict(list)
    for r in records:
        by_source[r.source].append(r)
    for source, rows in sorted(by_source.items()):
        table[source] = {
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
    return table


def counts_table(records: Iterable[Record]) -> str:
    """The counts as a Markdown table."""
    table = counts(records)
    heads = list(next(iter(table.values()))) if table else []
    lines = ["| source | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    lines += [f"| {name} | " + " | ".join(str(row[h]) for h in heads) + " |" for name, row in table.items()]
    return "\n".join(lines) + "\n"


def write(prepared: Prepared, out: Path, sheets: bool = True) -> Path:
    """Write manifest.jsonl, manifest.csv, counts.md, left_out.csv, near_duplicates.csv and the contact sheets."""
    from .contact_sheets import contact_sheets

    out.mkdir(parents=True, exist_ok=True)
    file = write_manifest(prepared.manifest, out / "manifest.jsonl")
    write_csv(prepared.manifest, out / "manifest.csv")
    (out / "counts.md").write_text(counts_table(prepared.manifest), encoding="utf-8")
    _write_rows(out / "left_out.csv", ("source", "file", "reason"), prepared.left_out)
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
    from training.terminal import progress_bar

    options = parser().parse_args(argv)
    tables = {name: Path(file) for name, file in map(_pair, options.labels)}
    sources = [Source(name, Path(folder), tables.get(name)) for name, folder in map(_pair, options.source)]
    with progress_bar("prepare") as progress:
        prepared = prepare(sources, progress)
    file = write(prepared, options.out, not options.no_sheets)
    print(counts_table(prepared.manifest))
    about = prepared.manifest.about
    for source in about["sources"]:  # type: ignore[attr-defined]
        print(f"{source['name']}: {source['form']}. {' '.join(source['notes'])}")
    for name, reasons in about["left_out"].items():  # type: ignore[attr-defined]
        print(f"left out of {name}: " + "; ".join(f"{n} x {reason}" for reason, n in reasons.items()))
    probe = about["source_predicts_presence"]
    if probe:
        print(f"The source alone predicts presence with AUROC {probe['auroc']:.3f} (0.5 would be no confounding).")  # type: ignore[index]
    print("\n".join(sentences(about["harmony"])))  # type: ignore[arg-type]
    print(f"{about['near_duplicate_pairs']} near-duplicate pairs, {about['groups']} groups. Manifest: {file}")
    return 0


def _pair(text: str) -> tuple[str, str]:
    name, mark, value = text.partition("=")
    if not (name and mark and value):
        raise DataError(f"'{text}' should read NAME=PATH.")
    return name, value
