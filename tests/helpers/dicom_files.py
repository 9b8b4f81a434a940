"""DICOM files made for the tests: a small CT slice whose every pixel can be told, in any encoding."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

SIDE = 64
STUDY, SERIES = "1.2.3.4", "1.2.3.4.5"
AXIAL = [1, 0, 0, 0, 1, 0]
#: Every element of a patient that a slice must not keep.
SECRETS = {
    "PatientName": "DOE^JOHN",
    "PatientID": "MRN-778899",
    "PatientBirthDate": "19440321",
    "PatientAddress": "Elm Street 12",
    "InstitutionName": "St Elsewhere",
    "ReferringPhysicianName": "WELBY^MARCUS",
    "AccessionNumber": "ACC-4711",
    "StudyDate": "20240229",
    "StudyDescription": "HEAD DOE JOHN",
    "SeriesDescription": "secret series",
    "ImageComments": "for Mr DOE",
    "OperatorsName": "OPER^ATOR",
}


def head(side: int = SIDE) -> NDArray[np.int16]:
    """Stored values of a disc of brain (1064: 40 HU) in a ring of bone (2024: 1000 HU) in air (24: -1000 HU).

    Pixel (row 20, column 30) is 1100 (76 HU).
    """
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    radius = np.hypot(x, y) / (side / 2)
    stored = np.where(radius < 0.75, 1064, np.where(radius < 0.9, 2024, 24)).astype(np.int16)
    stored[20, 30] = 1100
    return stored


def ct(pixels: NDArray[Any] | None = None, **tags: Any) -> Dataset:
    """An axial head CT slice, 12 bits unsigned in 16, intercept -1024; a tag of None is deleted."""
    pixels = head() if pixels is None else pixels
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = uid.CTImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = uid.generate_uid(entropy_srcs=["strokenext"])
    for keyword, value in SECRETS.items():
        setattr(ds, keyword, value)
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.Modality = STUDY, SERIES, "CT"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.BodyPartExamined, ds.InstanceNumber = "HEAD", 1
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 0, 0], AXIAL
    ds.PixelSpacing, ds.SliceThickness = [0.5, 0.4], 5
    ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = pixels.shape[-2:]
    ds.BitsAllocated = 8 * pixels.dtype.itemsize
    ds.BitsStored = min(12, ds.BitsAllocated)
    ds.HighBit, ds.PixelRepresentation = ds.BitsStored - 1, 0
    ds.WindowCenter, ds.WindowWidth, ds.WindowCenterWidthExplanation = [40, 600], [80, 2800], ["BRAIN", "BONE"]
    ds.PixelData = pixels.tobytes()
    for keyword, value in tags.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    return ds


def to_bytes(ds: Dataset, syntax: str = uid.ExplicitVRLittleEndian, *, preamble: bool = True) -> bytes:
    """The data set as a file in an uncompressed or deflated transfer syntax; big-endian pixels are swapped."""
    target = BytesIO()
    ds.file_meta.TransferSyntaxUID = uid.UID(syntax)
    if syntax == uid.ExplicitVRBigEndian:
        ds.PixelData = np.frombuffer(ds.PixelData, "<u2").astype(">u2").tobytes()
    ds["PixelData"].VR = "OW" if int(ds.get("BitsAllocated", 16)) > 8 else "OB"
    if preamble:
        ds.save_as(target, enforce_file_format=True)
        return target.getvalue()
    implicit, little = syntax == uid.ImplicitVRLittleEndian, syntax != uid.ExplicitVRBigEndian
    del ds.file_meta
    ds.save_as(target, implicit_vr=implicit, little_endian=little)
    return target.getvalue()


def compressed(ds: Dataset, syntax: str, frames: list[bytes]) -> bytes:
    """The data set with encoded frames in place of its pixels."""
    target = BytesIO()
    ds.PixelData = encapsulate(frames)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = uid.UID(syntax)
    ds.save_as(target, enforce_file_format=True)
    return target.getvalue()


def encode(pixels: NDArray[Any], syntax: str) -> bytes:
    """A (H, W) array of unsigned samples as one lossless code stream of that syntax."""
    unsigned = pixels.astype(np.uint16)
    if syntax in (uid.JPEGLossless, uid.JPEGLosslessSV1):
        return imagecodecs.jpeg8_encode(unsigned, lossless=True, predictor=1, bitspersample=16)
    if syntax == uid.JPEGLSLossless:
        return imagecodecs.jpegls_encode(unsigned)
    if syntax == uid.JPEGExtended12Bit:
        return imagecodecs.jpeg8_encode(unsigned, level=99, bitspersample=12)
    if syntax == uid.RLELossless:
        return rle(unsigned)
    if syntax == uid.HTJ2KLossless:
        return imagecodecs.htj2k_encode(unsigned, reversible=True)
    return imagecodecs.jpeg2k_encode(unsigned, codecformat="j2k", reversible=True, bitspersample=16)


def rle(pixels: NDArray[np.uint16]) -> bytes:
    """PS3.5 annex G by hand: literal runs of 128 bytes, high bytes first, each segment padded to even length."""
    header, body = [2], b""
    for shift in (8, 0):
        plane = (pixels >> shift).astype(np.uint8).tobytes()
        header.append(64 + len(body))
        body += b"".join(bytes([len(run) - 1]) + run for run in (plane[i : i + 128] for i in range(0, len(plane), 128)))
        body += b"\0" * (len(body) % 2)
    return np.array([*header, *[0] * (16 - len(header))], "<u4").tobytes() + body


def enhanced(positions: list[float], *, slopes: list[float] | None = None) -> Dataset:
    """An enhanced CT file; each frame has its own position and slope, and pixel (0, 0) stores its number."""
    stack = np.stack([head() for _ in positions])
    stack[:, 0, 0] = np.arange(len(positions))
    ds = ct(stack, RescaleSlope=None, RescaleIntercept=None, ImagePositionPatient=None, ImageOrientationPatient=None)
    del ds.PixelSpacing, ds.WindowCenter, ds.WindowWidth, ds.WindowCenterWidthExplanation
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = uid.EnhancedCTImageStorage
    ds.NumberOfFrames = len(positions)
    ds.SharedFunctionalGroupsSequence = [
        group(
            PlaneOrientationSequence={"ImageOrientationPatient": AXIAL},
            PixelMeasuresSequence={"PixelSpacing": [0.7, 0.6], "SliceThickness": 3},
            FrameVOILUTSequence={"WindowCenter": 35, "WindowWidth": 90},
        )
    ]
    ds.PerFrameFunctionalGroupsSequence = [
        group(
            PlanePositionSequence={"ImagePositionPatient": [0, 0, z]},
            PixelValueTransformationSequence={
                "RescaleSlope": (slopes or [1.0] * len(positions))[i],
                "RescaleIntercept": -1024,
                "RescaleType": "HU",
            },
        )
        for i, z in enumerate(positions)
    ]
    return ds


def group(**macros: dict[str, Any]) -> Dataset:
    """A functional group item of one-item sequences."""
    item = Dataset()
    for name, values in macros.items():
        inner = Dataset()
        for keyword, value in values.items():
            setattr(inner, keyword, value)
        setattr(item, name, [inner])
    return item
