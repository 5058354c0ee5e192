"""Recognise that memory is exhausted, whatever a library calls that, and name the limit of this process.

With a limit of the address space (``ulimit -v``), allocations fail, and each library reports that in its own
words: MemoryError, ``std::bad_alloc``, "can't start new thread" (a stack has 8 MiB), "failed to map segment".
In a container (cgroup) they succeed, and the kernel ends a process.
"""

from __future__ import annotations

import errno

from faceindex.errors import OutOfMemory
from faceindex.images.limits import available_memory, format_bytes, physical_memory

__all__ = ["check_address_space", "has_memory_limit", "is_exhausted", "is_memory_error", "out_of_memory"]

_WORDS = (
    "can't start new thread",
    "cannot allocate memory",
    "can't allocate memory",
    "bad_alloc",
    "bad allocation",
    "failed to map segment",
    "unable to allocate",
    "out of memory",
)
_THREAD = "can't start new thread"

_LEAST_ADDRESS_SPACE = 768 << 20
"""torch and onnxruntime map this much on two cores. With less, the C library ends the process while it loads
them ("cannot allocate memory for thread-local data: ABORT", seen at 600 MB)."""

_PROBE = 64 << 20  # a JPEG of 12 megapixels takes 84 MB


def is_memory_error(error: BaseException | None) -> bool:
    """Return whether an error, or one of its causes, means that memory is exhausted."""
    seen = set[int]()  # errors of grpc are causes of each other
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
            return True
        if any(words in str(error).lower() for words in _WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False


def has_memory_limit() -> bool:
    """Return whether allocations of this process can fail by a limit: no container, where they succeed."""
    return _address_space() is not None


def is_exhausted() -> bool:
    """Return whether this process has a limit of memory, and not even a small photo fits in now."""
    if _address_space() is None:
        return False
    try:
        bytearray(_PROBE)
    except MemoryError:
        return True
    return False


def out_of_memory(error: BaseException | None = None) -> OutOfMemory:
    """Return an error that names the limit of this process and what to do.

    Parameters
    ----------
    error : BaseException, optional
        What a library raised.
    """
    limit = _address_space()
    if limit is not None:
        size, command = limit
        return OutOfMemory(
            f"There is not enough memory: this process may take {format_bytes(size)} (`{command}`).",
            "Raise that limit, to 3 GiB for example, and run it again; finished photos are kept.",
        )
    available, physical = available_memory(), physical_memory()
    if _THREAD in str(error):
        return OutOfMemory(
            "No more threads can be started.",
            "Raise the limit of processes (`ulimit -u`, or that of the container), and run it again.",
        )
    if available is not None and physical is not None and available < physical:
        return OutOfMemory(
            f"There is not enough memory: this container has {format_bytes(available)}.",
            "Give it more, or pass a lower `max_memory`, and run it again; finished photos are kept.",
        )
    return OutOfMemory(
        "There is not enough memory.",
        "Close other programs, or pass a lower `max_memory`, and run it again; finished photos are kept.",
    )


def check_address_space() -> None:
    """Raise `OutOfMemory` if the networks cannot even be loaded within the limit of this process."""
    limit = _address_space()
    if limit is not None and limit[0] < _LEAST_ADDRESS_SPACE:
        raise out_of_memory()


def _address_space() -> tuple[int, str] | None:
    """Return the lowest limit of this process in bytes, and the command that sets it; None without one."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    found = []
    for kind, command in ((resource.RLIMIT_AS, "ulimit -v"), (resource.RLIMIT_DATA, "ulimit -d")):
        soft, _ = resource.getrlimit(kind)
        if soft != resource.RLIM_INFINITY:
            found.append((soft, command))
    return min(found, default=None)
