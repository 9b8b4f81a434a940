"""Every deliberate exception of the library.

The message of each is one or two sentences that a clinician can read: what is wrong and what to do
about it. The page, the API and the command line print that sentence and nothing else.
"""

from __future__ import annotations

from .visible import visible


class StrokeNeXtError(Exception):
    """Base of every error the library raises on purpose."""

    http_status = 400
    exit_code = 2

    def __init__(self, sentence: str = "") -> None:
        # It may quote a name from outside, and is printed, logged and answered.
        super().__init__(visible(sentence))


class InputError(StrokeNeXtError):
    """The file or array given cannot be used as an image."""


class UnsupportedFormatError(InputError):
    """A readable file of a kind, or with an encoding, that no installed decoder handles."""


class DamagedFileError(InputError):
    """A file of a known kind that is truncated, corrupt or contradicts itself."""


class TooLargeError(InputError):
    """An input larger than the library is willing to decode (a bomb, or a whole-body scan)."""

    http_status = 413


class NotFoundError(InputError):
    """A path that does not exist or cannot be read."""

    exit_code = 3


class ModelError(StrokeNeXtError):
    """A model folder, file or repository that cannot be trusted or understood."""

    http_status = 500
    exit_code = 4


class ModelNotFoundError(ModelError):
    """No bundled model, folder or Hub repository of that name."""

    http_status = 404


class ModelMismatchError(ModelError):
    """Weights whose checksum, names, shapes or reference output differ from their record."""


class HubUnavailableError(ModelError):
    """The Hub cannot be reached and the model is not in the cache."""

    http_status = 503


class DeviceError(StrokeNeXtError):
    """A device that was asked for and is not there."""

    http_status = 500
    exit_code = 5


class OptionError(StrokeNeXtError):
    """An argument outside its range: a threshold, a window, a class or a method name."""


class BusyError(StrokeNeXtError):
    """More requests are waiting than the service accepts."""

    http_status = 503
    exit_code = 6


class DataError(StrokeNeXtError):
    """A data set, manifest, split or result file that is missing, incomplete or contradicts itself."""

    exit_code = 7


class OutputError(StrokeNeXtError):
    """A place where results cannot be written."""

    http_status = 500
    exit_code = 8
