"""The version of the library and of what computes its numbers."""

from __future__ import annotations

from importlib import metadata

__version__ = "0.1.0"


def versions() -> dict[str, str]:
    """Versions of the libraries between a file and a probability, by name, for the record."""
    by_name = {"strokenext": __version__}
    for name in ("torch", "timm", "numpy", "opencv-python-headless"):
        try:
            by_name[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # another build of the same library, e.g. opencv-python
            by_name[name] = "unknown"
    return by_name
