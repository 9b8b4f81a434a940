"""Files that end too early, in every transfer syntax: never other pixels, and never in the way of the whole file."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom import uid

from strokenext import errors, read_any, read_series, read_slice
from tests.helpers.dicom_files import compressed, ct, encode, head, to_bytes

PLAIN = (
    uid.ExplicitVRLittleEndian,
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)
PACKED = (
    uid.JPEGLossless, uid.JPEGLosslessSV1, uid.JPEGExtended12Bit, uid.JPEGLSLossless, uid.RLELossless,
    uid.JPEG2000Lossless, uid.HTJ2KLossless,
)  # fmt: skip
SYNTAXES = pytest.mark.parametrize("syntax", [*PLAIN, *PACKED], ids=lambda u: uid.UID(u).keyword)


def file(number: int, syntax: str) -> bytes:
    """A slice with pixels of its own."""
    pixels = head() + np.random.default_rng(number).integers(0, 9, head().shape).astype(np.int16)
    name = f"1.2.9.{number}"
    ds = ct(pixels, ImagePositionPatient=[0, 0, 5.0 * number], InstanceNumber=number + 1, SOPInstanceUID=name)
    ds.file_meta.MediaStorageSOPInstanceUID = name
    return to_bytes(ds, syntax) if syntax in PLAIN else compressed(ds, syntax, [encode(pixels, syntax)])


def lengths(whole: int) -> list[int]:
    """Every length near the end, and a hundred others: a half of the pixels, which may pass for 8 bits, among them."""
    return sorted({*range(whole - 24, whole), *np.linspace(600, whole, 100, endpoint=False).astype(int).tolist()})


@SYNTAXES
def test_what_is_cut_is_refused_or_complete(syntax):
    """Delimiters and padding at the end may be missing; a pixel may not."""
    data = file(1, syntax)
    whole, refused = read_slice(data).pixels, 0
    for length in lengths(len(data)):
        try:
            assert np.array_equal(read_slice(data[:length]).pixels, whole), length
        except errors.InputError:
            refused += 1
    assert refused >= 90


@pytest.mark.parametrize("syntax", [uid.JPEGLosslessSV1, uid.JPEGExtended12Bit])
def test_a_jpeg_without_its_end_marker_alone_is_whole(syntax):
    pixels = head()
    stream = encode(pixels, syntax)
    assert stream.endswith(b"\xff\xd9")
    with_end, without = (read_slice(compressed(ct(pixels), syntax, [s])).pixels for s in (stream, stream[:-2]))
    assert np.array_equal(with_end, without)


@SYNTAXES
@pytest.mark.parametrize("name", ["a.dcm", "z.dcm"])
@pytest.mark.parametrize("count", [1, 3])
def test_a_cut_copy_leaves_the_whole_file_in_its_place_and_is_accounted_for(tmp_path, syntax, name, count):
    """Before it and behind it in the folder, of a lone slice and within a series, cut in the header or the pixels."""
    files = [file(number, syntax) for number in range(count)]
    for number, data in enumerate(files):
        (tmp_path / f"m{number}.dcm").write_bytes(data)
    expected = [read_slice(data).pixels for data in files]
    last = files[-1]
    for share in (0.2, 0.5, 0.56, 0.8, 0.95):
        (tmp_path / name).write_bytes(last[: int(share * len(last))])
        volume = read_series(tmp_path)
        assert len(volume) == count
        for found, right in zip(volume, expected, strict=True):
            assert np.array_equal(found.pixels, right)
        assert [item.name for item in volume.left_out] == [name]
        assert "files-left-out" in [caution.code for caution in volume.cautions]
        assert read_any(tmp_path) is not None
