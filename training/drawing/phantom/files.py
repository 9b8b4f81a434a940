"""Phantom slices as files: anonymous CT DICOM, a zipped series and a PNG, the same bytes at every run.

HU = stored value - 1024, in 12 bits unsigned, as most scanners write it. UIDs are derived from the file's role
(root 2.25, DICOM PS3.5 B.2); dates and every patient tag are empty.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from strokenext.windows import BRAIN, apply, to_bytes

from .head import FIELD_OF_VIEW, STROKE, THICKNESS, Kind, Phantom, head_phantom, phantom_series

INTERCEPT = -1024
ZIP_TIME = (2000, 1, 1, 0, 0, 0)
SERIES_SLICES, SERIES_SIZE = 16, 256
#: kind, seed and level of each single example: one head at one level, so that only the lesion differs.
SINGLES: tuple[tuple[Kind, int, float], ...] = (("normal", 3, 0.4), ("hemorrhage", 3, 0.4), ("infarct", 3, 0.4))

#: Type 2 tags, which must be there and may be empty.
EMPTY = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyID",
    "PositionReferenceIndicator",
    "AcquisitionNumber",
)

README = """# Examples

Every picture here is **synthetic**: a phantom drawn by formula and scanned by a simulated CT
(`training/drawing/phantom`). No patient, no hospital, no acquired image stands behind any of them, and none was used
to measure a model.

| file | what it shows |
|---|---|
| `normal.dcm` | one slice above the basal ganglia, no lesion, in HU |
| `hemorrhage.dcm` | the same head and level with a bleed (about 64 HU), rim of oedema, slight mass effect |
| `infarct.dcm` | the same head and level with a subacute infarct of a middle cerebral territory (6 to 13 HU darker) |
| `series_hemorrhage.zip` | 16 slices from the basal ganglia to the vertex with a bleed, 256 x 256, DICOM |
| `hemorrhage.png` | a brain-window picture, 8 bit: the kind of file that has no HU any more |

The head and level were chosen so that the bundled model tells the three apart. It was trained on real heads: lower,
at the basal ganglia, it calls most lesion-free phantoms a stroke. A phantom is a demonstration, no test of the model.

Made by `python -m training examples assets/examples`, the same bytes at every run with the same library versions.
Same licence as the project.
"""


def uid(role: str) -> UID:
    """A synthetic UID under root 2.25, fixed by the role's name."""
    return UID(f"2.25.{int.from_bytes(hashlib.sha256(role.encode()).digest()[:15], 'big')}")


def to_dicom(phantom: Phantom, role: str, number: int = 1) -> bytes:
    """One phantom slice as a CT Image Storage file, explicit VR little endian, head first supine.

    `role` names study, series and image UIDs ("role" for the series, "role/number" for the image).
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = uid(f"{role}/{number}")
    meta.ImplementationClassUID = uid("strokenext")
    out = io.BytesIO()
    file = FileDataset(out, _image_tags(phantom), file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID, file.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    file.StudyInstanceUID, file.SeriesInstanceUID = uid(f"{role}/study"), uid(f"{role}/series")
    file.FrameOfReferenceUID = uid(f"{role}/frame")
    file.InstanceNumber = number
    file.save_as(out, enforce_file_format=True)
    return out.getvalue()


def _image_tags(phantom: Phantom) -> Dataset:
    """Geometry, pixels and the empty type 2 tags of a CT image."""
    ds = Dataset()
    for keyword in EMPTY:
        setattr(ds, keyword, None)
    ds.ImageType = ["DERIVED", "PRIMARY", "AXIAL"]
    ds.Modality, ds.Manufacturer, ds.KVP, ds.BodyPartExamined = "CT", "StrokeNeXt phantom", "120", "HEAD"
    ds.SeriesDescription, ds.SeriesNumber, ds.PatientPosition = f"Synthetic phantom, {phantom.kind}", 1, "HFS"
    ds.PatientIdentityRemoved, ds.DeidentificationMethod = "YES", "synthetic image, there is no patient"
    ds.BurnedInAnnotation = "NO"
    rows, columns = phantom.hu.shape
    corner = -(FIELD_OF_VIEW - phantom.spacing[0]) / 2
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.ImagePositionPatient = [f"{corner:.4f}", f"{corner:.4f}", f"{phantom.z:.4f}"]
    ds.PixelSpacing, ds.SliceThickness = [f"{s:.6f}" for s in phantom.spacing], f"{THICKNESS:g}"
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = rows, columns, 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = 1, INTERCEPT, "HU"
    windows = (BRAIN, STROKE)
    ds.WindowCenter, ds.WindowWidth = [w.level for w in windows], [w.width for w in windows]
    ds.WindowCenterWidthExplanation = [w.name.upper() for w in windows]
    stored = np.clip(np.rint(phantom.hu) - INTERCEPT, 0, 4095).astype("<u2")
    ds.PixelData = stored.tobytes()
    ds["PixelData"].VR = "OW"
    return ds


def to_png(phantom: Phantom) -> bytes:
    """The slice through the brain window, 8-bit grey PNG."""
    done, encoded = cv2.imencode(".png", to_bytes(apply(phantom.hu, BRAIN)), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    if not done:
        raise RuntimeError("OpenCV could not write a PNG")
    return encoded.tobytes()


def to_zip(series: tuple[Phantom, ...], role: str) -> bytes:
    """A series as a zip of DICOM files with fixed times."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for number, phantom in enumerate(series, 1):
            entry = zipfile.ZipInfo(f"{role}/IM{number:04d}.dcm", ZIP_TIME)
            archive.writestr(entry, to_dicom(phantom, role, number), zipfile.ZIP_DEFLATED, 9)
    return out.getvalue()


def write_examples(folder: Path) -> list[Path]:
    """Write all examples and their README into `folder`, replacing what is there; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, bytes] = {"README.md": README.encode()}
    for kind, seed, level in SINGLES:
        phantom = head_phantom(kind, 512, seed, level)
        files[f"{kind}.dcm"] = to_dicom(phantom, kind)
        if kind == "hemorrhage":
            files["hemorrhage.png"] = to_png(phantom)
    series = phantom_series("hemorrhage", SERIES_SLICES, SERIES_SIZE, seed=11)
    files["series_hemorrhage.zip"] = to_zip(series, "series_hemorrhage")
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in sorted(files)]


def main(argv: Sequence[str]) -> int:
    """Write the examples into a folder. Returns 0."""
    p = argparse.ArgumentParser(prog="python -m training examples", description=main.__doc__)
    p.add_argument("folder", type=Path)
    for path in write_examples(p.parse_args(argv).folder):
        print(f"{path} {path.stat().st_size} bytes")
    return 0
