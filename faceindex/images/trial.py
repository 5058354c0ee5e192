"""Decode photos in a process of its own, which may die of them: ``python -m faceindex.images.trial``.

The process reads a path a line from standard input, in hexadecimal, and answers each with a line: ``ok`` if
the photo was decoded, or is refused as any run refuses it, and ``memory`` if there was not enough memory. Its
argument is the limit of decoding in bytes. The process takes little more: an address space of that size, and
what it has mapped before. If the machine has no memory left, the kernel ends this process first.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

__all__ = ["main"]

_SLACK = 256 << 20  # threads' stacks and heaps, which are mapped, but hardly used
_MOST_PIXELS = 48_000_000  # `faceindex.recognition.MAX_DECODED_PIXELS`: the largest scale that is decoded


def main() -> None:
    """Answer every path on standard input."""
    import faceindex.images.decoder  # noqa: F401 - before the address space is limited
    from faceindex.images.limits import BASE_BYTES, limit_memory

    limit = int(sys.argv[1])
    _prepare(limit)
    with limit_memory(BASE_BYTES + limit):
        for line in sys.stdin:
            sys.stdout.write(f"{_try(os.fsdecode(bytes.fromhex(line.strip())))}\n")
            sys.stdout.flush()


def _try(path: str) -> str:
    from faceindex.errors import ImageError
    from faceindex.images.decoder import decode, probe
    from faceindex.images.formats import read
    from faceindex.images.picture import read_picture

    try:
        data = read(path)
        read_picture(data)
        width, height, _ = probe(data, path)
        shrink = 1
        while shrink < 8 and width * height / shrink**2 > _MOST_PIXELS:
            shrink *= 2
        decode(data, path, shrink=shrink)
    except MemoryError:
        return "memory"
    except ImageError as error:
        return "memory" if isinstance(error.__cause__, MemoryError) else "ok"
    return "ok"


def _prepare(limit: int) -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (ImportError, OSError, ValueError):
        return  # not Linux: the limit of decoding remains
    most = pages * resource.getpagesize() + limit + _SLACK
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or most < hard:
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))


if __name__ == "__main__":
    main()
