"""Work on arrays in shards: in this process by threads, or by workers elsewhere that share a folder.

A *stage* is a function of a module, ``stage(arrays, shard)``. It reads named arrays, writes some rows of
others that no other shard writes, and may return something small. Stages follow each other: an array that a
stage writes is read by later stages only. (A stage may read the rows that the same shard writes.) So the
result does not depend on the order of the shards, nor on where they run, and a shard whose worker died is
done again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from faceindex.clustering.workers import Workers

__all__ = ["Arrays", "FileArrays", "MemoryArrays", "Runner", "Stage", "ThreadRunner"]

Array: TypeAlias = NDArray[Any]


class Arrays(Protocol):
    """Arrays by their names."""

    def __getitem__(self, name: str) -> Array:
        """Return an array, to be read only."""

    def write(self, name: str, start: int, rows: Array) -> None:
        """Replace the rows from `start` on of an array that exists."""

    def create(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        """Create an array; its content is arbitrary. One of the same name is replaced."""

    def put(self, name: str, array: Array) -> None:
        """Store an array."""

    def remove(self, *names: str) -> None:
        """Remove arrays."""


Stage: TypeAlias = Callable[[Arrays, int], Any]


class Runner(Protocol):
    """Runs stages."""

    @property
    def arrays(self) -> Arrays:
        """What the stages read and write."""

    def run(self, stage: Stage, shards: Iterable[int]) -> list[Any]:
        """Call ``stage(arrays, shard)`` for each shard, and return the results in the order of `shards`.

        Parameters
        ----------
        stage : callable
            A function of a module, or a `functools.partial` of one: it may be pickled.
        shards : iterable of int
        """


class MemoryArrays:
    """Arrays in the memory of this process."""

    def __init__(self) -> None:
        self._arrays: dict[str, Array] = {}

    def __getitem__(self, name: str) -> Array:
        return self._arrays[name]

    def write(self, name: str, start: int, rows: Array) -> None:
        """See `Arrays.write`."""
        target = self._arrays[name][start : start + len(rows)]
        if target.ctypes.data != rows.ctypes.data:  # a stage may change its rows in place
            target[...] = rows

    def create(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        """See `Arrays.create`."""
        self._arrays[name] = np.empty(shape, dtype)

    def put(self, name: str, array: Array) -> None:
        """See `Arrays.put`; the array is not copied."""
        self._arrays[name] = array

    def remove(self, *names: str) -> None:
        """See `Arrays.remove`."""
        for name in names:
            del self._arrays[name]


class FileArrays:
    """Arrays in the ``.npy`` files of a folder, which several processes may share, also on other machines.

    Rows are written by ordinary writes, and files are opened anew for each stage: what network file systems
    need (close-to-open consistency) is enough.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, Array] = {}

    def __getitem__(self, name: str) -> Array:
        if name not in self._open:
            mapped = np.load(self._path(name), mmap_mode="r", allow_pickle=False)
            self._open[name] = np.asarray(mapped)
        return self._open[name]

    def write(self, name: str, start: int, rows: Array) -> None:
        """See `Arrays.write`."""
        with self._path(name).open("r+b") as file:
            assert np.lib.format.read_magic(file) == (1, 0)  # numpy writes no other for plain arrays
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            assert rows.dtype == dtype and rows.shape[1:] == shape[1:] and start + len(rows) <= shape[0]
            file.seek(start * dtype.itemsize * int(np.prod(shape[1:])), os.SEEK_CUR)
            file.write(np.ascontiguousarray(rows).data)

    def create(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        """See `Arrays.create`."""
        self.remove(name)
        if 0 in shape:
            np.save(self._path(name), np.empty(shape, dtype))
            return
        np.lib.format.open_memmap(self._path(name), mode="w+", dtype=dtype, shape=shape)  # sparse

    def put(self, name: str, array: Array) -> None:
        """See `Arrays.put`."""
        self.remove(name)
        np.save(self._path(name), array, allow_pickle=False)

    def remove(self, *names: str) -> None:
        """See `Arrays.remove`; arrays that do not exist are left out."""
        for name in names:
            self._open.pop(name, None)
            self._path(name).unlink(missing_ok=True)

    def close(self) -> None:
        """Close all files, so that the next stage reads what the others wrote."""
        self._open.clear()

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.npy"


class ThreadRunner:
    """Runs stages in this process, a thread per core; use it inside a ``with``.

    Parameters
    ----------
    arrays : Arrays, optional
        In memory if not given.
    """

    def __init__(self, arrays: Arrays | None = None) -> None:
        self._arrays = MemoryArrays() if arrays is None else arrays
        self._workers = Workers()

    @property
    def arrays(self) -> Arrays:
        """What the stages read and write."""
        return self._arrays

    def __enter__(self) -> ThreadRunner:
        self._workers.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._workers.__exit__(*error)

    def run(self, stage: Stage, shards: Iterable[int]) -> list[Any]:
        """See `Runner.run`."""
        results: dict[int, Any] = {}
        numbers = list(shards)

        def do(shard: int) -> None:
            results[shard] = stage(self._arrays, shard)

        if isinstance(self._arrays, FileArrays):
            self._arrays.close()
        self._workers.run(do, numbers)
        return [results[shard] for shard in numbers]
