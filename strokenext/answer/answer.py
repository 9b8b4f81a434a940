"""What every answer can do: become plain JSON, pictures, and a folder of both."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from strokenext import overlay
from strokenext.frame.framed import Caption, framed_slice
from strokenext.saving import write_folder
from strokenext.types import FloatArray, Heat, Slice, Window

#: Content by file name.
Files = dict[str, bytes]


class Answer:
    """Base of what the models say: frozen, JSON-able, and able to save itself whole."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, finite numbers only."""
        raise NotImplementedError

    def files(self) -> Files:
        """The pictures and the maps by file name."""
        raise NotImplementedError

    def save(self, folder: str | Path) -> Path:
        """Write prediction.json, which lists the checksums of `files()`, and those files as a new folder.

        All or nothing; nothing that exists is overwritten (the folder is numbered). Returns the folder.
        Raises OutputError.
        """
        pictures = self.files()
        sums = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(pictures.items())}
        text = json.dumps({**self.to_json(), "files": sums}, indent=2, ensure_ascii=False, allow_nan=False)
        return write_folder(folder, {**pictures, "prediction.json": f"{text}\n".encode()})


def pictures(
    image: Slice,
    window: Window | None,
    heat: Heat | None,
    maps: FloatArray | None,
    caption: Caption,
    strength: float = 1.0,
) -> Files:
    """slice.png, its pixels alone, and, with evidence, overlay.png in its frame and heat.npy, the maps in logit units.

    The evidence is drawn as faint as `strength` says, see `Classification.lit`.
    """
    window = window if image.unit == "HU" else None
    made = {"slice.png": overlay.png(overlay.grey(image, window))}
    if heat is not None and maps is not None:
        buffer = io.BytesIO()
        np.save(buffer, maps, allow_pickle=False)
        made["overlay.png"] = overlay.png(framed_slice(image, caption, heat=heat, strength=strength))
        made["heat.npy"] = buffer.getvalue()
    return made
