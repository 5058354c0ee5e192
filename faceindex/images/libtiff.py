"""Silence libtiff, which prints what it finds wrong with a TIFF to standard error.

Pillow does not set libtiff's handlers. The lines name no file; the same problem is an `ImageError` that does.
The handlers are of the whole process. Where Pillow was built with a libtiff that cannot be reached (Windows),
the lines stay.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from functools import cache
from pathlib import Path

__all__ = ["silence_libtiff"]


@cache
def silence_libtiff() -> bool:
    """Switch off the messages of the libtiff that Pillow has loaded; return whether it was found."""
    library = _loaded()
    if library is None:
        return False
    with contextlib.suppress(OSError, AttributeError):
        loaded = ctypes.CDLL(library)
        for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
            handler = getattr(loaded, name)  # tif_error.c, tif_warning.c: no handler prints nothing
            handler.argtypes, handler.restype = [ctypes.c_void_p], ctypes.c_void_p
            handler(None)
        return True
    return False


def _loaded() -> str | None:
    """Return the path of the libtiff in this process."""
    if sys.platform == "win32":
        return None
    import PIL._imaging  # loads it

    with contextlib.suppress(OSError):
        for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines():
            path = line.rpartition(" ")[2]
            if path.rpartition("/")[2].startswith("libtiff"):
                return path
    folders = (Path(PIL.__file__).parent / ".dylibs", Path(PIL.__file__).parents[1] / "pillow.libs")
    found = [path for folder in folders for path in folder.glob("libtiff*")]
    return str(found[0]) if found else None
