"""A decoder process: reads files from its standard input, writes slices and volumes to its standard output.

It ends when that input closes, which also tells that the server has been killed, and on Linux with the server's
thread that started it. It never loads torch.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import traceback
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue
from typing import Any, BinaryIO

import strokenext
from strokenext import Slice, StrokeNeXtError, Volume, errors

from . import wire
from .offer import Offer, offer, placed

#: Loaded before the first file comes.
DECODERS = ("numpy", "PIL.Image", "pydicom", "nibabel", "imagecodecs")
_PARENT_DEATH = 1  # PR_SET_PDEATHSIG of linux/prctl.h
Job = tuple[dict[str, Any], list[bytes]]


def main() -> None:
    """Serve one file after the other until the input closes."""
    memory = int(sys.argv[1])
    die_with_parent()
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nothing that a codec prints may get between the answers
    for name in DECODERS:
        import_module(name)
    bound_memory(memory)
    jobs: SimpleQueue[Job] = SimpleQueue()
    threading.Thread(target=listen, args=(source, jobs), daemon=True).start()
    wire.send(sink, {"ready": True}, [])
    while True:
        answer(sink, *jobs.get())


def listen(source: BinaryIO, jobs: SimpleQueue[Job]) -> None:
    """Take in the files; end the process at once, whatever it is doing, when the input closes."""
    try:
        while True:
            head = wire.receive(source)
            jobs.put((head, [wire.exactly(source, size) for size in head["parts"]]))
    except (wire.WireError, OSError, ValueError):
        os._exit(0)


def answer(sink: BinaryIO, head: dict[str, Any], parts: list[bytes]) -> None:
    """Decode one upload and write the value, or the error's class and sentence; of a surprise only its place."""
    try:
        bound_time(head["seconds"])
        decoded = decoded_as_asked(parts, head)
        value, arrays = wire.pack(decoded)
        kind = type(decoded).__name__
        wire.send(sink, {"kind": kind, "value": value, "arrays": wire.shapes(arrays)}, [*arrays])
    except StrokeNeXtError as error:
        wire.send(sink, {"error": type(error).__name__, "sentence": str(error)}, [])
    except MemoryError:
        wire.send(sink, {"error": "TooLargeError", "sentence": MEMORY}, [])
    except Exception as error:
        # Whatever a file causes, the server logs the place and its reader gets a sentence.
        places = "".join(traceback.format_tb(error.__traceback__))
        wire.send(sink, {"surprise": type(error).__name__, "places": places}, [])


MEMORY = "This file needs more memory than one file may use on this server. Give the head series alone."


def decoded_as_asked(parts: list[bytes], head: dict[str, Any]) -> Slice | Volume | Offer:
    """One answer, or an Offer where `head` asks for one."""
    path = head["path"]
    if "offer" not in head:
        return decode(parts, path, head["options"])
    source = placed(parts, head["places"]) if path is None else Path(path)
    return offer(source, head["offer"], lambda: decode(parts, path, head["options"]), head["options"])


def decode(parts: list[bytes], path: str | None, options: dict[str, Any]) -> Slice | Volume:
    """One file is whatever it is; several are one series. Raises what reading raises."""
    if path is not None:
        return strokenext.read_any(Path(path), **options)
    if not parts:
        raise errors.InputError("Open a picture first.")
    if len(parts) == 1:
        return strokenext.read_any(parts[0], **options)
    volume = strokenext.read_series(parts, **options)
    return volume[0] if len(volume) == 1 and not volume.left_out else volume  # what is said of the rest stays with it


def die_with_parent() -> None:
    """On Linux the kernel ends this process with the thread that started it; Ctrl+C is the server's to hear."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PARENT_DEATH, signal.SIGKILL)


def bound_memory(size: int) -> None:
    """No more than `size` bytes of address space: on Linux. macOS ignores it and Windows has no such limit."""
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (size, size))


def bound_time(seconds: float) -> None:
    """The kernel ends this process after so much computing, also where nobody is left to do it."""
    if sys.platform != "win32":
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        limit = int(used.ru_utime + used.ru_stime + seconds) + 2
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.getrlimit(resource.RLIMIT_CPU)[1]))


if __name__ == "__main__":
    main()
