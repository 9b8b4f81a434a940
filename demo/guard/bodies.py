"""What the bodies of the page's calls may hold: exactly what the page sends, so that Gradio meets nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeGuard

if TYPE_CHECKING:
    from gradio.blocks import Blocks

#: Keys that make a value a file to Gradio, or an address it would connect to; the page sends none.
FILE_KEYS = frozenset({"path", "url", "is_stream"})
#: A page's name for itself, as Gradio's script makes it or a little longer.
SESSION = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
#: A form with a boundary between its parts (RFC 2046 5.1.1).
FORM = re.compile(r"multipart/form-data\s*;(.*;)?\s*boundary=(\"[^\"]{1,70}\"|[^\s;\"]{1,70})\s*(;.*)?", re.I | re.S)
NO_FORM = "The files were not sent as form data (multipart/form-data with a boundary)."
NO_JSON = "The request is not JSON."
NO_CALL = "The request does not have the form of a call of the page. Reload the page and try again."


class BodyError(Exception):
    """A body that the page does not send; the text is the sentence why."""


class FileNamedError(Exception):
    """A body that names a file or an address."""


def call(content: bytes, blocks: Blocks, *, component: bool) -> dict[str, Any]:
    """The call in a body: of a component's function, or of a function of the page.

    Raises BodyError, FileNamedError.
    """
    try:
        body = json.loads(content)
        if _names_file(body):
            raise FileNamedError
    except (ValueError, RecursionError):
        raise BodyError(NO_JSON) from None
    found = None
    if isinstance(body, dict) and is_session(body.get("session_hash")):
        found = _of_component(body, blocks) if component else _of_page(body, blocks)
    if found is None:
        raise BodyError(NO_CALL)
    return found


def is_session(value: object) -> bool:
    """Whether a value may be the name of a page."""
    return isinstance(value, str) and SESSION.fullmatch(value) is not None


def _of_component(body: Mapping[str, Any], blocks: Blocks) -> dict[str, Any] | None:
    number, name = body.get("component_id"), body.get("fn_name")
    block = blocks.blocks.get(number) if _whole(number) else None
    function = getattr(block, name, None) if isinstance(name, str) else None
    if not getattr(function, "_is_server_fn", False) or not isinstance(body.get("data"), dict):
        return None
    return {key: body[key] for key in ("data", "component_id", "fn_name", "session_hash")}


def _of_page(body: Mapping[str, Any], blocks: Blocks) -> dict[str, Any] | None:
    number, data = body.get("fn_index"), body.get("data")
    function = blocks.fns.get(number) if _whole(number) else None
    trigger, event = body.get("trigger_id"), body.get("event_data")
    if function is None or not isinstance(data, list) or len(data) != len(function.inputs):
        return None
    if not (trigger is None or _whole(trigger)) or not (event is None or isinstance(event, dict)):
        return None
    keys = ("data", "fn_index", "session_hash", "trigger_id", "event_data")
    return {key: body[key] for key in keys if key in body}


def _whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _names_file(value: Any) -> bool:
    """Whether anything within a decoded body is what Gradio may take for a file."""
    if isinstance(value, dict):
        if not FILE_KEYS.isdisjoint(value) or "_type" in str(value.get("meta")):
            return True
        value = list(value.values())
    return isinstance(value, list) and any(_names_file(inner) for inner in value)
