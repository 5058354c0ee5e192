"""Settings of the Python process that only a program may change: the C heap and garbage collection."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ctypes

__all__ = ["TRIM_COMMITS", "HeapKeeper", "collection_paused", "glibc", "map_arrays"]

# malloc.h of glibc; mallopt(3). By default glibc raises both thresholds with the largest block that was
# ever freed, up to 32 and 64 MiB; blocks of photos then leave holes of sizes that never come again.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_MAPPED_FROM = 8 << 20  # bytes; larger blocks get their own pages, and the networks' buffers stay on the heap
_ARRAY = 2 << 20  # bytes; the same for a server, which has few networks and many arrays
_KEPT = 32 << 20  # bytes kept free at the end of a heap, so that the networks' buffers need no new pages
TRIM_COMMITS = 2  # commits per trim: trimming takes 1 % of the time; 3 % if done at each commit


class HeapKeeper:
    """Keeps the C heap from growing over thousands of photos; does nothing without glibc.

    Photos of many sizes leave holes of many sizes in the heap, and glibc returns only the free end of the
    heap to the operating system. With fixed thresholds, the peak of `index` on 8,000 photos was 1.04 times
    that on 800; without, 1.11 times. Trimming lowered the peak on 2,400 photos from 634 to 603 MiB in the
    same time (`benchmarks/memory.py`).
    """

    def __init__(self) -> None:
        self._commits = 0

    def start(self) -> None:
        """Fix malloc's thresholds, in this process from now on."""
        libc = glibc()
        if libc is not None:
            libc.mallopt(_M_MMAP_THRESHOLD, _MAPPED_FROM)
            libc.mallopt(_M_TRIM_THRESHOLD, _KEPT)

    def on_commit(self) -> None:
        """Return the free pages of all heaps to the operating system after every second commit."""
        self._commits += 1
        libc = glibc()
        if libc is not None and self._commits % TRIM_COMMITS == 0:
            libc.malloc_trim(0)


def map_arrays() -> None:
    """Give every large array pages of its own, which go back to the system when it is freed.

    It is for a process that lives long and now and then computes something of all faces. At a million faces
    this saves the server of ``review`` 45 MiB, and 70 MiB until the first questions (`benchmarks/review.py`).
    Does nothing without glibc.
    """
    libc = glibc()
    if libc is not None:
        libc.mallopt(_M_MMAP_THRESHOLD, _ARRAY)


@contextlib.contextmanager
def collection_paused() -> Iterator[Callable[[], None]]:
    """Pause garbage collection while modules are imported.

    Imported objects stay alive. Searching them for garbage again and again takes a tenth of the time of
    importing torch.

    Yields
    ------
    callable
        Ends the pause early.
    """
    if not gc.isenabled():
        yield lambda: None
        return
    gc.disable()
    try:
        yield gc.enable
    finally:
        gc.enable()


@cache
def glibc() -> ctypes.CDLL | None:
    """Return the C library of this process if it has the settings of glibc, else None."""
    if not sys.platform.startswith("linux"):
        return None
    import ctypes  # not needed by a run without new photos, which must start fast

    libc = ctypes.CDLL(None)
    if not (hasattr(libc, "malloc_trim") and hasattr(libc, "mallopt")):  # musl has neither
        return None
    libc.malloc_trim.argtypes, libc.malloc_trim.restype = [ctypes.c_size_t], ctypes.c_int
    libc.mallopt.argtypes, libc.mallopt.restype = [ctypes.c_int, ctypes.c_int], ctypes.c_int
    return libc
