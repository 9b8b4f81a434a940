"""Images are counted before they are decoded: small files that hold very many cost no minutes."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from PIL import Image, TiffImagePlugin
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

import strokenext
from strokenext.errors import TooLargeError
from strokenext.io import limits
from strokenext.io.dicom import decode as dicom


def pages(count: int) -> bytes:
    """A TIFF of so many small pages."""
    made = [Image.new("L", (4, 4), number % 255) for number in range(count)]
    buffer = io.BytesIO()
    made[0].save(buffer, "TIFF", save_all=True, append_images=made[1:])
    return buffer.getvalue()


def frames(count: int) -> bytes:
    """A CT file of so many frames of 2 x 2 pixels."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = CTImageStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.Modality, ds.RescaleSlope, ds.RescaleIntercept, ds.PhotometricInterpretation = "CT", 1, -100, "MONOCHROME2"
    ds.Rows = ds.Columns = 2
    ds.NumberOfFrames, ds.SamplesPerPixel, ds.PixelRepresentation = count, 1, 0
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit = 7
    ds.add_new("PixelData", "OB", bytes(4 * count))
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> Iterator[list[None]]:
    calls: list[None] = []
    real = getattr(owner, name)

    def call(*arguments: object, **more: object) -> object:
        calls.append(None)
        return real(*arguments, **more)

    monkeypatch.setattr(owner, name, call)
    yield calls


def test_the_pages_of_a_tiff_are_walked_once(monkeypatch):
    """Finding page after page from the first one takes two million steps for 1,999 pages."""
    data = pages(300)
    with counted(monkeypatch, TiffImagePlugin.ImageFileDirectory_v2, "load") as loads:
        assert len(strokenext.read_any(data)) == 300
    assert len(loads) < 4 * 300


def test_many_files_of_many_frames_are_refused_without_decoding_or_reading_them_all(monkeypatch):
    one, buffer = frames(2000), io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(40):
            archive.writestr(f"{number}.dcm", one)
    assert len(buffer.getvalue()) < 50_000
    with (
        counted(monkeypatch, dicom, "slices") as decoded,
        counted(monkeypatch, dicom, "parse") as parsed,
        pytest.raises(TooLargeError, match="more than 10000 images"),
    ):
        strokenext.read_any(buffer.getvalue())
    assert not decoded
    assert len(parsed) <= limits.MAX_IMAGES // 2000 + 1
