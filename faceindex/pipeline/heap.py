"""The C heap under photos of ever new sizes: kept level, and given back to the operating system."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

__all__ = ["keep_level", "trim"]

# malloc.h of glibc; mallopt(3). By itself glibc raises both with the largest block that was ever freed, up to
# 32 and 64 MiB, and blocks of photos and tables then leave holes of sizes that come never again.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_MAPPED_FROM = 8 << 20  # larger blocks get pages of their own; the networks' buffers stay on the heap
# Free at the end of a heap, so that the networks' buffers do not come as new pages each time.
_KEPT = 32 << 20


def keep_level() -> None:
    """Keep the heap from growing over thousands of photos, in this process from now on; glibc only.

    The peak of `index` on 8,000 photos was 1.04 times that on 800 with it, and 1.11 times without
    (`benchmarks/memory.py`).
    """
    libc = _glibc()
    if libc is not None:
        libc.mallopt(_M_MMAP_THRESHOLD, _MAPPED_FROM)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT)


def trim() -> None:
    """Give back the freed pages of the C heap, in all threads' arenas; does nothing without glibc.

    Photos of ever new sizes leave holes of ever new sizes. By itself glibc gives back only what is at the end
    of a heap; ``malloc_trim`` gives back every whole page (malloc_trim(3), since glibc 2.8). The peak of
    `index` on 2,400 such photos was 603 MiB with it and 634 MiB without, in the same time
    (`benchmarks/memory.py`).
    """
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    if not (hasattr(libc, "malloc_trim") and hasattr(libc, "mallopt")):  # musl has none
        return None
    libc.malloc_trim.argtypes, libc.malloc_trim.restype = [ctypes.c_size_t], ctypes.c_int
    libc.mallopt.argtypes, libc.mallopt.restype = [ctypes.c_int, ctypes.c_int], ctypes.c_int
    return libc
