"""The forms in which labelled head CT comes, and the reader of each: a folder to images with labels.

Our own `slices.csv`, any tree with a label table, or class folders (TEKNOFEST 2021 in all its forms, Kaggle
Normal/Stroke, train/validation/test). No pixel is decoded here and no DICOM tag is read: patients come from folders,
tables and file names alone.
"""

from __future__ import annotations

from pathlib import Path

from strokenext.errors import DataError

from .class_folders import read_class_folders
from .label_table import read_labelled_tree
from .reading import Reading
from .slices_csv import TABLE, read_slices_csv


def read(name: str, folder: str | Path, labels: str | Path | None = None) -> Reading:
    """Read a folder under the source name given. `labels` is a CSV for a tree whose folders name no classes.

    Raises DataError when the folder does not exist or holds nothing that a reader understands.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DataError(f"There is no folder {root}. Give --source NAME=FOLDER.")
    if labels is not None:
        reading = read_labelled_tree(name, root, Path(labels))
    elif (root / TABLE).is_file():
        reading = read_slices_csv(name, root)
    else:
        reading = read_class_folders(name, root)
    if not reading.images:
        raise DataError(
            f"No labelled image was found in {root}. Expected slices.csv, class folders such as Normal and Stroke, "
            "or --labels with a table of files and labels."
        )
    return reading
