"""``vectors.f32``: a header, then unit vectors, one row after the other, little-endian float32.

The header has the id of the index, so that the file of another index is refused. Files of formats before 7
have none; the catalog stores how long it is. Layout, 64 bytes: 8 bytes magic with version, 16 bytes id of the
index, 4 bytes dimension (little-endian), zeros.

Only the catalog stores the number of rows. So an append needs no journal: new rows are valid once a
transaction of the catalog has raised the number.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from faceindex.errors import IndexCorrupt, StoreError, UsageError
from faceindex.files import sync_file
from faceindex.safe_open import UnsafeFile, open_own
from faceindex.store.digests import BLOCK_ROWS
from faceindex.store.directory import refused

if TYPE_CHECKING:
    from io import FileIO

    from faceindex.store.digests import VectorDigests
    from faceindex.types import F32, I64, BoolArray

__all__ = ["HEADER_BYTES", "VectorFile", "make_header"]

HEADER_BYTES = 64
_MAGIC = b"FI-VECT\x01"
_HEADER = struct.Struct("<8s16sI36x")

_DTYPE = "<f4"
_ITEM = 4  # bytes

# Vectors must have unit length; float32 rounding leaves far less than this.
_LENGTH_TOLERANCE = 1e-3
# The same of the squared length in float32, whose sum over 512 values has errors of about 1e-6.
_SQUARE_TOLERANCE = 2.1e-3


_REMEDY = (
    "Run `faceindex doctor --repair`, which embeds damaged faces again from their photos, or restore the "
    "file from a backup."
)


def make_header(index_id: str, dimension: int) -> bytes:
    """Return the header of a vector file; `index_id` is hexadecimal."""
    return _HEADER.pack(_MAGIC, bytes.fromhex(index_id), dimension)


class VectorFile:
    """A file of vectors of one dimension.

    It stays readable after another process has deleted it, because it is held open from the first
    `check_size` on.

    Parameters
    ----------
    path : Path
    dimension : int
        Columns.
    header : bytes
        What the file begins with; empty for a file without a header.
    digests : VectorDigests, optional
        To check rows with, by `check`. Without them, or where they lack a block, only lengths are checked.
    """

    def __init__(
        self, path: Path, dimension: int, header: bytes = b"", digests: VectorDigests | None = None
    ) -> None:
        self.path = path
        self.dimension = dimension
        self.digests = digests
        self._header = header
        self._checked: I64 | None = None  # rows of each block that were checked
        self._width = dimension * _ITEM
        self._map: F32 | None = None
        self._file: FileIO | None = None

    def create(self) -> None:
        """Create a file without rows that only its owner may read; an existing one is emptied."""
        try:
            fd = open_own(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            with open(fd, "wb") as file:  # noqa: PTH123 - a descriptor
                file.write(self._header)
                file.flush()
                sync_file(fd)
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def check_size(self, rows: int) -> None:
        """Raise `IndexCorrupt` unless the file has the header of this index and at least `rows` rows.

        Raises `StoreError` if it cannot be read.
        """
        try:
            if self._file is None:
                self._file = open(open_own(self.path, os.O_RDONLY), "rb", buffering=0)  # noqa: PTH123, SIM115
                self._check_header(self._file.read(len(self._header)))
            size = os.fstat(self._file.fileno()).st_size
        except FileNotFoundError:
            size = -1
        except UnsafeFile as error:
            raise refused(error) from error
        except OSError as error:
            self.close()
            raise StoreError(
                f"{self.path} cannot be read: {error.strerror}.",
                f"Check its permissions and its disk, or restore {self.path.parent} from a backup.",
            ) from error
        except IndexCorrupt:
            self.close()
            raise
        if size < self._end(rows):
            self.close()
            found = f"has only {size:,} of {self._end(rows):,} bytes" if size >= 0 else "is missing"
            raise IndexCorrupt(
                f"{self.path} {found}: the vectors of committed faces are lost.",
                _REMEDY,
            )

    def _check_header(self, found: bytes) -> None:
        if found == self._header or len(found) < len(self._header):  # a short file has too few rows as well
            return
        magic, index_id, dimension = _HEADER.unpack(found)
        _, own, own_dimension = _HEADER.unpack(self._header)
        if (magic, dimension) == (_MAGIC, own_dimension) and index_id != own and not any(found[28:]):
            problem = f"belongs to another index ({index_id.hex()}, not {own.hex()})"
        else:
            problem = "is damaged: its header is not that of this index"
        raise IndexCorrupt(f"{self.path} {problem}.", _REMEDY)

    @property
    def header_bytes(self) -> int:
        """Bytes before the first row."""
        return len(self._header)

    def _end(self, rows: int) -> int:
        """Return the byte after the last of `rows` rows."""
        return len(self._header) + rows * self._width

    def check(self, rows: int, blocks: I64 | None = None) -> None:
        """Raise `IndexCorrupt` unless blocks of rows are as they were committed; each is read once.

        Parameters
        ----------
        rows : int
            Number of committed rows, in the state of the catalog that is being read.
        blocks : (n,) int64, optional
            Ascending; None means all.
        """
        import numpy as np

        if rows == 0:
            return
        number = -(-rows // BLOCK_ROWS)
        if self._checked is None or len(self._checked) < number:
            before = 0 if self._checked is None else len(self._checked)
            more = np.zeros(number - before, np.int64)
            self._checked = more if self._checked is None else np.concatenate([self._checked, more])
        blocks = np.arange(number) if blocks is None else blocks
        wanted = np.minimum(BLOCK_ROWS, rows - blocks * BLOCK_ROWS)
        blocks = blocks[self._checked[blocks] < wanted]
        if not len(blocks):
            return
        if damaged := self._damaged(rows, blocks):
            which = ", ".join(f"{start:,} to {stop - 1:,}" for start, stop in damaged[:3])
            raise IndexCorrupt(
                f"{self.path} is damaged: its rows {which}{' and others' if damaged[3:] else ''} are not the "
                "vectors that were stored.",
                _REMEDY,
            )
        self._checked[blocks] = np.minimum(BLOCK_ROWS, rows - blocks * BLOCK_ROWS)

    def damaged_blocks(self, rows: int) -> list[tuple[int, int]]:
        """Return (first row, row after the last) of each block that is not as it was committed."""
        import numpy as np

        return self._damaged(rows, np.arange(-(-rows // BLOCK_ROWS))) if rows else []

    def _damaged(self, rows: int, blocks: I64) -> list[tuple[int, int]]:
        vectors = self.read(rows)
        digests = {} if self.digests is None else self.digests.read(int(blocks[0]), int(blocks[-1]))
        damaged = []
        for block in blocks.tolist():
            start, stop = block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, rows)
            part = vectors[start:stop]
            # Of two checks, because a catalog from elsewhere may have digests of vectors of any length.
            crc = digests.get(block)
            if (crc is not None and zlib.crc32(part.data) != crc) or not _unit_rows(part).all():
                damaged.append((start, stop))
        return damaged

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
        """Delete what an interrupted commit appended after row `rows`; only for the writer, as `append`."""
        try:
            with open(open_own(self.path, os.O_RDWR), "r+b", buffering=0) as file:  # noqa: PTH123
                if os.fstat(file.fileno()).st_size > self._end(rows):
                    self._map = None
                    file.truncate(self._end(rows))
        except OSError as error:
            self.close()
            raise _unwritable(self.path, error) from error

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
            with open(open_own(self.path, os.O_RDWR), "r+b", buffering=0) as file:  # noqa: PTH123
                file.seek(self._end(row))
                for vectors in blocks:
                    content = np.ascontiguousarray(vectors, _DTYPE).reshape(-1).view(np.uint8).data
                    while content:
                        content = content[file.write(content) :]
                sync_file(file.fileno())
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def read(self, rows: int) -> F32:
        """Return the first `rows` rows as a read-only (rows, dimension) float32 memory map, not checked."""
        import numpy as np

        if self._map is None or len(self._map) < rows:
            self.check_size(rows)
            if rows == 0 or self._file is None:
                return np.empty((0, self.dimension), np.float32)
            mapped = np.memmap(self._file, _DTYPE, "r", len(self._header), shape=(rows, self.dimension))
            self._map = mapped.view(np.ndarray)
        return self._map[:rows]

    def gather(self, committed: int, rows: I64) -> F32:
        """Return some of the first `committed` rows, checked, read-only; consecutive rows without a copy.

        Raises
        ------
        IndexCorrupt
            If a block with one of them is damaged.
        UsageError
            If a row is out of range.
        """
        import numpy as np

        mapped = self.read(committed)
        if len(rows) and not 0 <= int(np.min(rows)) <= int(np.max(rows)) < committed:
            raise UsageError(f"A row is outside 0..{committed - 1}.", "Use the rows of `faces`.")
        self.check(committed, np.unique(rows // BLOCK_ROWS))
        if len(rows) and (np.diff(rows) == 1).all():
            return mapped[int(rows[0]) : int(rows[-1]) + 1]
        gathered = np.asarray(mapped[rows])
        gathered.flags.writeable = False
        return gathered

    def is_erased(self, rows: int) -> bool:
        """Whether the open file was overwritten by `erase_file`: neither header nor unit vector is zero."""
        if rows == 0 or self._file is None or sys.platform == "win32":  # open files stay as they are there
            return False
        return not any(os.pread(self._file.fileno(), self._width, 0))

    def close(self) -> None:
        """Close the file and drop the memory map. Arrays that were returned stay valid."""
        self._map = None
        if self._file is not None:
            self._file.close()
            self._file = None


def _unit_rows(vectors: F32) -> BoolArray:
    """Whether each row has unit length; false for NaN."""
    import numpy as np

    found: BoolArray = np.abs(np.einsum("ij,ij->i", vectors, vectors) - 1) <= _SQUARE_TOLERANCE
    return found


def _unwritable(path: Path, error: OSError) -> StoreError:
    if isinstance(error, UnsafeFile):
        return refused(error)
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return StoreError(
        f"{path} cannot be written: {error.strerror}.",
        f"All earlier commits are safe; {'make room' if full else 'check the disk and the permissions'} and "
        "run the same command again.",
    )
