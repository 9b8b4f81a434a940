"""Fixtures of several test files."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.helpers.tiny_models import pair


@pytest.fixture(scope="module")
def tiny_assets() -> Iterator[None]:
    """The two tiny models in place of the bundled ones, for a whole file of tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STROKENEXT_ASSETS", str(pair()))
        yield
