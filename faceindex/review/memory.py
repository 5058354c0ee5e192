"""Give memory that is free back to the system.

The threads of the server read arrays of all faces now and then. What they free lies between what is kept,
and glibc gives back only what is at the end (https://man7.org/linux/man-pages/man3/malloc_trim.3.html).
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable

__all__ = ["give_back"]


def give_back() -> None:
    """Give free memory back, on Linux with glibc; takes some milliseconds."""
    _trim()(0)


@functools.cache
def _trim() -> Callable[[int], object]:
    if sys.platform.startswith("linux"):
        import ctypes

        try:
            found: Callable[[int], object] = ctypes.CDLL(None).malloc_trim
        except (OSError, AttributeError):  # another C library
            pass
        else:
            return found
    return lambda pad: None
