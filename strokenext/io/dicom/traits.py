"""What tells the images of one series from those of another: patient, study, reconstruction, phase; nothing that names.

Identifiers go through a keyed hash whose key lives and dies with the process: two can be compared, none read.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset

from strokenext.types import Caution

from . import contrast, numbers
from .kernel import KernelKind, kind

_KEY = secrets.token_bytes(32)


@dataclass(frozen=True)
class Traits:
    """Facts of one frame by which series are told apart. Strings are hashes unless their line says otherwise."""

    patient: str  # with the study
    study: str  # with the patient; "" where neither is stated
    series: str
    reference: str  # frame of reference
    kernel: KernelKind  # in plain words
    reconstruction: str  # the kernel's own name
    description: str
    image_type: str
    contrast: bool | None
    agent: str
    energy: float | None  # kV
    phase: float | None  # temporal position
    acquisition: float | None  # number
    time: str  # of the acquisition
    image: str  # the SOP instance


def traits(ds: Dataset, index: int) -> Traits:
    """The traits of frame `index`."""
    here = layers(ds, index)
    kernel, description = text(here, "ConvolutionKernel"), text(here, "SeriesDescription")
    patient = [text(here, k) for k in ("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate")]
    study = text(here, "StudyInstanceUID")
    words = " ".join((description, text(here, "ProtocolName")))
    return Traits(
        patient=_hash("patient", *patient),
        study=_hash("study", *patient, study),
        series=_hash("series", text(here, "SeriesInstanceUID")),
        reference=_hash("reference", text(here, "FrameOfReferenceUID")),
        kernel=kind(kernel, description),
        reconstruction=_hash("kernel", kernel.upper()),
        description=_hash("description", description),
        image_type=_hash("image type", text(here, "FrameType") or text(here, "ImageType")),
        contrast=_contrast(here, words),
        agent=_hash("agent", text(here, "ContrastBolusAgent").upper()),
        energy=number(here, "KVP"),
        phase=_first_number(here, "TemporalPositionIndex", "TemporalPositionIdentifier", "TriggerTime"),
        acquisition=_first_number(here, "FrameAcquisitionNumber", "AcquisitionNumber"),
        time=_hash("time", text(here, "FrameAcquisitionDateTime") or text(here, "AcquisitionTime")),
        image=_hash("image", text(here, "SOPInstanceUID")),
    )


def cautions(known: Traits) -> tuple[Caution, ...]:
    """What the traits of one image say against an answer about it."""
    found = []
    if known.kernel == "bone":
        found.append(
            Caution(
                "bone-kernel", "This is a sharp (bone) reconstruction; the models were trained on soft-tissue ones."
            )
        )
    if known.contrast:
        found.append(
            Caution("contrast", "The file says that contrast medium was given; the models are meant for CT without it.")
        )
    return tuple(found)


def layers(ds: Dataset, index: int) -> tuple[Dataset, ...]:
    """Where to look for a value of a frame: every functional group of its own, the shared ones, the data set."""
    per_frame, shared = ds.get("PerFrameFunctionalGroupsSequence"), ds.get("SharedFunctionalGroupsSequence")
    found: list[Dataset] = []
    for group in (per_frame[index] if per_frame and index < len(per_frame) else None, shared[0] if shared else None):
        if group is not None:
            found.extend(element.value[0] for element in group if element.VR == "SQ" and element.value)
    return (*found, ds)


def text(here: tuple[Dataset, ...], keyword: str) -> str:
    """The value of the first layer that has one, as stripped text; several values with backslashes between them."""
    for layer in here:
        try:
            value: Any = layer.get(keyword)
        except (ValueError, KeyError, TypeError, NotImplementedError):
            continue
        if value in (None, "", []):
            continue
        several = isinstance(value, list | tuple) or type(value).__name__ == "MultiValue"
        return ("\\".join(str(v).strip() for v in value) if several else str(value)).strip().strip("\0").strip()
    return ""


def number(here: tuple[Dataset, ...], keyword: str) -> float | None:
    """The first number under the keyword in any layer; None without one."""
    return next((n for n in (numbers.number(layer, keyword) for layer in here) if n is not None), None)


def _first_number(here: tuple[Dataset, ...], *keywords: str) -> float | None:
    return next((n for n in (number(here, keyword) for keyword in keywords) if n is not None), None)


def _contrast(here: tuple[Dataset, ...], words: str) -> bool | None:
    agents = [text(here, "ContrastBolusAgent")]
    routes = [text(here, "ContrastBolusRoute")]
    for layer in here:
        for item in layer.get("ContrastBolusAgentSequence") or ():
            agents.append(text((item,), "CodeMeaning") or text((item,), "CodeValue"))
            routes += [text((r,), "CodeMeaning") for r in item.get("ContrastBolusAdministrationRouteSequence") or ()]
    used = {text(here, "ContrastBolusAgentAdministered").upper()}
    if used == {"NO"}:
        return False
    return contrast.given(tuple(agents), tuple(routes), words)


def _hash(what: str, *values: str) -> str:
    """A keyed hash; "" when every value is empty."""
    if not any(values):
        return ""
    return hashlib.blake2b("\0".join((what, *values)).encode("utf-8", "replace"), key=_KEY, digest_size=12).hexdigest()
