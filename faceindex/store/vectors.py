"""``vectors.f32``: unit vectors, one row after the other, little-endian float32, no header.

The file knows nothing of itself: how many rows count is said by the catalog alone. That makes an
append safe without a journal: rows become real when the catalog names them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from faceindex.errors import IndexCorrupt, StoreError

if TYPE_CHECKING:
    from faceindex.types import F32

if sys.platform == "darwin":
    import fcntl

__all__ = ["VectorFile", "sync_directory", "sync_file"]

_DTYPE = "<f4"
_ITEM = 4  # bytes


class VectorFile:
    """A flat file of vectors of one dimension.

    Parameters
    ----------
    path : Path
    dimension : int
        Columns.
    """

    def __init__(self, path: Path, dimension: int) -> None:
        self.path = path
        self.dimension = dimension
        self._width = dimension * _ITEM
        self._map: F32 | None = None

    def create(self) -> None:
        """Make an empty file, readable by its owner only; an existing one is emptied."""
        os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))

    def check(self, rows: int) -> None:
        """Raise `IndexCorrupt` unless the file holds at least `rows` rows."""
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:
            size = -1
        if size < rows * self._width:
            found = f"has only {size:,} of {rows * self._width:,} bytes" if size >= 0 else "is missing"
            raise IndexCorrupt(
                f"{self.path} {found}: the vectors of committed faces are lost.",
                f"Restore that file from a backup, or delete {self.path.parent} and index again.",
            )

    def trim(self, rows: int) -> None:
        """Cut what an interrupted commit left behind row `rows`. Only for the writer."""
        if self.path.stat().st_size > rows * self._width:
            self._map = None
            os.truncate(self.path, rows * self._width)

    def append(self, rows: int, vectors: F32) -> None:
        """Write `vectors` as rows ``rows, rows + 1, ...`` and wait until the disk has them.

        Parameters
        ----------
        rows : int
            How many rows are committed; anything behind them is overwritten.
        vectors : (n, dimension) float32

        Raises
        ------
        StoreError
            If the disk is full or fails; the committed rows are untouched.
        """
        import numpy as np

        content = np.ascontiguousarray(vectors, _DTYPE).reshape(-1).view(np.uint8).data
        try:
            with self.path.open("r+b", buffering=0) as file:
                file.seek(rows * self._width)
                while content:
                    content = content[file.write(content) :]
                sync_file(file.fileno())
        except OSError as error:
            raise StoreError(
                f"{self.path} cannot be written: {error.strerror}.",
                "What was committed before is safe; make room and run the same command again.",
            ) from error

    def read(self, rows: int) -> F32:
        """The first `rows` rows as a read-only (rows, dimension) float32 memory map."""
        import numpy as np

        if self._map is None or len(self._map) < rows:
            self.check(rows)
            if rows == 0:
                return np.empty((0, self.dimension), np.float32)
            mapped = np.memmap(self.path, _DTYPE, "r", shape=(rows, self.dimension))
            self._map = mapped.view(np.ndarray)
        return self._map[:rows]

    def close(self) -> None:
        """Forget the memory map; arrays that were handed out stay valid."""
        self._map = None


def sync_file(fd: int) -> None:
    """Wait until a file's content is on the disk, not only in its cache."""
    if sys.platform == "darwin":
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)  # plain fsync stops at the drive's cache there
    else:
        os.fsync(fd)


def sync_directory(directory: Path) -> None:
    """Make a rename in `directory` durable, where the system can (Windows cannot, and need not)."""
    if sys.platform == "win32":
        return
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
