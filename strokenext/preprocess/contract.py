"""Slice to model input: one frozen, JSON-able contract used by training, evaluation and the page alike.

A slice becomes grey levels 0..1 (HU through the stored window; grey pictures as they are), is framed
(the head found, turned upright and cut to a square, or the whole picture padded to one), its brain
brought to one grey level, and stacked into three channels. No step depends on how the file was made,
so a picture from an unseen hospital arrives looking like the ones the model was trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from strokenext.errors import ModelError
from strokenext.types import BoolArray, FloatArray, Slice, Window
from strokenext.windows import grey01

from .contour import centring, contour_mask, cut_out, denoised
from .head import brain_level, find_head, rotation

if TYPE_CHECKING:
    from torch import Tensor

#: How a slice is framed and how its channels are stacked; what each means is said in `Preprocess`.
Frame = Literal["head", "square", "contour", "contour-in-place"]
Channels = Literal["stroke", "grey", "plain"]
FRAMES: tuple[Frame, ...] = get_args(Frame)
CHANNELS: tuple[Channels, ...] = get_args(Channels)
#: Room left around the head, as a share of its longer side.
MARGIN = 0.04
#: Grey level that the brain's median is brought to: 36 HU through the brain window 80/40.
BRAIN_LEVEL = 0.45
#: The brain may be brightened or darkened by this factor at the most; beyond it the picture is no brain window.
GAIN_LIMITS = (0.6, 6.0)
#: ImageNet statistics, for models that start from ImageNet weights (timm's default).
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A slice ready for the model.

    `pixels` is (3, S, S) float32; `affine` is (2, 3), from original pixel (x, y) to input pixel; `head`
    is (S, S); `window` is the one that HU went through, None for a picture without HU.
    """

    pixels: FloatArray
    affine: NDArray[np.float64]
    head: BoolArray
    window: Window | None


@dataclass(frozen=True)
class Framed:
    """The single-channel stage before channels are stacked: grey (S, S) float32 0..1, head mask, affine."""

    grey: FloatArray
    head: BoolArray
    affine: NDArray[np.float64]


@dataclass(frozen=True)
class Preprocess:
    """Everything that decides how pixels reach a model; stored in its config.json.

    `size`: side of the square input in pixels. `window`: (width, level) in HU. `frame`: "head" finds,
    turns and cuts the head and blacks out the rest; "square" pads the whole picture; "contour" is the
    TEKNOFEST preparation (noise removed, the head cut out along its contour and centred, not turned) and
    "contour-in-place" the same without centring, with the geometry of "square", for masks. `level`: bring
    the brain's median to BRAIN_LEVEL. `channels`: "stroke" stacks the brain window, a narrow window around the
    brain's own level and the difference to the mirrored side; "grey" repeats the picture three times
    with ImageNet statistics; "plain" repeats it as it is, 0..1.
    """

    size: int = 224
    window: tuple[float, float] = (80.0, 40.0)
    frame: Frame = "square"
    level: bool = False
    channels: Channels = "grey"

    def __post_init__(self) -> None:
        if not (isinstance(self.size, int) and 32 <= self.size <= 1024):
            raise ModelError(f"The preprocessing record has the input size {self.size!r}; it must be 32 to 1024.")
        if self.frame not in FRAMES or self.channels not in CHANNELS:
            raise ModelError("The preprocessing record names a frame or channels that this version does not know.")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self) | {"window": list(self.window)}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Preprocess:
        """Inverse of `to_dict`. Raises ModelError on unknown or missing keys: guessing would change pixels."""
        names = {f.name for f in fields(cls)}
        if not isinstance(record, dict) or set(record) != names:
            raise ModelError(f"The preprocessing record must have exactly the keys {', '.join(sorted(names))}.")
        width, level = record["window"]
        return cls(**(record | {"window": (float(width), float(level))}))

    def apply(self, image: Slice) -> Prepared:
        """The model input of one slice, with the way back to its pixels."""
        framed = self.framed(image)
        window = Window(*self.window) if image.unit == "HU" else None
        return Prepared(self.stack(framed), framed.affine, framed.head, window)

    def framed(self, image: Slice) -> Framed:
        """Grey levels in the model's frame; training caches this stage and augments from it."""
        grey = grey01(image, Window(*self.window))
        if image.padding is not None:
            grey = np.where(image.padding, np.float32(0), grey)
        framed = _FRAMERS[self.frame](grey, self.size)
        if not self.level:
            return framed
        return replace(framed, grey=levelled(framed.grey, [brain_level(framed.grey, framed.head)]))

    def stack(self, framed: Framed) -> FloatArray:
        """(3, S, S) float32 channels of one framed picture."""
        import torch

        grey = torch.from_numpy(np.ascontiguousarray(framed.grey))[None, None]
        return np.asarray(stack_channels(grey, self.channels)[0].numpy(), dtype=np.float32)


