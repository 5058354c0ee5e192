"""``ann.hnsw``: approximate nearest neighbours by hnswlib. Derived from the vectors, never the truth.

The file is our own container around hnswlib's arrays (those that its pickle support exchanges), not
hnswlib's ``save_index`` format: that one has no room for a checksum, and its loader trusts what it
reads. Here size and BLAKE2b digest are checked before hnswlib sees a byte, so a damaged file is
rebuilt instead of crashing the process.

Layout: 8 bytes magic with version, 4 bytes length of the header (little-endian), 32 bytes digest of
all that follows, the header (JSON), the arrays one after the other.
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
from typing import Any

import hnswlib
import numpy as np

from faceindex.store.exact import best_of
from faceindex.store.records import HnswParams
from faceindex.store.vectors import sync_directory, sync_file
from faceindex.types import F32, I64, U8, BoolArray

__all__ = ["MAX_DEAD", "HnswIndex"]

_MAGIC = b"FI-HNSW\x01"
_PREFIX = struct.Struct("<8sI32s")
_ADD_BLOCK = 8192
_WITNESSES = 64

MAX_DEAD = 0.3
"""A graph is built anew when more than this part of it are tombstones: they cost time and recall."""

_log = logging.getLogger(__name__)


class HnswIndex:
    """An HNSW graph over the rows of the vector file.

    Use `build` or `load`. Rows are added one after the other, by one thread: several would make
    every build differ, and with it the neighbours and the clusters.
    """

    def __init__(self, index: hnswlib.Index, params: HnswParams, covered: int, rows: I64) -> None:
        self._index = index
        self._params = params
        self._rows = rows
        self._deleted = np.zeros(len(rows), np.bool_)
        self._covered = covered

    @property
    def covered(self) -> int:
        """Rows of the vector file that were looked at; later ones are not in the graph."""
        return self._covered

    def __len__(self) -> int:
        return len(self._rows)

    @classmethod
    def build(cls, dimension: int, params: HnswParams) -> HnswIndex:
        """An empty graph for vectors of `dimension`."""
        index = hnswlib.Index("ip", dimension)
        index.init_index(1, M=params.m, ef_construction=params.ef_construction, random_seed=params.seed)
        return cls(index, params, 0, np.empty(0, np.int64))

    @classmethod
    def load(cls, path: Path, vectors: F32, params: HnswParams) -> HnswIndex | None:
        """Read a graph that `save` wrote.

        Parameters
        ----------
        path : Path
        vectors : (n, d) float32
            All committed rows.
        params : HnswParams

        Returns
        -------
        HnswIndex or None
            None if the file is missing, damaged, or of other vectors or parameters: it is to be
            built anew.
        """
        found = _read(path, vectors, params, hnswlib.Index, verify=True)
        return None if found is None else cls(found[0], params, *found[1:])

    @staticmethod
    def coverage(path: Path, vectors: F32, params: HnswParams) -> tuple[int, int] | None:
        """How many rows the graph in a file covers, and has; None as in `load`, less what is damaged."""
        found = _read(path, vectors, params, lambda state: None, verify=False)
        return None if found is None else (found[1], len(found[2]))

    def save(self, path: Path, vectors: F32) -> None:
        """Write the graph to a temporary file beside `path`, sync it, and move it into place."""
        header, arrays = _pack(self._index.__getstate__()[0], vectors[: self._covered])
        digest = hashlib.blake2b(header, digest_size=32)
        for array in arrays:
            digest.update(array)
        temporary = path.with_name(path.name + ".new")
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(fd, "wb") as file:  # noqa: PTH123 - a descriptor, for its mode
            file.write(_PREFIX.pack(_MAGIC, len(header), digest.digest()))
            file.write(header)
            for array in arrays:
                file.write(array)
            file.flush()
            sync_file(file.fileno())
        temporary.replace(path)
        sync_directory(path.parent)

    def mostly_dead(self, alive: BoolArray) -> bool:
        """Whether so many rows of the graph are tombstones that it should be built anew."""
        return len(self._rows) > 0 and float(np.mean(~alive[self._rows])) > MAX_DEAD

    def extend(
        self, vectors: F32, alive: BoolArray, progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Add the live rows from `covered` on.

        Parameters
        ----------
        vectors : (n, d) float32
            All committed rows.
        alive : (n,) bool
            Tombstones are left out: a row never comes back to life.
        progress : callable, optional
            Called with rows added and rows to add.
        """
        new = self._covered + np.flatnonzero(alive[self._covered :])
        total = len(self._rows) + len(new)
        if total > self._index.get_max_elements():
            self._index.resize_index(total)
        for start in range(0, len(new), _ADD_BLOCK):
            rows = new[start : start + _ADD_BLOCK]
            self._index.add_items(vectors[rows], rows, num_threads=1)
            # Noted block by block: the graph stays usable when the caller is interrupted.
            self._rows = np.concatenate([self._rows, rows])
            self._deleted = np.concatenate([self._deleted, np.zeros(len(rows), np.bool_)])
            self._covered = int(rows[-1]) + 1
            if progress is not None:
                progress(min(start + _ADD_BLOCK, len(new)), len(new))
        self._covered = len(alive)

    def search(self, queries: F32, k: int, alive: BoolArray) -> tuple[I64, F32] | None:
        """The `k` live rows nearest to each query, approximately.

        Parameters
        ----------
        queries : (m, d) float32
            Unit length.
        k : int
        alive : (n,) bool
            For all rows covered, at least.

        Returns
        -------
        rows : (m, k) int64
            Best first, ties by lower row.
        similarities : (m, k) float32

        None if the graph cannot lead some query to `k` live rows, which hnswlib answers with an
        error; the caller then searches exactly.
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
        return best_of(rows.astype(np.int64), 1 - distances, k)


class _Damaged(ValueError):
    """The content of a file is not what was written."""


def _read(
    path: Path, vectors: F32, params: HnswParams, make: Callable[[dict[str, Any]], Any], *, verify: bool
) -> tuple[Any, int, I64] | None:
    """What `make` makes of a graph's state, rows covered, and rows in it; None if it cannot be used."""
    try:
        state, covered = _unpack(np.memmap(path, np.uint8, "r"), vectors, params, verify)
        return make(state), covered, np.sort(state["label_lookup_external"].astype(np.int64))
    except FileNotFoundError:
        return None
    except _Damaged as error:
        _log.warning("%s cannot be used (%s); it will be built anew.", path, error)
        with contextlib.suppress(OSError):
            path.unlink()  # so that the next writer sees at a glance that there is none
        return None
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, struct.error) as error:
        _log.warning("%s cannot be used (%s); it will be built anew.", path, error)
        return None


