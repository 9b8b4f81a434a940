"""Values between the server and a decoder process: JSON and raw arrays, rebuilt by the types that are expected.

Nothing is pickled: what a decoder process sends, even one that a hostile file has taken over, becomes a value of the
expected type or an error.
"""

from __future__ import annotations

import json
import math
import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, BinaryIO, Union, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

#: What an array may hold.
DTYPES = ("float32", "bool", "uint8")
MOST_HEADER, MOST_ARRAYS = 256 * 2**20, 20_000


class WireError(ValueError):
    """What was read is not what is expected, or ended too early."""


def send(stream: BinaryIO, head: Mapping[str, Any], parts: list[bytes | NDArray[Any]]) -> None:
    """One message: JSON and the bytes that go with it."""
    header = json.dumps(head, allow_nan=True).encode()
    stream.write(len(header).to_bytes(8, "little") + header)
    for part in parts:
        stream.write(part if isinstance(part, bytes) else np.ascontiguousarray(part).data.cast("B"))
    stream.flush()


def receive(stream: BinaryIO) -> dict[str, Any]:
    """The JSON of one message; what goes with it is read next. Raises WireError."""
    size = int.from_bytes(exactly(stream, 8), "little")
    if size > MOST_HEADER:
        raise WireError("too long")
    head = json.loads(exactly(stream, size))
    if not isinstance(head, dict):
        raise WireError("no object")
    return head


def exactly(stream: BinaryIO, size: int) -> bytes:
    """So many bytes. Raises WireError where the stream ends before."""
    data = stream.read(size)
    if len(data) != size:
        raise WireError("cut short")
    return data


def pack(value: object) -> tuple[Any, list[NDArray[Any]]]:
    """A value of frozen dataclasses, tuples, mappings, plain values and arrays as JSON values and its arrays."""
    arrays: list[NDArray[Any]] = []
    return _plain(value, arrays), arrays


def _plain(value: Any, arrays: list[NDArray[Any]]) -> Any:
    if value is None or (isinstance(value, str | bool | int | float) and not isinstance(value, Enum | np.generic)):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        if str(value.dtype) not in DTYPES:
            raise TypeError(f"an array of {value.dtype} does not travel")
        arrays.append(value)
        return len(arrays) - 1
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name), arrays) for f in fields(value) if f.init}
    if isinstance(value, Mapping):
        return {str(name): _plain(one, arrays) for name, one in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(one, arrays) for one in value]
    raise TypeError(f"{type(value).__name__} does not travel")


def shapes(arrays: list[NDArray[Any]]) -> list[list[Any]]:
    """[dtype, shape] of each array, for the header."""
    return [[str(array.dtype), list(array.shape)] for array in arrays]


def read_arrays(stream: BinaryIO, stated: Any, most: int) -> list[NDArray[Any]]:
    """The arrays of a header, at most `most` bytes together, read-only. Raises WireError."""
    if not isinstance(stated, list) or len(stated) > MOST_ARRAYS:
        raise WireError("too many arrays")
    arrays: list[NDArray[Any]] = []
    for dtype, shape in stated:
        if dtype not in DTYPES or not all(isinstance(n, int) and n >= 0 for n in shape):
            raise WireError("no array")
        most -= math.prod(shape) * np.dtype(dtype).itemsize
        if most < 0:
            raise WireError("too large")
        array = np.empty(shape, dtype)
        view = array.data.cast("B") if array.size else memoryview(b"")
        if stream.readinto(view) != len(view):  # type: ignore[attr-defined]
            raise WireError("cut short")
        array.flags.writeable = False  # so that a slice takes it as it is, without a copy
        arrays.append(array)
    return arrays


def build(kind: Any, value: Any, arrays: list[NDArray[Any]]) -> Any:
    """The value of type `kind` from what `pack` made of it. Raises WireError for anything else."""
    try:
        return _build(kind, value, arrays)
    except WireError:
        raise
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise WireError("not of the expected type") from error


def _build(kind: Any, value: Any, arrays: list[NDArray[Any]]) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        kinds = [one for one in inner if one is not type(None)]
        return None if value is None else _build(kinds[0], value, arrays) if len(kinds) == 1 else _leaf(kind, value)
    if origin is tuple:
        if inner[-1:] == (Ellipsis,):
            return tuple(_build(inner[0], one, arrays) for one in value)
        return tuple(_build(one, part, arrays) for one, part in zip(inner, value, strict=True))
    if origin is np.ndarray or kind is np.ndarray:
        return arrays[value]
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {name: _build(inner[1], one, arrays) for name, one in value.items()}
    if isinstance(kind, type) and is_dataclass(kind):
        hints = _hints(kind)
        return kind(**{name: _build(hints[name], one, arrays) for name, one in value.items()})
    if isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields"):
        hints = _hints(kind)
        make: Callable[..., Any] = kind
        return make(*(_build(hints[n], one, arrays) for n, one in zip(kind._fields, value, strict=True)))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    return _leaf(kind, value)


def _leaf(kind: Any, value: Any) -> Any:
    if not isinstance(value, str | int | float | bool) and value is not None:
        raise WireError(f"no {kind}")
    return value


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
