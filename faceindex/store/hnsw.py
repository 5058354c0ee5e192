"""``ann.hnsw``: approximate nearest neighbours by hnswlib. It is derived from the vectors and can be rebuilt.

The file contains hnswlib's arrays, as its pickle support returns them, in a format of our own. hnswlib's
``save_index`` writes no checksum, and its loader does not check what it reads. Here the size and a BLAKE2b
digest are checked first, so that a damaged file is rebuilt and does not crash the process. So is the content,
because a digest does not show who computed it (`faceindex.store.hnsw_checks`).

Layout: 8 bytes magic with version, 4 bytes length of the header (little-endian), 32 bytes digest of
everything after it, the header (JSON), the arrays one after the other.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import hnswlib
import numpy as np

from faceindex.files import write_durably
from faceindex.safe_open import open_own
from faceindex.store.exact import select_best
from faceindex.store.hnsw_checks import check_state
from faceindex.store.records import HnswParams
from faceindex.types import F32, I64, U8, BoolArray

__all__ = ["ADD_BLOCK", "MAX_TOMBSTONES", "HnswIndex"]

_MAGIC = b"FI-HNSW\x01"
_PREFIX = struct.Struct("<8sI32s")
ADD_BLOCK = 8192  # vectors added between two calls of `progress`
_SAMPLED_ROWS = 64

MAX_TOMBSTONES = 0.3
"""Share of tombstones above which an index is rebuilt: they cost time and recall."""

_log = logging.getLogger(__name__)


class HnswIndex:
    """An HNSW index of the rows of the vector file. Call `build` or `load`, not the constructor.

    One thread adds the rows in order. With several threads, every build would give different neighbours and
    clusters.
    """

    def __init__(
        self, index: hnswlib.Index, params: HnswParams, index_id: str | None, covered: int, rows: I64
    ) -> None:
        self._index = index
        self._index_id = index_id
        self._params = params
        self._rows = rows
        self._deleted = np.zeros(len(rows), np.bool_)
        self._covered = covered

    @property
    def covered(self) -> int:
        """Number of rows of the vector file that were added or skipped as tombstones."""
        return self._covered

    @property
    def rows(self) -> I64:
        """The rows in it, also those that are tombstones by now."""
        return self._rows

    def __len__(self) -> int:
        return len(self._rows)

    @classmethod
    def build(cls, dimension: int, params: HnswParams, index_id: str | None = None) -> HnswIndex:
        """Create an empty index for vectors of `dimension` in the face index `index_id`."""
        index = hnswlib.Index("ip", dimension)
        index.init_index(1, M=params.m, ef_construction=params.ef_construction, random_seed=params.seed)
        return cls(index, params, index_id, 0, np.empty(0, np.int64))

    @classmethod
    def load(
        cls, path: Path, vectors: F32, params: HnswParams, index_id: str | None = None, *, keep: bool = False
    ) -> HnswIndex | None:
        """Read an index that `save` wrote.

        Parameters
        ----------
        path : Path
        vectors : (n, d) float32
            All committed rows.
        params : HnswParams
        index_id : str, optional
            Of the face index.
        keep : bool
            Do not delete a damaged file.

        Returns
        -------
        HnswIndex or None
            None if the file is missing or damaged, or has other vectors or parameters. A damaged file is
            deleted, unless `keep`.
        """
        found = _read(path, vectors, params, index_id, hnswlib.Index, verify=True, keep=keep)
        return None if found is None else cls(found[0], params, index_id, *found[1:])

    @staticmethod
    def coverage(
        path: Path, vectors: F32, params: HnswParams, index_id: str | None = None
    ) -> tuple[int, int] | None:
        """Return the rows that a file covers and the rows that it contains; None as in `load`.

        Does not compute the digest, so that damage may stay unnoticed.
        """
        found = _read(path, vectors, params, index_id, lambda state: None, verify=False)
        return None if found is None else (found[1], len(found[2]))

    def save(self, path: Path, vectors: F32) -> None:
        """Write the index to a file, durably."""
        header, arrays = _pack(self._index.__getstate__()[0], vectors[: self._covered], self._index_id)
        digest = hashlib.blake2b(header, digest_size=32)
        for array in arrays:
            digest.update(array)

        def write(file: BinaryIO) -> None:
            file.write(_PREFIX.pack(_MAGIC, len(header), digest.digest()))
            file.write(header)
            for array in arrays:
                file.write(array)

        write_durably(path, write, temporary=path.with_name(path.name + ".new"))

    def needs_rebuild(self, alive: BoolArray) -> bool:
        """Whether the share of tombstones is above `MAX_TOMBSTONES`."""
        return len(self._rows) > 0 and float(np.mean(~alive[self._rows])) > MAX_TOMBSTONES

    def extend(
        self, vectors: F32, alive: BoolArray, progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Add the live rows from `covered` on.

        Parameters
        ----------
        vectors : (n, d) float32
            All committed rows.
        alive : (n,) bool
            Other rows are tombstones and are skipped: a tombstone never becomes a live row again.
        progress : callable, optional
            Called with the numbers of rows added and to add.
        """
        new = self._covered + np.flatnonzero(alive[self._covered :])
        total = len(self._rows) + len(new)
        if total > self._index.get_max_elements():
            self._index.resize_index(total)
        for start in range(0, len(new), ADD_BLOCK):
            rows = new[start : start + ADD_BLOCK]
            self._index.add_items(vectors[rows], rows, num_threads=1)
            # Updated after each block, so that the index stays usable after an interrupt.
            self._rows = np.concatenate([self._rows, rows])
            self._deleted = np.concatenate([self._deleted, np.zeros(len(rows), np.bool_)])
            self._covered = int(rows[-1]) + 1
            if progress is not None:
                progress(min(start + ADD_BLOCK, len(new)), len(new))
        self._covered = len(alive)

    def search(self, queries: F32, k: int, alive: BoolArray) -> tuple[I64, F32] | None:
        """Find the `k` live rows nearest to each query, approximately.

        Parameters
        ----------
        queries : (m, d) float32
            Unit length.
        k : int
        alive : (n,) bool
            At least for all rows covered.

        Returns
        -------
        rows : (m, k) int64
            Best first, ties by lower row.
        similarities : (m, k) float32

        Both are None if a query does not reach `k` live rows, which is an error in hnswlib. The caller then
        searches exactly.
        """
        for position in np.flatnonzero(~alive[self._rows] & ~self._deleted):
            self._index.mark_deleted(int(self._rows[position]))
            self._deleted[position] = True
        if len(self._rows) - int(self._deleted.sum()) < k:
            return None
        self._index.set_ef(max(self._params.ef, 2 * k))
        try:
            rows, distances = self._index.knn_query(queries, k)
        except RuntimeError:
            return None
        return select_best(rows.astype(np.int64), 1 - distances, k)