def _pack(state: dict[str, Any], vectors: F32) -> tuple[bytes, list[memoryview]]:
    count = max(1, state["cur_element_count"])
    state["max_elements"] = count  # room to grow is given back on load
    state["element_levels"] = state["element_levels"][:count]
    state["has_deletions"] = True  # hnswlib counts its deletion marks on load only if told so
    arrays = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
    header = {
        "byteorder": sys.byteorder,
        "covered": len(vectors),
        "witness": _witness(vectors),
        "scalars": {name: value for name, value in state.items() if name not in arrays},
        "arrays": [[name, array.dtype.str, len(array)] for name, array in arrays.items()],
    }
    views = [np.ascontiguousarray(array).view(np.uint8).data for array in arrays.values()]
    return json.dumps(header).encode(), views


def _unpack(content: U8, vectors: F32, params: HnswParams, verify: bool) -> tuple[dict[str, Any], int]:
    magic, length, digest = _PREFIX.unpack_from(content.data)
    if magic != _MAGIC:
        raise ValueError("not written by this version")
    body = content[_PREFIX.size :]
    if verify and hashlib.blake2b(body.data, digest_size=32).digest() != digest:
        raise _Damaged("damaged")
    header = json.loads(body[:length].tobytes())
    state: dict[str, Any] = dict(header["scalars"])
    expected = (sys.byteorder, "ip", vectors.shape[1], params.m, params.ef_construction, params.seed)
    found = (
        header["byteorder"],
        *(state[key] for key in ("space", "dim", "M", "ef_construction", "seed")),
    )
    if found != expected:
        raise ValueError("of other parameters")
    covered = int(header["covered"])
    if covered > len(vectors) or header["witness"] != _witness(vectors[:covered]):
        raise ValueError("of other vectors")
    offset = length
    for name, dtype, count in header["arrays"]:
        state[name] = np.frombuffer(body, np.dtype(dtype), count, offset)
        offset += state[name].nbytes
    if offset != len(body):
        raise ValueError("of a wrong length")
    return state, covered


def _witness(vectors: F32) -> str:
    """Digest of some rows, the last among them.

    The catalog and the vectors may be restored from a backup and grow again, other than before:
    then a graph that was not restored with them is of other vectors.
    """
    sample = np.linspace(0, len(vectors) - 1, min(len(vectors), _WITNESSES)).astype(np.int64)
    return hashlib.blake2b(np.ascontiguousarray(vectors[sample]).data, digest_size=16).hexdigest()
