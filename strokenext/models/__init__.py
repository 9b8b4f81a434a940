"""From a zoo row to a network. Each has `features(x)`, `head(features)`, `forward` and the names `encoders`.

Weights are random unless `pretrained=True` is asked for: a constructor never downloads on its own.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from strokenext.errors import HubUnavailableError, OptionError
from strokenext.zoo import ModelRow, row

if TYPE_CHECKING:
    from torch import nn

#: More outputs than any task here has; a larger number is a mistake.
MAX_CLASSES = 1000


def build(model: str | ModelRow, classes: int | None = None, **arguments: object) -> nn.Module:
    """A network with random weights, in training mode, from a zoo row or its name.

    `classes` is the number of outputs (the row's own when None: 2, or 1 mask for the U-Net); `arguments`
    override the row's. Raises ModelNotFoundError for a name that is not in the zoo, OptionError for an argument
    its builder does not take or a value out of range, HubUnavailableError when `pretrained=True` cannot download.
    """
    chosen = row(model) if isinstance(model, str) else model
    builder: Callable[..., nn.Module] = resolve_name(chosen.builder)
    known = inspect.signature(builder).parameters
    unknown = sorted(set(arguments) - set(known))
    if unknown:
        raise OptionError(f"{chosen.title} has no option '{unknown[0]}'. It takes: {', '.join(known)}.")
    outputs = chosen.classes if classes is None else classes
    if not isinstance(outputs, int) or not 1 <= outputs <= MAX_CLASSES:
        raise OptionError(f"A model has 1 to {MAX_CLASSES} classes, not {outputs}.")
    options = {**chosen.arguments, **arguments, "classes": outputs}
    try:
        with _quiet_hub():
            return builder(**options)
    except OSError as error:
        if not options.get("pretrained"):
            raise
        raise HubUnavailableError(
            f"The ImageNet weights for {chosen.title} could not be downloaded ({_first_line(error)}). "
            "Connect to the internet once, or start from random weights with pretrained=False (a recipe's "
            "--set pretrained=false)."
        ) from error
    except (TypeError, ValueError) as error:
        raise OptionError(f"{chosen.title} cannot be built with these options: {_first_line(error)}.") from error


@contextmanager
def _quiet_hub() -> Iterator[None]:
    """The Hub's client warns of each of its retries; what came of them is said once, by an error."""
    client = logging.getLogger("huggingface_hub")
    before = client.level
    client.setLevel(logging.ERROR)
    try:
        yield
    finally:
        client.setLevel(before)


def _first_line(error: BaseException) -> str:
    """The first line of an error's text, without its final stop."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).rstrip(".")
