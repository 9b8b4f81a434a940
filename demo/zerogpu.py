"""Hugging Face ZeroGPU: the `spaces.GPU` decorator where its package runs, nothing elsewhere.

ZeroGPU lends a GPU only to functions decorated with `spaces.GPU`, which it runs in a forked process with
picklable arguments and results. `spaces` must be imported before torch, so this file is imported first.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def active() -> bool:
    """Whether this process runs on a ZeroGPU Space (its runtime sets SPACES_ZERO_GPU)."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in {"1", "t", "true"}


def gpu(function: Callable[P, R], seconds: int = 60) -> Callable[P, R]:
    """`function` on the lent GPU for at most `seconds` on a ZeroGPU Space; the same `function` elsewhere."""
    if not active():
        return function
    import spaces

    decorated: Callable[P, R] = spaces.GPU(function, duration=seconds)
    return decorated


def startup() -> None:
    """Tell ZeroGPU that every model is in place and every function decorated.

    `spaces` does this inside `gradio.Blocks.launch`, which a page mounted on our own server never calls.
    """
    if active():
        from spaces import zero

        zero.startup()