class _Damaged(ValueError):
    """The digest of a file does not match its content."""


def _read(
    path: Path,
    vectors: F32,
    params: HnswParams,
    index_id: str | None,
    make: Callable[[dict[str, Any]], Any],
    *,
    verify: bool,
    keep: bool = False,
) -> tuple[Any, int, I64] | None:
    """Return ``make(state)`` of a file, the rows it covers, and the rows in it; None if it is unusable."""
    try:
        with open(open_own(path, os.O_RDONLY), "rb") as file:  # noqa: PTH123 - a descriptor
            content = np.memmap(file, np.uint8, "r")
        state, covered = _unpack(content, vectors, params, index_id, verify)
        return make(state), covered, np.sort(state["label_lookup_external"].astype(np.int64))
    except FileNotFoundError:
        return None
    except _Damaged as error:
        _log.warning("%s cannot be used (%s) and will be rebuilt.", path, error)
        if not keep:
            with contextlib.suppress(OSError):
                path.unlink()  # `coverage` would not notice the damage
        return None
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        ArithmeticError,
        RuntimeError,
        struct.error,
    ) as error:
        _log.warning("%s cannot be used (%s) and will be rebuilt.", path, error)
        return None


def _pack(state: dict[str, Any], vectors: F32, index_id: str | None) -> tuple[bytes, list[memoryview]]:
    count = max(1, state["cur_element_count"])
    state["max_elements"] = count  # without room for more rows
    state["element_levels"] = state["element_levels"][:count]
    state["has_deletions"] = True  # otherwise hnswlib does not count deletion marks on load
    arrays = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
    header = {
        "index": index_id,
        "byteorder": sys.byteorder,
        "covered": len(vectors),
        "witness": _sample_digest(vectors),
        "scalars": {name: value for name, value in state.items() if name not in arrays},
        "arrays": [[name, array.dtype.str, len(array)] for name, array in arrays.items()],
    }
    views = [np.ascontiguousarray(array).view(np.uint8).data for array in arrays.values()]
    return json.dumps(header).encode(), views


def _unpack(
    content: U8, vectors: F32, params: HnswParams, index_id: str | None, verify: bool
) -> tuple[dict[str, Any], int]:
    magic, length, digest = _PREFIX.unpack_from(content.data)
    if magic != _MAGIC:
        raise ValueError("another version wrote it")
    body = content[_PREFIX.size :]
    if verify and hashlib.blake2b(body.data, digest_size=32).digest() != digest:
        raise _Damaged("it is damaged")
    header = json.loads(body[:length].tobytes())
    if not isinstance(header, dict):
        raise ValueError("its header is not an object")
    if header.get("index") not in (None, index_id):  # older files have no id
        raise ValueError("it belongs to another index")
    state: dict[str, Any] = dict(header["scalars"])
    expected = (sys.byteorder, "ip", vectors.shape[1], params.m, params.ef_construction, params.seed)
    found = (
        header["byteorder"],
        *(state[key] for key in ("space", "dim", "M", "ef_construction", "seed")),
    )
    if found != expected:
        raise ValueError("it has other parameters")
    covered = int(header["covered"])
    if not 0 <= covered <= len(vectors) or header["witness"] != _sample_digest(vectors[:covered]):
        raise ValueError("it has other vectors")
    offset = length
    for name, dtype, count in header["arrays"]:
        state[name] = np.frombuffer(body, np.dtype(dtype), count, offset)
        offset += state[name].nbytes
    if offset != len(body):
        raise ValueError("it has a wrong length")
    if verify:
        check_state(state, covered, vectors, params)
    return state, covered


def _sample_digest(vectors: F32) -> str:
    """Compute a digest of some rows, including the last one.

    It detects an index of other vectors: the catalog and the vectors may have been restored from a backup
    and have got other new rows since.
    """
    sample = np.linspace(0, len(vectors) - 1, min(len(vectors), _SAMPLED_ROWS)).astype(np.int64)
    return hashlib.blake2b(np.ascontiguousarray(vectors[sample]).data, digest_size=16).hexdigest()
