"""What each route takes and answers. Unknown fields of an answer pass through; the named ones are promised."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from strokenext import CautionCode, words


def _empty_is_none(value: object) -> object:
    return None if value == "" else value


class PredictForm(BaseModel):
    """The options of POST /predict, as form fields or query parameters."""

    model_config = ConfigDict(extra="forbid")

    task: Literal["presence", "subtype", "triage"] = Field("presence", description="The question to answer.")
    threshold: Annotated[float | None, BeforeValidator(_empty_is_none)] = Field(
        None,
        ge=0,
        le=1,
        description="Operating threshold of the positive class instead of the model's own; with 0.05 "
        "the class is 'stroke' as soon as the probability of stroke exceeds 0.05, as in the classic stroke API.",
    )
    explain: bool = Field(True, description="Compute the evidence map.")
    overlay: bool = Field(False, description="Also answer the picture with its evidence as a base64 PNG.")
    segment: bool = Field(
        False, description="Also mark lesions on the image, and measure them in a series; needs a segmentation model."
    )
    force: bool = Field(False, description="Answer even where the image is outside the model's scope.")


class Answer(BaseModel):
    """A base that keeps what the library adds to its own JSON."""

    model_config = ConfigDict(extra="allow", populate_by_name=True, serialize_by_alias=True)


class GateOut(Answer):
    """Whether the model may judge this image, and the sentence why not."""

    accepted: bool
    reason: str
    code: str


class CautionOut(Answer):
    """Something about the input that may have changed an answer; `sentence` is for the reader."""

    code: CautionCode
    sentence: str


class PredictionOut(Answer):
    """One judged image. Where it is outside the model's scope the numbers are null and `gate.reason` says why."""

    task: Literal["presence", "subtype"]
    input: dict[str, Any]
    label: str | None
    probabilities: dict[str, float] | None
    probability: float | None = Field(description="Calibrated probability of the positive class.")
    decision: str = Field(description="A class name, 'indeterminate' or 'refused'.")
    threshold: float
    band: tuple[float, float]
    interval: tuple[float, float] | None
    logit: float | None
    gate: GateOut
    heat: dict[str, Any] | None
    provenance: dict[str, Any]
    cautions: list[CautionOut]


class VolumeOut(Answer):
    """A whole series at once, by the volume model. Where too few slices may be judged the numbers are null and
    `gate.reason` says why."""

    task: Literal["presence", "subtype"]
    label: str | None
    probabilities: dict[str, float] | None
    probability: float | None = Field(description="Calibrated probability of the positive class for the series.")
    decision: str = Field(description="A class name, 'indeterminate' or 'refused'.")
    threshold: float
    band: tuple[float, float]
    interval: tuple[float, float] | None
    logit: float | None
    gate: GateOut
    planes: int = Field(description="How many planes the model saw in place of the slices.")
    judged: int = Field(description="How many slices the scope gate accepts.")
    peak: int | None = Field(description="Index of the slice with the highest evidence.")
    heat: dict[str, Any] | None
    provenance: dict[str, Any]
    cautions: list[CautionOut]


class RegionOut(Answer):
    """What is marked as one class; `says` is what a mark of it means."""

    name: str
    says: str
    pixels: int
    area_mm2: float | None = Field(description="Null where the file states no pixel spacing.")
    diameter_mm: float | None = Field(description="The longest line within one part; null without pixel spacing.")
    parts: int = Field(description="Connected parts.")
    box: tuple[int, int, int, int] | None = Field(description="x, y, width, height in pixels around all of it.")
    threshold: float
    peak_probability: float


class ExtentOut(Answer):
    """How large one class is in a series; `slices` are the indices of those on which it is marked."""

    name: str
    volume_ml: float | None = Field(description="Null where the files state no positions or no pixel spacing.")
    diameter_mm: float | None
    slices: list[int]


class SegmentationOut(Answer):
    """Marked regions of one slice; `regions` is null where the image is outside the model's scope."""

    classes: list[str]
    gate: GateOut
    regions: list[RegionOut] | None
    labels: str | None = Field(description="Base64 PNG, as large as the image: 0 nothing, 1 first class, 2 second.")
    slice: int | None = Field(description="Of a series: index of the slice that these regions are of, its peak.")
    extents: list[ExtentOut] | None = Field(description="Of a series: how large each class is in all of it.")
    looked_at: int | None = Field(description="Of a series: how many slices were looked at.")
    provenance: dict[str, Any]
    cautions: list[CautionOut]


class Common(Answer):
    """What every answer of POST /predict begins with, whatever the task."""

    class_: str | None = Field(alias="class", description="The more probable side of the threshold; null if refused.")
    confidence: float | None = Field(description="The calibrated probability of that class, 0..1.")
    decision: str
    notice: str = words.NOTICE
    cautions: list[CautionOut] = Field(description="What may have changed any of the answers in this reply, once each.")
    overlay: str | None = Field(None, description="Base64 PNG, when asked for.")
    segmentation: SegmentationOut | None = Field(None, description="When asked for with `segment`.")


class SliceAnswer(PredictionOut, Common):
    """Answer for one image and one question."""


class TriageAnswer(Common):
    """Presence first; `subtype` is null unless presence is positive or indeterminate."""

    task: Literal["triage"]
    presence: PredictionOut
    subtype: PredictionOut | None


class OtherSeriesOut(Answer):
    """A series that was sent as well and is not the one that this answer is about."""

    study: int = Field(description="Counted from 1; 0 where the files state none.")
    series: int
    description: str
    images: int


class LeftOutOut(Answer):
    """A file that is not in the series that was judged."""

    name: str
    reason: str


class SeriesAnswer(Common):
    """Answer for a series: `slices` holds one prediction each, from the feet to the head."""

    task: Literal["presence", "subtype", "triage"]
    slices: list[PredictionOut]
    peak: int | None = Field(description="Index in `slices` of the slice with the highest probability.")
    probability: float | None
    subtype: PredictionOut | None = Field(None, description="Triage only: of the peak slice.")
    volume: VolumeOut | None = Field(None, description="Of the volume model, null where none is loaded.")
    others: list[OtherSeriesOut] = Field(description="Other series among the files; one alone is judged.")
    left_out: list[LeftOutOut] = Field(description="Every file that is not in the series judged, with the reason.")


class Health(Answer):
    """State of the service. Answered with 200 while models load, so that a host sees the page is up."""

    status: Literal["loading", "ready", "degraded", "failed"] = Field(
        description="degraded: presence is answered, another question is not; the message says which."
    )
    ready: bool
    message: str
    models: dict[str, bool]
    architectures: dict[str, str] = Field(description="Question to the architecture that answers it, once loaded.")
    device: str
    version: str


class Models(Answer):
    """The architectures that can be built, and the models the repository brings along."""

    zoo: list[dict[str, Any]]
    bundled: list[dict[str, Any]]


class ErrorBody(BaseModel):
    """A machine name and a sentence for a person."""

    code: str
    message: str


class Problem(BaseModel):
    """Every error of every route has this shape."""

    error: ErrorBody
