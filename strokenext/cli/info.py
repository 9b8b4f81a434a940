"""`info`: what a file is, without anything about the patient."""

from __future__ import annotations

import argparse

from strokenext.io.read import describe
from strokenext.visible import visible


def run(options: argparse.Namespace) -> int:
    """Print a line per fact; returns 0."""
    for key, value in describe(options.file).items():
        print(visible(f"{key.replace('_', ' ')}: {_plain(value)}"))
    return 0


def _plain(value: object) -> str:
    if value is None:
        return "not stated"
    if isinstance(value, (list, tuple)):
        return "; ".join(_plain(item) for item in value) or "none"
    return str(value)
