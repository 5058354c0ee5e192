"""Loops that numba compiles, kept for the next process where there is a place to keep them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

__all__ = ["compiled"]


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function the first time it is called with arguments of these types.

    The machine code is kept beside the source, or in the user's cache. Where neither can be written, as
    in a container whose user has no home, every process compiles anew, which takes some seconds.

    Parameters
    ----------
    **options
        Of `numba.njit`, such as ``nogil=True``.

    Returns
    -------
    callable
        The decorator.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(cache=True, **options)(function)
        except RuntimeError:  # "no locator available"
            return numba.njit(**options)(function)

    return decorate
