"""Loops compiled by numba, with the machine code cached on disk where that is possible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

__all__ = ["compiled"]


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that compiles a function when it is first called with arguments of new types.

    The machine code is cached beside the source, or in the user's cache directory. If neither can be written,
    as in a container whose user has no home, every process compiles again, which takes some seconds.

    Parameters
    ----------
    **options
        Passed to `numba.njit`, such as ``nogil=True``.

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