def stack_channels(grey: Tensor, channels: str) -> Tensor:
    """(N, 1, S, S) grey levels 0..1 to (N, 3, S, S) model input. Training calls it after augmentation.

    "stroke": the brain window; a narrow window of +-14 HU around the brain's level, smoothed over
    noise, where early infarcts show; and the smoothed difference to the mirrored side, which is what a
    reader compares. Flipping the picture flips all three.
    """
    import torch

    if channels == "plain":
        return grey.expand(-1, 3, -1, -1)
    if channels == "grey":
        mean = torch.tensor(IMAGENET_MEAN, device=grey.device, dtype=grey.dtype).view(1, 3, 1, 1)
        std = torch.tensor(IMAGENET_STD, device=grey.device, dtype=grey.dtype).view(1, 3, 1, 1)
        return (grey - mean) / std
    size = grey.shape[-1]
    fine, broad = _blur(grey, size / 200), _blur(grey.clamp(0, 0.9), size / 80)
    narrow = ((fine - BRAIN_LEVEL) / 0.12).clamp(-1.5, 1.5)
    mirror = ((broad - broad.flip(-1)) / 0.2).clamp(-1.5, 1.5)
    return torch.cat([(grey - 0.35) / 0.3, narrow, mirror], dim=1)


def _blur(x: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of (N, 1, S, S), sigma in pixels, separable, zero outside."""
    import torch
    from torch.nn.functional import conv2d

    radius = max(1, round(3 * sigma))
    steps = torch.arange(-radius, radius + 1, device=x.device, dtype=x.dtype)
    kernel = torch.exp(-0.5 * (steps / sigma) ** 2)
    kernel = kernel / kernel.sum()
    x = conv2d(x, kernel.view(1, 1, 1, -1), padding=(0, radius))
    return conv2d(x, kernel.view(1, 1, -1, 1), padding=(radius, 0))


def to_image(grid: FloatArray, affine: NDArray[np.float64], input_size: int, shape: tuple[int, int]) -> FloatArray:
    """A heat grid (h, w) over the model's input, resampled onto the original image of `shape` (H, W); 0 outside."""
    spread = cv2.resize(np.asarray(grid, dtype=np.float32), (input_size, input_size), interpolation=cv2.INTER_LINEAR)
    return on_picture(np.asarray(spread, dtype=np.float32), affine, shape)


def on_picture(values: FloatArray, affine: NDArray[np.float64], shape: tuple[int, int]) -> FloatArray:
    """A map (S, S) over the model's input, read at every pixel of the picture (H, W); 0 where the input ends."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    plain = np.ascontiguousarray(values, dtype=np.float32)
    return np.asarray(cv2.warpAffine(plain, affine, (shape[1], shape[0]), flags=flags), dtype=np.float32)


def _square(grey: FloatArray, size: int) -> Framed:
    """The whole picture centred on a black square."""
    height, width = grey.shape
    middle = ((width - 1) / 2, (height - 1) / 2)
    affine = rotation(middle, 0.0, max(height, width) / 2, size)
    return Framed(to_frame(grey, affine, size), to_frame(np.ones_like(grey), affine, size) > 0.5, affine)


def _head_frame(grey: FloatArray, size: int) -> Framed:
    """The head upright on a black square, everything outside its outline black; the whole picture without one."""
    head = find_head(grey)
    if head is None:
        return _square(grey, size)
    radius = max(head.extent) / 2 * (1 + 2 * MARGIN)
    affine = rotation(head.middle, head.tilt, radius, size)
    mask = to_frame(head.mask.astype(np.float32), affine, size) > 0.5
    return Framed(to_frame(grey, affine, size) * mask, mask, affine)


def _contour(grey: FloatArray, size: int, centred: bool) -> Framed:
    """The head without noise and without what lies around it, in the middle of the square or where it was."""
    clean = denoised(grey)
    mask = contour_mask(clean)
    if mask is None:
        return _square(clean, size)
    affine = centring(mask, size) if centred else _square(clean, size).affine
    inside = to_frame(mask.astype(np.float32), affine, size) > 0.5
    return Framed(to_frame(cut_out(clean, mask), affine, size) * inside, inside, affine)


def to_frame(grey: FloatArray, affine: NDArray[np.float64], size: int) -> FloatArray:
    """(H, W) resampled to (size, size); blurred first when shrinking: noise would alias, thin rims of masks break."""
    shrink = 1.0 / float(np.hypot(affine[0, 0], affine[0, 1]))
    if shrink > 1.2:
        grey = np.asarray(cv2.GaussianBlur(grey, (0, 0), 0.4 * shrink), dtype=np.float32)
    return np.asarray(cv2.warpAffine(grey, affine, (size, size), flags=cv2.INTER_LINEAR), dtype=np.float32)


def levelled(grey: FloatArray, levels: Sequence[float], error: float = 1.0) -> FloatArray:
    """Grey levels 0..1 of a slice or (n, S, S) times the one gain that brings their median brain level to BRAIN_LEVEL.

    One gain for all, so that a slice full of blood stays brighter than its neighbours. `levels` are the slices' own,
    0 where a slice has no brain to read it from; `error` is a factor that the gain is off by.
    """
    known = [level for level in levels if level > 0]
    if not known:
        return grey
    gain = float(np.clip(BRAIN_LEVEL / float(np.median(known)), *GAIN_LIMITS)) * error
    return np.asarray(np.clip(grey * np.float32(gain), 0, 1), dtype=np.float32)


_FRAMERS: dict[Frame, Callable[[FloatArray, int], Framed]] = {
    "head": _head_frame,
    "square": _square,
    "contour": partial(_contour, centred=True),
    "contour-in-place": partial(_contour, centred=False),
}
