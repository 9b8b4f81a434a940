"""Convolution kernels to soft, bone or unknown, by the vendors' own names and by plain words.

Siemens names a family and a sharpness ("H30s", "J40s", "Hr60"), GE a tissue ("STANDARD", "BONEPLUS"), Philips a letter
("UB", "D"), Canon and Toshiba a number of their list ("FC21"). The names are those in common use, not checked against
the vendors' manuals; what stands between soft and bone (GE DETAIL, Philips C) stays unknown: it loses to soft and wins
over bone.
"""

from __future__ import annotations

import re
from typing import Literal

KernelKind = Literal["soft", "bone", "unknown"]

#: Siemens: family letters, sharpness of two digits, variant; "I" and "J" are iterative. From 50 on edges are sharpened.
_SIEMENS = re.compile(r"(?<![A-Z0-9])(?:[ABCDHIJQSTU]|[BHSUQ][CFLPRVAN])\s?(\d\d)[A-Z]{0,2}(?![A-Z0-9])")
_SIEMENS_SHARP = 50
#: Canon and Toshiba: ranges of FC numbers for abdomen, brain, and head with beam hardening correction; else edges.
_CANON = re.compile(r"(?<![A-Z])FC\s?(\d\d?)(?!\d)")
_CANON_SOFT = (range(0, 30), range(40, 50), range(60, 70))
_CANON_SHARP = (range(30, 40), range(50, 60), range(80, 100))
_PHILIPS = {"soft": {"A", "B", "UA", "UB", "UC", "EA", "EB"}, "bone": {"D", "E", "L", "UD", "UE", "ED", "EE", "F"}}
_PHILIPS_SHARP_FAMILY = re.compile(r"Y[A-E]")
_BONE_WORDS = re.compile(
    r"BONE|BONY|KNOCHEN|\bOSS?(EUX|EUSE|EA|EO|EI|SO|A)?\b|HUESO|KEMIK|\bBOT\b|SHARP|\bEDGE|LUNG|INNER ?EAR|PETROUS"
    r"|TEMPORAL|\bULTRA\b|HIGH ?RES|\bHRCT\b|ROCHER|FELSENBEIN"
)
_SOFT_WORDS = re.compile(
    r"SOFT|STANDARD|\bSTA?N?D\b\+?|BRAIN|HIRN|CEREBR|CEREB|PARENCH|SMOOTH|TISSUE|WEICH|NEURO|\bTEJIDO|\bMOU\b|BEYIN"
)
#: Between soft and bone.
_BETWEEN = frozenset({"DETAIL", "C", "EC", "CHST", "CHEST"})


def kind(kernel: str, description: str = "") -> KernelKind:
    """Soft, bone or unknown: by the stated kernel, else by the words and codes of the series' description."""
    name = kernel.strip().upper()
    told = _of_kernel(name)
    return told if told != "unknown" or name in _BETWEEN else _of_text(description)


def _of_kernel(name: str) -> KernelKind:
    """By a value of ConvolutionKernel (DICOM (0018,1210)), upper case."""
    if name in _PHILIPS["soft"]:
        return "soft"
    if name in _PHILIPS["bone"] or _PHILIPS_SHARP_FAMILY.fullmatch(name):
        return "bone"
    return _of_text(name)


def _of_text(text: str) -> KernelKind:
    """By a vendor's code within a text, else by a word of it; both words together say nothing."""
    text = text.upper().replace("_", " ").replace("\\", " ")
    if number := _CANON.search(text):
        value = int(number[1])
        sharp, soft = (any(value in r for r in ranges) for ranges in (_CANON_SHARP, _CANON_SOFT))
        return "bone" if sharp else "soft" if soft else "unknown"
    if number := _SIEMENS.search(text):
        return "bone" if int(number[1]) >= _SIEMENS_SHARP else "soft"
    bone, soft = bool(_BONE_WORDS.search(text)), bool(_SOFT_WORDS.search(text))
    return "unknown" if bone == soft else "bone" if bone else "soft"
