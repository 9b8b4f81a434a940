"""Broken and hostile files: always a value or one of our errors, within limits, and never a foreign exception."""

from __future__ import annotations

import gzip
import logging
import threading
import time
import warnings
import zipfile
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import uid
from pydicom.datadict import tag_for_keyword

from strokenext.errors import (
    DamagedFileError,
    InputError,
    NotFoundError,
    StrokeNeXtError,
    TooLargeError,
    UnsupportedFormatError,
)
from strokenext.io import limits
from strokenext.io.read import read_any, read_series, read_slice
from strokenext.types import Slice, Volume
from tests.helpers import dicom_files as made
from tests.strokenext.io.test_resemblance import head, png_of
from tests.strokenext.io.test_series import packed, png
from tests.strokenext.io.test_table import nifti

FILES: dict[str, bytes] = {
    "explicit": made.to_bytes(made.ct()),
    "implicit": made.to_bytes(made.ct(), uid.ImplicitVRLittleEndian, preamble=False),
    "deflated": made.to_bytes(made.ct(), uid.DeflatedExplicitVRLittleEndian),
    "enhanced": made.to_bytes(made.enhanced([1.0, 2.0, 3.0])),
    "nifti": nifti("RAS"),
    "nifti.gz": gzip.compress(nifti("LPS")),
    "png": png(80),
    "zip": packed({"a.dcm": made.to_bytes(made.ct()), "b.png": png(3)}),
} | {
    uid.UID(syntax).name: made.compressed(made.ct(), syntax, [made.encode(made.head(), syntax)])
    for syntax in (
        uid.RLELossless,
        uid.JPEGLosslessSV1,
        uid.JPEGExtended12Bit,
        uid.JPEGLSLossless,
        uid.JPEG2000Lossless,
    )
}
for _kind in ("JPEG", "TIFF", "BMP", "WEBP"):
    _target = BytesIO()
    Image.fromarray(made.head().astype(np.uint8)).save(_target, _kind)
    FILES[_kind] = _target.getvalue()


DESCRIPTION = ["Rows", "Columns", "BitsAllocated", "BitsStored", "SamplesPerPixel", "PixelRepresentation", "HighBit"]
NUMBERS = [
    "NumberOfFrames",
    "RescaleSlope",
    "RescaleIntercept",
    "PixelSpacing",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "WindowWidth",
    "WindowCenter",
    "InstanceNumber",
    "SliceThickness",
]


def holds(data: bytes, read: Callable[[bytes], object] = read_any) -> None:
    """The reader gives a value with finite pixels or our own error with a short sentence, in a few seconds of work."""
    start = time.process_time()
    try:
        found = read(data)
    except InputError as error:
        found, said = None, str(error)
    assert time.process_time() - start < 10
    if found is None:
        assert said[0].isupper()
        assert said.endswith(".")
        assert len(said) < 300
        return
    assert isinstance(found, Slice | Volume)
    for image in found if isinstance(found, Volume) else (found,):
        assert np.isfinite(image.pixels).all()


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=15, deadline=None)
@given(cut=st.floats(0, 1))
def test_truncated(name: str, cut: float) -> None:
    holds(FILES[name][: int(cut * len(FILES[name]))])


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=25, deadline=None)
@given(flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=12))
def test_flipped_bits(name: str, flips: list[tuple[float, int]]) -> None:
    data = bytearray(FILES[name])
    for number, (where, bits) in enumerate(flips):
        span = len(data) if number % 2 else min(len(data), 2500)  # every other one in the header
        data[int(where * span)] ^= bits
    holds(bytes(data))


@settings(max_examples=60, deadline=None)
@given(
    data=st.binary(max_size=600),
    magic=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"PK\x03\x04", b"\x1f\x8b\x08", b"II*\0"]),
)
def test_arbitrary_bytes(data: bytes, magic: bytes) -> None:
    holds(magic + data)
    holds(bytes(128) + b"DICM" + data)
    holds(data, read_slice)


@settings(max_examples=60, deadline=None)
@given(
    keyword=st.sampled_from(DESCRIPTION),
    value=st.integers(0, 65535),
)
def test_absurd_image_description(keyword: str, value: int) -> None:
    ds = made.ct()
    setattr(ds, keyword, value)
    holds(made.to_bytes(ds))


