"""Pictures for measuring the scope gate: things that are no head CT, and the ways a head CT gets altered.

All grey levels 0..255 float32. The ones that are no CT are drawn here, from noise, formulas and the phantom;
the alterations take a real or synthetic slice and imitate how web sites, workstations and slides export it.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from strokenext.types import FloatArray
from strokenext.windows import BRAIN, apply, to_bytes
from training.drawing.augment import recompressed
from training.drawing.phantom.head import head_phantom

Maker = Callable[[np.random.Generator], FloatArray]
Change = Callable[[FloatArray], FloatArray]


def _grey(values: object) -> FloatArray:
    return np.clip(np.asarray(values, dtype=np.float32), 0, 255)


# --- no head CT --------------------------------------------------------------------------------------------------


def gradient(rng: np.random.Generator) -> FloatArray:
    a, b = rng.uniform(-1, 1, 2)
    y, x = np.mgrid[0:300, 0:400] / 300
    ramp = a * x + b * y
    return _grey(255 * (ramp - ramp.min()) / np.ptp(ramp))


def texture(rng: np.random.Generator) -> FloatArray:
    """1/f noise, the spectrum of natural scenes: clouds, grass, stone."""
    f = np.hypot(np.fft.fftfreq(384)[:, None], np.fft.rfftfreq(384)[None]) + 1 / 384
    spectrum = np.fft.rfft2(rng.standard_normal((384, 384))) / f ** rng.uniform(0.8, 1.6)
    field = np.fft.irfft2(spectrum, s=(384, 384))
    return _grey(127 + rng.uniform(40, 90) * field / field.std())


def scene(rng: np.random.Generator) -> FloatArray:
    """Sky, ground and a handful of lit objects, blurred as by a lens."""
    picture = np.full((360, 480), rng.uniform(120, 230), np.float32)
    picture[int(rng.uniform(160, 260)) :] = rng.uniform(40, 120)
    for _ in range(12):
        centre = tuple(int(v) for v in rng.uniform((0, 0), (480, 360)))
        axes = tuple(int(v) for v in rng.uniform(10, 90, 2))
        cv2.ellipse(picture, centre, axes, float(rng.uniform(0, 180)), 0, 360, float(rng.uniform(0, 255)), -1)
    return _grey(cv2.GaussianBlur(picture, (0, 0), 2) + rng.normal(0, 5, picture.shape))


def text_page(rng: np.random.Generator) -> FloatArray:
    page = np.full((520, 400), 250, np.uint8)
    for row in range(40, 500, 18):
        words = "".join(rng.choice(list("abcdefghiklmnoprstu   "), 40))
        cv2.putText(page, words, (25, row), cv2.FONT_HERSHEY_SIMPLEX, 0.42, 20, 1, cv2.LINE_AA)
    return _grey(page)


def screen(rng: np.random.Generator) -> FloatArray:
    """A program's window: panels, buttons, a bright frame around grey content."""
    picture = np.full((400, 600), float(rng.uniform(20, 60)), np.float32)
    for _ in range(14):
        x, y = (int(v) for v in rng.uniform((0, 0), (520, 340)))
        w, h = (int(v) for v in rng.uniform(30, 200, 2))
        cv2.rectangle(picture, (x, y), (x + w, y + h), float(rng.uniform(40, 255)), int(rng.choice((-1, 2))))
    return _grey(picture)


def drawing(rng: np.random.Generator) -> FloatArray:
    """A white oval with a flat grey inside: a cartoon of a head."""
    picture = np.zeros((400, 400), np.float32)
    axes = (int(rng.uniform(90, 130)), int(rng.uniform(120, 160)))
    cv2.ellipse(picture, (200, 200), axes, float(rng.uniform(-15, 15)), 0, 360, 110, -1)
    cv2.ellipse(picture, (200, 200), axes, 0, 0, 360, 255, int(rng.uniform(8, 20)), cv2.LINE_AA)
    return picture


def chart(rng: np.random.Generator) -> FloatArray:
    picture = np.full((360, 480), 255, np.float32)
    points = np.stack([np.arange(0, 480, 12), 180 + np.cumsum(rng.normal(0, 14, 40))], axis=1).astype(np.int32)
    cv2.polylines(picture, [points.reshape(-1, 1, 2)], False, 30.0, 2, cv2.LINE_AA)
    cv2.rectangle(picture, (40, 20), (460, 330), 0.0, 1)
    return picture


def bright_disc(rng: np.random.Generator) -> FloatArray:
    """A lamp, a coin, a retina: one bright round thing on black."""
    picture = np.zeros((300, 300), np.float32)
    cv2.circle(picture, (150, 150), int(rng.uniform(60, 130)), float(rng.uniform(120, 255)), -1)
    return _grey(cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(1, 20))) + rng.normal(0, 6, picture.shape))


#: Signal of (air, fat, bone, CSF, white, grey) for each MR weighting, of 255.
MR_SIGNAL = {
    "T1": (4, 250, 20, 45, 175, 125),
    "T2": (4, 190, 20, 250, 90, 130),
    "FLAIR": (4, 200, 20, 25, 105, 145),
    "T2*": (4, 70, 12, 200, 110, 140),
}


