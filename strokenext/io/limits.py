"""What the library is willing to decode, checked before memory is spent.

The limits leave room for every head CT (a 0.5 mm series is about 400 slices of 512 x 512) and stop
decompression bombs and whole-body scans. All refusals are TooLargeError with the limit in the sentence.
"""

from __future__ import annotations

from strokenext.errors import TooLargeError

MIB = 2**20

#: Bytes of one file, compressed or after the one inflation step its format has (gzip, deflated DICOM).
MAX_FILE = 512 * MIB
#: Bytes of a zip archive, and of all its members together once inflated.
MAX_ARCHIVE = 2048 * MIB
#: Files in a folder or members in an archive.
MAX_MEMBERS = 5000
#: Inflated over compressed size of a whole archive, looked at only above `RATIO_FLOOR` inflated bytes.
MAX_RATIO = 200
RATIO_FLOOR = 64 * MIB
#: Pixels of one image.
MAX_PIXELS = 64_000_000
#: Images of one series, or frames of one file.
MAX_FRAMES = 2000
#: Images in all files of a folder or archive together, counted before any is decoded.
MAX_IMAGES = 10_000
#: Voxels of one series: 1 GiB as float32.
MAX_VOXELS = 2**28


def check_file(size: int) -> None:
    """Raise TooLargeError when a file of `size` bytes is above `MAX_FILE`."""
    if size > MAX_FILE:
        raise TooLargeError(
            f"This file holds more than {MAX_FILE // MIB} MB, the most that is read. Give the head series alone."
        )


def check_image(rows: int, columns: int) -> None:
    """Raise TooLargeError when an image of that many rows and columns is above `MAX_PIXELS`."""
    if rows * columns > MAX_PIXELS:
        raise too_many_pixels()


def too_many_pixels() -> TooLargeError:
    """The error for an image above `MAX_PIXELS`."""
    return TooLargeError(
        f"This image declares more than {MAX_PIXELS // 10**6} million pixels, the most that is decoded. "
        "Give a single CT slice at its own resolution."
    )


def check_volume(frames: int, rows: int, columns: int) -> None:
    """Raise TooLargeError when a stack is above `MAX_FRAMES`, `MAX_PIXELS` per image or `MAX_VOXELS`."""
    check_image(rows, columns)
    if frames > MAX_FRAMES or frames * rows * columns > MAX_VOXELS:
        raise TooLargeError(
            f"This series declares {frames} images of {columns} x {rows} pixels, more than is read "
            f"({MAX_FRAMES} images, {MAX_VOXELS // 10**6} million voxels). Give the head alone, or thicker slices."
        )


def check_members(count: int) -> None:
    """Raise TooLargeError when a folder or archive holds more than `MAX_MEMBERS` files."""
    if count > MAX_MEMBERS:
        raise TooLargeError(
            f"This folder or archive holds more than {MAX_MEMBERS} files. Give the folder of the head series alone."
        )


def check_images(count: int) -> None:
    """Raise TooLargeError when all files together hold more than `MAX_IMAGES` images."""
    if count > MAX_IMAGES:
        raise TooLargeError(
            f"These files together declare more than {MAX_IMAGES} images, the most that is looked at. "
            "Give the head series alone."
        )


def check_voxels(count: int) -> None:
    """Raise TooLargeError when the images of a series together are above `MAX_VOXELS`."""
    if count > MAX_VOXELS:
        raise TooLargeError(
            f"These images together hold more than {MAX_VOXELS // 10**6} million pixels, the most that is read. "
            "Give fewer or smaller ones."
        )
