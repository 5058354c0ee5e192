"""How much memory reading and decoding photos may take, in this process and all its threads together.

The limit is one for the process, because its memory is: photos are decoded in threads of `index`, of
exports and of the caller. `limit_memory` sets it. Every decode reserves what it will take, waits while
others hold it, and is refused if it exceeds the limit even alone.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
from collections.abc import Iterator
from os import PathLike
from pathlib import Path

from faceindex.errors import ImageError, Reason, UsageError

__all__ = [
    "BASE_BYTES",
    "DECODE_BYTES",
    "LEAST_DECODE",
    "available_memory",
    "decode_limit",
    "file_limit",
    "format_bytes",
    "limit_is_raised",
    "limit_memory",
    "parse_bytes",
    "physical_memory",
    "reserve",
    "too_large_file",
]

DECODE_BYTES = 1 << 30
"""The most bytes that decoding photos takes unless `limit_memory` sets another limit: 1 GiB.

It decodes every photo of today's cameras (see `faceindex.images.DEFAULT_MAX_PIXELS`) that is stored as
JPEG, and PNG of 230 megapixels; docs/indexing.md has the table, from benchmarks/decode_memory.py.
"""

BASE_BYTES = 768 << 20
"""What a run takes beside decoding: Python, the networks, and decoded photos that wait for them.

benchmarks/memory.py measured 569 to 650 MiB for runs of `index`, with decoding of ordinary photos.
"""

LEAST_DECODE = 64 << 20  # a JPEG of 12 megapixels at full scale takes 84 MB
_FILE_SHARE = 2  # half of the limit is for the bytes of the file, which stay in memory beside the pixels
_CHECK_SECONDS = 1.0
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([bkmgt])?(?:i?b)?", re.IGNORECASE)
_UNLIMITED = 1 << 60  # cgroup v1 reports the largest multiple of a page where there is no limit


class _Gate:
    """Admits decodes while their bytes together stay below a limit."""

    def __init__(self) -> None:
        self.limit: int | None = None
        self.used = 0
        self.changed = threading.Condition()


_gate = _Gate()


def decode_limit() -> int:
    """Return the bytes that all decodes of this process may take together, with the bytes of the files."""
    if _gate.limit is None:
        _gate.limit = _decode_limit(None)
    return _gate.limit


def file_limit() -> int:
    """Return the size in bytes of the largest file that is read: half of `decode_limit`, 512 MiB by default.

    That is more than an uncompressed TIFF with 8 bits per sample of the largest cameras has: 151 megapixels
    (14,204 x 10,652), 454 MB. Compressed photos of any camera have less than 200 MB.
    """
    return decode_limit() // _FILE_SHARE


def limit_is_raised() -> bool:
    """Return whether `limit_memory` allows more than by default: photos refused before may fit now."""
    return decode_limit() > _decode_limit(None)


def _decode_limit(max_memory: int | None) -> int:
    if max_memory is None:
        available = available_memory()
        most = DECODE_BYTES if available is None else min(DECODE_BYTES, available - BASE_BYTES)
    else:
        most = max_memory - BASE_BYTES
    return max(most, LEAST_DECODE)


@contextlib.contextmanager
def limit_memory(max_memory: int | str | None) -> Iterator[None]:
    """Limit the memory of this process inside the ``with``, as far as photos determine it.

    Parameters
    ----------
    max_memory : int, str or None
        Bytes for the whole process, or a text such as ``"2G"``. `BASE_BYTES` of them are kept for the
        networks; the rest is the limit of decoding. None means `DECODE_BYTES` for decoding, or less if the
        machine, or the container (cgroup) of this process, has less memory than that and `BASE_BYTES`.

    Raises
    ------
    UsageError
        If it is less than the networks and a small photo take.
    """
    if isinstance(max_memory, str):
        max_memory = parse_bytes(max_memory)
    least = BASE_BYTES + LEAST_DECODE
    if max_memory is not None and max_memory < least:
        raise UsageError(
            f"`max_memory` is {format_bytes(max_memory)}.", f"Choose at least {format_bytes(least)}."
        )
    before, _gate.limit = _gate.limit, _decode_limit(max_memory)
    try:
        yield
    finally:
        _gate.limit = before


@contextlib.contextmanager
def reserve(size: int, path: str | PathLike[str]) -> Iterator[None]:
    """Hold memory for one decode inside the ``with``; wait until other decodes leave enough.

    Never reserve twice in one thread: two threads could wait for each other.

    Parameters
    ----------
    size : int
        Bytes that the decode takes.
    path : path-like
        File of the photo; used in error messages.

    Raises
    ------
    ImageError
        ``MEMORY``, if it takes more than `decode_limit`.
    """
    limit = decode_limit()
    if size > limit:
        raise _too_large(path, f"decoding it takes {format_bytes(size)} of memory", limit, size)
    with _gate.changed:
        # The wait ends now and then, so that a limit that was raised meanwhile counts.
        while _gate.used and _gate.used + size > max(limit, decode_limit()):
            _gate.changed.wait(_CHECK_SECONDS)
        _gate.used += size
    try:
        yield
    finally:
        with _gate.changed:
            _gate.used -= size
            _gate.changed.notify_all()


def too_large_file(path: str | PathLike[str], size: int) -> ImageError:
    """Return the error for a file of more than `file_limit` bytes."""
    return _too_large(path, f"the file has {format_bytes(size)}", file_limit(), size * _FILE_SHARE)


def _too_large(path: str | PathLike[str], what: str, limit: int, needed: int) -> ImageError:
    return ImageError(
        path,
        Reason.MEMORY,
        f"{what}, more than the limit of {format_bytes(limit)}.",
        f"Make a smaller copy, or pass `max_memory={_argument(BASE_BYTES + needed)}` if there is that much.",
    )


def available_memory() -> int | None:
    """Return the bytes of memory that this process may use: of the machine, or of its cgroup if less.

    Both versions of cgroups are read, and every group above that of the process counts. None if unknown.
    """
    limits = [limit for limit in (physical_memory(), *_cgroup_limits()) if limit is not None]
    return min(limits, default=None)


def physical_memory() -> int | None:
    """Return the bytes of memory of the machine; None if unknown."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # not on Windows
        return None