def mri(rng: np.random.Generator) -> FloatArray:
    """The phantom as an MRI would show it: bright scalp fat, a black skull, strong grey-white contrast."""
    phantom = head_phantom("normal", 256, int(rng.integers(4)), float(rng.uniform(0.05, 0.6)), noise=False)
    air, fat, bone, csf, white, grey = MR_SIGNAL[str(rng.choice(list(MR_SIGNAL)))]
    hu = phantom.hu
    tissue = np.interp(hu, (6, 14, 27, 32, 38, 60), (csf, csf, white, white, grey, grey))
    outside = np.select([hu > 110, hu > 0, hu > -300], [bone, 110, fat], air)
    picture = np.where(phantom.brain, tissue, outside)
    shade = 1 + 0.15 * np.cos(np.linspace(-1, 2, 256))[:, None]  # coil sensitivity
    return _grey(cv2.GaussianBlur(picture * shade, (0, 0), 0.8) + np.abs(rng.normal(0, rng.uniform(1, 5), hu.shape)))


def montage(rng: np.random.Generator) -> FloatArray:
    rows, columns = (int(v) for v in rng.integers(2, 5, 2))
    tiles = [brain_window_phantom(rng, 128) for _ in range(rows * columns)]
    return np.vstack([np.hstack(tiles[r * columns : (r + 1) * columns]) for r in range(rows)])


def brain_window_phantom(rng: np.random.Generator, size: int = 256) -> FloatArray:
    """A head phantom through the brain window 80/40."""
    kind = str(rng.choice(("normal", "hemorrhage", "infarct")))
    phantom = head_phantom(kind, size, int(rng.integers(4)), float(rng.uniform(0.05, 0.6)))  # type: ignore[arg-type]
    return _grey(to_bytes(apply(phantom.hu, BRAIN)))


NOT_CT: dict[str, Maker] = {
    "solid colour": lambda rng: np.full((256, 320), float(rng.integers(0, 256)), np.float32),
    "gradient": gradient,
    "noise": lambda rng: _grey(rng.normal(rng.uniform(60, 190), rng.uniform(10, 80), (320, 320))),
    "natural texture": texture,
    "scene": scene,
    "page of text": text_page,
    "white on black text": lambda rng: 255 - text_page(rng),
    "program window": screen,
    "drawing": drawing,
    "chart": chart,
    "bright disc": bright_disc,
    "simulated MRI": mri,
    "montage": montage,
    "two heads": lambda rng: np.hstack([brain_window_phantom(rng), brain_window_phantom(rng)]),
    "inverted CT": lambda rng: 255 - brain_window_phantom(rng),
    "cut-out of brain": lambda rng: brain_window_phantom(rng, 512)[170:340, 170:340],  # without skull
    "half a head": lambda rng: brain_window_phantom(rng, 512)[:, 256:],
}


# --- head CT, altered --------------------------------------------------------------------------------------------


def _resized(picture: FloatArray, side: int) -> FloatArray:
    scale = side / max(picture.shape)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return _grey(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=how))


def _tight(picture: FloatArray, margin: float = 0.0) -> FloatArray:
    """Cut to the box of everything brighter than half of white, the skull, plus a margin (share of the box)."""
    x, y, w, h = cv2.boundingRect(cv2.morphologyEx((picture > 128).astype(np.uint8), cv2.MORPH_OPEN, np.ones((9, 9))))
    dx, dy = int(w * margin), int(h * margin)
    return picture[max(0, y - dy) : y + h + dy, max(0, x - dx) : x + w + dx].copy()


def _letters(picture: FloatArray) -> FloatArray:
    out, (h, w) = picture.astype(np.uint8), picture.shape
    for text, x, y in (("R", 0.03, 0.5), ("L 120kV", 0.80, 0.06), ("W80 L40", 0.02, 0.06), ("IM 14/28", 0.02, 0.97)):
        cv2.putText(out, text, (int(x * w), int(y * h)), cv2.FONT_HERSHEY_SIMPLEX, w / 900, 255, 1, cv2.LINE_AA)
    return _grey(out)


def _page(picture: FloatArray) -> FloatArray:
    return cv2.copyMakeBorder(picture, 40, 60, 30, 30, cv2.BORDER_CONSTANT, value=255).astype(np.float32)


def _turned(picture: FloatArray, degrees: float) -> FloatArray:
    h, w = picture.shape
    return _grey(cv2.warpAffine(picture, cv2.getRotationMatrix2D((w / 2, h / 2), degrees, 1.0), (w, h)))


def _grainy(picture: FloatArray) -> FloatArray:
    """Noise of 6 HU more through the brain window; bone lies so far above it that it stays white."""
    noise = np.random.default_rng(0).normal(0, 18, picture.shape)
    return _grey(picture + noise * (picture > 8) * (picture < 250))


def _narrow(picture: FloatArray) -> FloatArray:
    """The stroke window 40/40 of a picture that came through a wider one: CSF black, brain in the middle."""
    brain = float(np.median(picture[(picture > 12) & (picture < 180)]))
    return _grey((picture - 0.55 * brain) / (0.9 * brain) * 255)


ALTERED: dict[str, Change] = {
    "as it is": lambda p: p,
    "narrow window (CSF black)": _narrow,
    "darker, bone still white": lambda p: _grey(np.where(p < 200, p * 0.5, p)),
    "contrast halved": lambda p: _grey(p * 0.5),
    "gamma 0.6": lambda p: _grey(255 * (p / 255) ** 0.6),
    "gamma 1.7": lambda p: _grey(255 * (p / 255) ** 1.7),
    "JPEG quality 25": lambda p: _grey(recompressed(p.astype(np.uint8), 25)),
    "128 pixels": lambda p: _resized(p, 128),
    "1024 pixels": lambda p: _resized(p, 1024),
    "strong noise": _grainy,
    "letters in the corners": _letters,
    "white page around it": _page,
    "tight crop": _tight,
    "crop with 3 % margin": lambda p: _tight(p, 0.03),
    "turned by 20 degrees": lambda p: _turned(p, 20),
    "upside down": lambda p: p[::-1].copy(),
}
