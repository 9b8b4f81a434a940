"""What a file is, told from its first bytes; its name is never looked at."""

from __future__ import annotations

from strokenext.errors import InputError, UnsupportedFormatError

#: Bytes that `sniff` wants to see, enough for every magic number below.
HEAD = 400

_IMAGES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"BM", "bmp"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "jpeg2000"),
    (b"\xff\x4f\xff\x51", "jpeg2000"),
)
#: Kinds that `image.read` understands.
IMAGE_KINDS = frozenset({kind for _, kind in _IMAGES} | {"webp"})

#: Offset, magic number and name of what is refused.
_FOREIGN: tuple[tuple[int, bytes, str], ...] = (
    (0, b"%PDF", "a PDF document"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"\xfd7zXZ\x00", "an XZ archive"),
    (0, b"BZh", "a bzip2 archive"),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (0, b"NRRD", "an NRRD file"),
    (0, b"ObjectType", "a MetaImage header"),
    (0, b"\x89HDF", "an HDF5 or MINC file"),
    (0, b"\x93NUMPY", "a NumPy file"),
    (0, b"\x80\x04\x95", "a Python pickle"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a program"),
    (0, b"<!DOCTYPE", "a web page"),
    (0, b"<html", "a web page"),
    (0, b"<svg", "an SVG drawing"),
    (0, b"<?xml", "an XML document"),
    (0, b"{", "a text file"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"\xff\x0a", "a JPEG XL picture, which is not read here"),
    (0, b"\x00\x00\x00\x0cJXL ", "a JPEG XL picture, which is not read here"),
    (0, b"II\xbc\x01", "a JPEG XR picture, which is not read here"),
    (4, b"ftypavi", "an AVIF picture, which is not read here"),
    *(
        (4, b"ftyp" + brand, "a HEIC photograph, which is not read here")
        for brand in (b"hei", b"hev", b"mif1", b"msf1")
    ),
    (4, b"ftyp", "a video"),
    (257, b"ustar", "a tar archive"),
    (344, b"ni1\x00", "the header half of a NIfTI pair"),
)


def sniff(data: bytes) -> str:
    """The kind of a file: "dicom", "nifti", "gzip", "zip", an image kind, or "" when not one of these."""
    if data[128:132] == b"DICM":
        return "dicom"
    for magic, kind in _IMAGES:
        if data.startswith(magic) and (kind != "bmp" or data[6:10] == bytes(4)):  # two letters alone say little
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return "zip"
    if data[:2] == b"\x1f\x8b":
        return "gzip"
    if _is_nifti(data):
        return "nifti"
    return "dicom" if _is_bare_dicom(data) else ""


def _is_nifti(data: bytes) -> bool:
    """NIfTI-1 (header of 348 bytes, magic at 344) or NIfTI-2 (540, magic at 4), single file."""
    header = {int.from_bytes(data[:4], "little"), int.from_bytes(data[:4], "big")}
    return (348 in header and data[344:348] == b"n+1\x00") or (540 in header and data[4:8] == b"n+2\x00")


def _is_bare_dicom(data: bytes) -> bool:
    """DICOM without preamble: begins with an element of group 0002 or 0008 of a believable length."""
    if len(data) < 16:
        return False
    if data[:2] in (b"\x00\x02", b"\x00\x08") and data[4:6].isalpha():  # explicit big-endian
        return data[4:6].isupper()
    if data[:2] not in (b"\x02\x00", b"\x08\x00") or data[3] != 0:
        return False
    if data[4:6].isalpha() and data[4:6].isupper():  # explicit: a value representation such as "UI"
        return True
    length = int.from_bytes(data[4:8], "little")  # implicit: a 32-bit length
    return length == 0xFFFFFFFF or length <= 1024


def foreign(data: bytes) -> InputError:
    """The error for a file that `sniff` did not know, naming what it is where that can be told."""
    if not data:
        return InputError("This file is empty. Copy it again from its source.")
    if not data.strip(b"\x00"):
        return InputError("This file holds nothing but zeros. Copy it again from its source.")
    named = next((name for at, magic, name in _FOREIGN if data.startswith(magic, at)), None)
    what = f"is {named}" if named else "is not a kind of image that is known here"
    return UnsupportedFormatError(f"This file {what}. Give a DICOM, PNG, JPG or NIfTI file, or a zip of them.")
