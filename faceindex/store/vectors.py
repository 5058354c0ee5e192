"""``vectors.f32``: unit vectors, one row after the other, little-endian float32, no header.

Only the catalog stores the number of rows. So an append needs no journal: new rows are valid once a
transaction of the catalog has raised the number.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from faceindex.errors import IndexCorrupt, StoreError, UsageError
from faceindex.files import sync_file

if TYPE_CHECKING:
    from io import FileIO

    from faceindex.types import F32, I64

__all__ = ["VectorFile"]

_DTYPE = "<f4"
_ITEM = 4  # bytes

# Vectors must have unit length; float32 rounding leaves far less than this.
_LENGTH_TOLERANCE = 1e-3


class VectorFile:
    """A file of vectors of one dimension.

    It stays readable after another process has deleted it, because it is held open from the first
    `check_size` on.

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
        self._file: FileIO | None = None

    def create(self) -> None:
        """Create an empty file that only its owner may read; an existing one is emptied."""
        try:
            os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def check_size(self, rows: int) -> None:
        """Raise `IndexCorrupt` unless the file contains at least `rows` rows."""
        try:
            if self._file is None:
                self._file = self.path.open("rb", buffering=0)
            size = os.fstat(self._file.fileno()).st_size
        except FileNotFoundError:
            size = -1
        if size < rows * self._width:
            self.close()
            found = f"has only {size:,} of {rows * self._width:,} bytes" if size >= 0 else "is missing"
            raise IndexCorrupt(
                f"{self.path} {found}: the vectors of committed faces are lost.",
                f"Restore that file from a backup, or delete {self.path.parent} and index again.",
            )

    def check_vectors(self, vectors: F32) -> None:
        """Raise `UsageError` unless vectors have the dimension of the file and unit length."""
        import numpy as np

        if vectors.ndim != 2 or vectors.shape[1] != self.dimension:
            raise UsageError(
                f"The vectors have shape {vectors.shape}; this index has {self.dimension} dimensions.",
                "Use the embedder of the index.",
            )
        lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
        if not np.all(np.abs(lengths - 1) <= _LENGTH_TOLERANCE):  # not `>`, which is False for NaN
            raise UsageError("A vector does not have unit length.", "Divide each vector by its norm.")

    def trim(self, rows: int) -> None:
        """Delete what an interrupted commit appended after row `rows`. Only the writer may call this."""
        if self.path.stat().st_size > rows * self._width:
            self._map = None
            os.truncate(self.path, rows * self._width)

    def append(self, rows: int, vectors: F32) -> None:
        """Write `vectors` as rows ``rows, rows + 1, ...``, and sync the file.

        Parameters
        ----------
        rows : int
            Number of committed rows. Anything after them is overwritten.
        vectors : (n, dimension) float32

        Raises
        ------
        StoreError
            If the disk is full or fails. The committed rows are intact.
        """
        self.write(rows, [vectors])

    def write(self, row: int, blocks: Iterable[F32]) -> None:
        """Write blocks of vectors one after the other from row `row` on, and sync the file; as `append`."""
        import numpy as np

        try:
            with self.path.open("r+b", buffering=0) as file:
                file.seek(row * self._width)
                for vectors in blocks:
                    content = np.ascontiguousarray(vectors, _DTYPE).reshape(-1).view(np.uint8).data
                    while content:
                        content = content[file.write(content) :]
                sync_file(file.fileno())
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def read(self, rows: int) -> F32:
        """Return the first `rows` rows as a read-only (rows, dimension) float32 memory map."""
        import numpy as np

        if self._map is None or len(self._map) < rows:
            self.check_size(rows)
            if rows == 0 or self._file is None:
                return np.empty((0, self.dimension), np.float32)
            mapped = np.memmap(self._file, _DTYPE, "r", shape=(rows, self.dimension))
            self._map = mapped.view(np.ndarray)
        return self._map[:rows]

    def gather(self, committed: int, rows: I64) -> F32:
        """Return some of the first `committed` rows, read-only; consecutive rows without a copy.

        Raises
        ------
        UsageError
            If a row is out of range.
        """
        import numpy as np

        mapped = self.read(committed)
        if len(rows) and not 0 <= int(np.min(rows)) <= int(np.max(rows)) < committed:
            raise UsageError(f"A row is outside 0..{committed - 1}.", "Use the rows of `faces`.")
        if len(rows) and (np.diff(rows) == 1).all():
            return mapped[int(rows[0]) : int(rows[-1]) + 1]
        gathered = np.asarray(mapped[rows])
        gathered.flags.writeable = False
        return gathered

    def is_erased(self, rows: int) -> bool:
        """Whether the open file was overwritten with zeros, as `erase_file` does; a unit vector is not zero."""
        if rows == 0 or self._file is None or sys.platform == "win32":  # open files stay as they are there
            return False
        return not any(os.pread(self._file.fileno(), self._width, 0))

    def close(self) -> None:
        """Close the file and drop the memory map. Arrays that were returned stay valid."""
        self._map = None
        if self._file is not None:
            self._file.close()
            self._file = None


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"{path} cannot be written: {error.strerror}.",
        "All earlier commits are safe; make room and run the same command again.",
    )
