"""Giving memory that has been freed back to the operating system."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import cache

__all__ = ["trim"]


def trim() -> None:
    """Give back the freed pages of the C heap, in all threads' arenas; does nothing without glibc.

    Photos of ever new sizes leave holes of ever new sizes. By itself glibc gives back only what is at the end
    of a heap; ``malloc_trim`` gives back every whole page (malloc_trim(3), since glibc 2.8). The peak of
    `index` on 2,400 such photos was 603 MiB with it and 634 MiB without, in the same time
    (`benchmarks/memory.py`).
    """
    malloc_trim = _malloc_trim()
    if malloc_trim is not None:
        malloc_trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    function = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
    if function is not None:
        function.argtypes, function.restype = [ctypes.c_size_t], ctypes.c_int
    return function