@settings(max_examples=60, deadline=None)
@given(
    keyword=st.sampled_from(NUMBERS),
    value=st.sampled_from(["NaN", "inf", "1e400", "-1", "0", "abc", "", "1\\2", "9" * 16, "1\\2\\3\\4\\5\\6"]),
)
def test_absurd_numbers(keyword: str, value: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = made.ct()
        ds.pop(keyword, None)
        ds.add_new(tag_for_keyword(keyword), "LO", value)  # written as text, whatever it should have been
        data = made.to_bytes(ds)
    holds(data)
    holds(data, read_series)


# --- sizes and bombs --------------------------------------------------------------------------------------


def test_declared_pixels_beyond_the_file_are_refused_before_decoding() -> None:
    ds = made.ct(Rows=8000, Columns=8000)
    with pytest.raises(DamagedFileError):
        read_slice(made.to_bytes(ds))
    with pytest.raises(TooLargeError):
        read_slice(made.to_bytes(made.ct(Rows=65535, Columns=65535)))
    with pytest.raises(TooLargeError):
        read_series(made.to_bytes(made.ct(NumberOfFrames=100_000)))
    with pytest.raises(DamagedFileError):
        read_series(made.to_bytes(made.ct(NumberOfFrames=1500)))


def test_code_stream_of_another_size_is_refused() -> None:
    """The code stream says 4096 x 4096, the header 64 x 64: pydicom would let the decoder allocate it."""
    big = made.encode(np.zeros((4096, 4096), np.uint16), uid.JPEG2000Lossless)
    with pytest.raises(DamagedFileError):
        read_slice(made.compressed(made.ct(), uid.JPEG2000Lossless, [big]))


def test_rle_bomb() -> None:
    run = b"\x81\0" * 2_000_000  # 258 MB of zeros
    header = np.array([2, 64, 64 + len(run), *[0] * 13], "<u4").tobytes()
    with pytest.raises(DamagedFileError):
        read_slice(made.compressed(made.ct(), uid.RLELossless, [header + run + run]))


def test_deflated_dicom_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_FILE", 10 * limits.MIB)
    plain = made.to_bytes(made.ct(), uid.DeflatedExplicitVRLittleEndian)
    start = plain.index(b"1.2.840.10008.1.2.1.99") + 22
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = packer.compress(bytes(40 * limits.MIB)) + packer.flush()
    with pytest.raises(TooLargeError):
        read_slice(plain[:start] + bomb)


def test_gzip_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_FILE", 10 * limits.MIB)
    with pytest.raises(TooLargeError):
        read_any(gzip.compress(bytes(40 * limits.MIB)))


def test_gzipped_nifti_is_inflated_no_further_than_its_header_declares() -> None:
    volume = read_any(gzip.compress(nifti("RAS") + bytes(40 * limits.MIB)))
    assert isinstance(volume, Volume)
    assert len(volume) == 10


def test_nifti_that_declares_more_than_there_is() -> None:
    data = bytearray(nifti("RAS"))
    data[42:48] = np.array([30000, 30000, 30000], "<i2").tobytes()
    with pytest.raises(TooLargeError):
        read_any(bytes(data))
    data[42:48] = np.array([100, 100, 100], "<i2").tobytes()
    with pytest.raises(DamagedFileError):
        read_any(bytes(data))


def test_picture_bomb_is_refused_by_its_declared_size() -> None:
    target = BytesIO()
    Image.new("1", (20_000, 20_000)).save(target, "PNG")  # 50 kB
    with pytest.raises(TooLargeError):
        read_slice(target.getvalue())


def test_zip_bombs(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TooLargeError, match="unpack to"):
        read_series(packed({f"{n}": bytes(17 * limits.MIB) for n in range(4)}))
    monkeypatch.setattr(limits, "MAX_MEMBERS", 10)
    with pytest.raises(TooLargeError, match="more than 10 files"):
        read_series(packed({str(n): b"x" for n in range(11)}))


def test_zip_member_that_lies_about_its_size() -> None:
    data = bytearray(packed({"a": made.to_bytes(made.ct())}))
    at = data.rindex(b"PK\x01\x02") + 24
    data[at : at + 4] = (5000).to_bytes(4, "little")
    with pytest.raises(DamagedFileError):
        read_series(bytes(data))


def test_zip_kinds_that_are_refused_by_name() -> None:
    encrypted = bytearray(packed({"a": b"abc"}))
    for magic, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        encrypted[encrypted.index(magic) + at] |= 1
    with pytest.raises(UnsupportedFormatError, match="encrypted"):
        read_series(bytes(encrypted))
    with pytest.raises(UnsupportedFormatError, match="rare compression"):
        read_series(packed({"a": b"abc" * 99}, zipfile.ZIP_LZMA))
    with pytest.raises(UnsupportedFormatError, match="office document"):
        read_series(packed({"[Content_Types].xml": b"<a/>", "word/document.xml": b"<b/>"}))
    with pytest.raises(InputError, match="not opened"):
        read_series(packed({"inner.zip": packed({"a": b"b"})}))
    with pytest.raises(InputError, match="holds no files"):
        read_series(packed({}))


def test_member_paths_never_touch_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    volume = read_series(packed({"../../evil.dcm": made.to_bytes(made.ct()), "/etc/evil.dcm": b"x" * 50}))
    assert len(volume) == 1
    assert [item.name for item in volume.left_out] == ["evil.dcm"]
    assert list(tmp_path.rglob("*")) == []


def test_total_voxels_of_a_series(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_VOXELS", 3 * made.SIDE**2)
    files = [made.to_bytes(made.ct(ImagePositionPatient=[0, 0, z])) for z in range(4)]
    with pytest.raises(TooLargeError):
        read_series(files)
    with pytest.raises(TooLargeError):
        read_series([png_of(head(1, n / 9, made.SIDE)) for n in range(4)])


# --- sentences --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "kind", "words"),
    [
        (b"", InputError, "empty"),
        (bytes(900), InputError, "zeros"),
        (b"%PDF-1.7 " * 9, UnsupportedFormatError, "PDF"),
        (b"\0\0\0\x18ftypheic" + bytes(90), UnsupportedFormatError, "HEIC"),
        (b"Dear colleague, " * 9, UnsupportedFormatError, "not a kind of image"),
        ("/nowhere/at/all.dcm", NotFoundError, "no file or folder"),
        ("bad\0path", NotFoundError, "no file"),
        ("https://example.org/a.dcm", NotFoundError, "network"),
        (["a", "b"], InputError, "read_series"),
        (42, InputError, "int"),
        (BytesIO(b"zip").read, InputError, "builtin"),
    ],
)
def test_sentences(source: object, kind: type[StrokeNeXtError], words: str) -> None:
    with pytest.raises(kind, match=words):
        read_slice(source)  # type: ignore[arg-type]


def test_name_is_put_before_the_sentence() -> None:
    with pytest.raises(DamagedFileError, match=r"^scan\.dcm: This"):
        read_slice(FILES["explicit"][:600], name="/home/DOE^JOHN/scan.dcm")


def test_folders_and_archives_are_pointed_to_read_series(tmp_path: Path) -> None:
    for source in (tmp_path, FILES["zip"]):
        with pytest.raises(InputError, match="read_series"):
            read_slice(source)
    with pytest.raises(InputError, match="no files"):
        read_series(tmp_path)


def test_documents_in_dicom_are_refused() -> None:
    ds = made.ct(Rows=None, Columns=None, SOPClassUID=uid.EncapsulatedPDFStorage)
    ds.file_meta.MediaStorageSOPClassUID = uid.EncapsulatedPDFStorage
    with pytest.raises(InputError, match="Encapsulated PDF"):
        read_slice(made.to_bytes(ds))


# --- a good neighbour -------------------------------------------------------------------------------------


def test_threads_read_the_same_pixels_and_leave_warnings_and_logging_as_they_were() -> None:
    filters, results, errors = list(warnings.filters), [], []
    names = ("explicit", "deflated", uid.RLELossless.name, uid.JPEG2000Lossless.name, uid.JPEGLosslessSV1.name)

    def work(name: str) -> None:
        try:
            results.extend(float(read_slice(FILES[name]).pixels[20, 30]) for _ in range(8))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in names for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert results == [76.0] * (8 * len(threads))
    assert list(warnings.filters) == filters
    assert logging.getLogger("pydicom").isEnabledFor(logging.WARNING)


def test_pydicoms_own_messages_still_reach_others(caplog: pytest.LogCaptureFixture) -> None:
    read_slice(FILES["explicit"])
    logging.getLogger("pydicom").warning("of another user of pydicom")
    assert "of another user" in caplog.text


def test_importing_the_room_is_light() -> None:
    import subprocess
    import sys

    heavy = "{'pydicom', 'PIL', 'nibabel', 'torch', 'imagecodecs'}"
    code = f"import sys, strokenext.io; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
