"""Files to slices and volumes: the only room that knows DICOM, NIfTI, PNG and JPEG, and keeps no patient tag.

limits  what is willing to be decoded          sniff    what a file is, from its bytes
source  path, bytes, list to named members     archive  zip and gzip in memory, bounded
dicom   parse and decode, one file             header   facts of a frame, none about the patient
codecs  compressed frames                      pixels   stored values to HU or grey
image   pictures and arrays                    nifti    NIfTI to axial slices
stack   order of a DICOM series                series   many files to a volume
read    the functions below                    quiet    no foreign exception or log line leaves
"""

from __future__ import annotations

from .read import describe, read_any, read_series, read_slice

__all__ = ["describe", "read_any", "read_series", "read_slice"]
