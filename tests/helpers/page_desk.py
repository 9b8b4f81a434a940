"""A page without a browser: it asks the handlers what the browser would, and its work is done when a call returns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

from demo.decoding.offer import Offer
from demo.page.handlers import Handlers
from demo.page.tabs import Screen, Tab
from demo.service import Service
from demo.sessions import Case, CaseStore
from demo.storage.uploads import Uploads
from strokenext import Slice, Volume
from tests.helpers.places import EXAMPLES


def waiting(uploads: Uploads, *contents: bytes, owner: str = "", declared: int = 0) -> list[str]:
    """The names of files that have been sent in one upload."""
    with uploads.arriving(owner, declared) as upload:
        for content in contents:
            upload.begin_file()
            upload.write(content)
    return upload.names


def taken(uploads: Uploads, names: list[str], page: str = "") -> list[bytes]:
    """The content of these files, which are gone then, as a page takes what it opens and needs no more."""
    kept = uploads.keep(names, page)
    try:
        return kept.read(list)
    finally:
        kept.forget()


class Desk:
    """One tab on one service. `screens` are all that were shown since it was made, in order."""

    def __init__(self, service: Service, store: CaseStore | None = None) -> None:
        self.store = CaseStore() if store is None else store
        self.uploads = Uploads()
        self.handlers = Handlers(service, self.store, self.uploads, run=lambda work: work())
        self.tab: Tab = self.handlers.tabs.new("session")
        self.screens: list[Screen] = []
        move = self.tab.move

        def noted(transition: Any, redraw: Any = None, listed: Any = None) -> bool:
            moved = move(transition, redraw, listed)
            if moved and redraw is not None:
                self.screens.append(self.tab.screen)
            return moved

        self.tab.move = noted  # type: ignore[method-assign]

    @property
    def screen(self) -> Screen:
        return self.tab.screen

    @property
    def case(self) -> Case:
        """The case that is open, turned to what the page shows."""
        return self.handlers.shown(self.named())

    def named(self, **more: Any) -> dict[str, Any]:
        """A request about what is on the page."""
        state = self.tab.state
        names = {"generation": state.token.generation, "sequence": state.token.sequence}
        return {"tab": self.tab.key, **names, "case": state.case, "index": state.index, **more}

    def open(self, path: Path, reader_first: bool = False, series: int | None = None) -> Screen:
        """Open an example, or any other file as an upload, or the series of that number in it."""
        source: Mapping[str, Any] = {"example": path.name.replace(".", "-")}
        if path.parent != EXAMPLES:
            sent = waiting(self.uploads, path.read_bytes())
            return self._open({"files": sent, "places": [path.name], "series": series}, reader_first)
        return self._open(source, reader_first)

    def read(self, image: Slice | Volume) -> Screen:
        """Open what has been decoded already."""
        name = {"example": "hemorrhage-dcm"}
        one = Offer(slice=image) if isinstance(image, Slice) else Offer(volume=image)
        with patch.object(self.handlers.service, "offer", lambda _source, **_: one):
            return self._open(name, False)

    def _open(self, source: Mapping[str, Any], reader_first: bool) -> Screen:
        generation = self.tab.state.token.generation + 1
        reply = self.handlers.open(
            {"tab": self.tab.key, "generation": generation, "reader_first": reader_first, **source}
        )
        assert "error" not in reply, reply
        return self.screen

    def ask(self, **question: Any) -> Screen:
        """Ask about the slice that is shown, or another: index, threshold, method, force, verdict, whole."""
        request = self.named(sequence=self.tab.state.token.sequence + 1) | question
        reply = self.handlers.ask(request)
        assert "error" not in reply, reply
        return self.screen

    def close(self) -> Screen:
        self.handlers.close({"tab": self.tab.key, "generation": self.tab.state.token.generation + 1})
        return self.screen
