"""How much may wait to be opened: bytes and uploads, of each reader and of all, and for how long."""

from __future__ import annotations

from dataclasses import dataclass

from demo.settings import MEBI, Settings
from strokenext import StrokeNeXtError, errors

#: Uploads that may wait at once, of all readers: each may be an open file of this process.
MOST_UPLOADS = 256


class QuotaError(StrokeNeXtError):
    """One reader's uploads take all the room that one reader may have."""

    http_status = 507


class CrowdedError(errors.BusyError):
    """All readers' uploads together take all the room there is."""


@dataclass(frozen=True)
class Limits:
    """What may wait: bytes of all readers and of each, uploads of each, and seconds that one may lie unread."""

    total: int = Settings.max_stored
    each: int = Settings.max_stored_each
    count: int = Settings.uploads_each
    lifetime: float = Settings.upload_seconds

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """Those of a start; one request of the largest size always has room."""
        each = max(settings.max_stored_each, settings.max_upload)
        return cls(max(settings.max_stored, each), each, settings.uploads_each, settings.upload_seconds)

    def admit_own(self, size: int, count: int) -> None:
        """Whether one reader may have so many bytes in so many uploads. Raises QuotaError."""
        wait = f"Wait {max(1, round(self.lifetime / 60))} minutes, then send this again."
        if size > self.each:
            raise QuotaError(
                f"Files you have sent and not opened take all of the {self.each // MEBI} MiB that one reader may have "
                f"here. {wait}"
            )
        if count > self.count:
            raise QuotaError(
                f"{self.count} of your uploads wait to be opened, the most that one reader may have here. {wait}"
            )

    def admit_all(self, size: int, count: int) -> None:
        """Whether all readers together may have so many bytes in so many uploads. Raises CrowdedError."""
        if size > self.total or count > MOST_UPLOADS:
            raise CrowdedError("The files of other readers take all the room at the moment. Try again in a minute.")