def _cgroup_limits(
    proc: Path = Path("/proc/self/cgroup"), mounts: Path = Path("/sys/fs/cgroup")
) -> list[int]:
    if not sys.platform.startswith("linux"):
        return []
    try:
        lines = proc.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        number, controllers, place = line.split(":", 2)
        if number == "0":
            base, name = mounts, "memory.max"
        elif "memory" in controllers.split(","):
            base, name = mounts / "memory", "memory.limit_in_bytes"
        else:
            continue
        here = Path(place.lstrip("/"))
        for folder in (here, *here.parents):
            with contextlib.suppress(OSError, ValueError):  # "max", or a group outside this namespace
                limit = int((base / folder / name).read_text(encoding="ascii"))
                if 0 < limit < _UNLIMITED:
                    found.append(limit)
    return found


def format_bytes(size: int) -> str:
    """Return a size in GiB or MiB, with one decimal."""
    unit, name = (1 << 30, "GiB") if size >= 1 << 30 else (1 << 20, "MiB")
    return f"{round(size / unit, 1):g} {name}"


def _argument(size: int) -> str:
    """Return a size as `parse_bytes` reads it, rounded up."""
    return f"{-(-size * 10 // (1 << 30)) / 10:g}G"


def parse_bytes(text: str) -> int:
    """Return the bytes of a size such as ``"1.5G"``, ``"800 MiB"`` or ``"2000000000"``; units are of 1024.

    Raises
    ------
    UsageError
        If it is no size.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"`max_memory` is {text!r}, which is not a size.", "Write it like 2G or 1500M.")
    return int(float(found[1]) * 1024 ** "BKMGT".index((found[2] or "b").upper()))
