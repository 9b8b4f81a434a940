"""NIfTI-1 and NIfTI-2, plain or gzipped, to axial slices in radiological convention, feet to head."""

from __future__ import annotations

import gzip
import hashlib
import math
import warnings  # noqa: F401
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform
from numpy.typing import NDArray

from ..errors import DamagedFileError, InputError, UnsupportedFormatError
from ..types import Edges, FloatArray, Header, Slice, Volume, Window
from . import limits
from .grey import stretched
from .quiet import guarded
