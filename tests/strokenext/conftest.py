"""The gate has its own tests: elsewhere it can be held open."""

from __future__ import annotations

import pytest

from strokenext.slice import predictor
from strokenext.types import Gate


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> dict[str, Gate]:
    """The gate accepts all but the slices whose checksum is listed here."""
    refused: dict[str, Gate] = {}
    monkeypatch.setattr(predictor, "check_scope", lambda image: refused.get(image.sha256, Gate(True)))
    return refused
