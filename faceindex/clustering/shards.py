"""Work on arrays in shards: in this process by threads, or by workers elsewhere that share a folder.

A *stage* is a function of a module, ``stage(arrays, shard)``. It reads named arrays, writes some rows of
others that no other shard writes, and may return something small. Stages follow each other: what a stage
writes is read by later stages only. So the result does not depend on the order of the shards, nor on where
they run, and a shard whose worker died is done again.

A stage that replaces rows of an array that it reads gets them from `Arrays.rows`, reads no other rows of it,
and is run with the name of the array in ``updates``. In memory, the rows change in place. In files, the
new rows go to a new file, so that the shard can be done again.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import shutil
import struct
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from faceindex.clustering.workers import Workers

__all__ = ["Arrays", "FileArrays", "MakeRunner", "MemoryArrays", "Runner", "Stage", "ThreadRunner"]

Array: TypeAlias = NDArray[Any]


class Arrays(Protocol):
    """Arrays by their names."""

    def __getitem__(self, name: str) -> Array:
        """Return an array, to be read only. One in a file is open while the caller has it or a view of it."""

    def rows(self, name: str, start: int, stop: int) -> Array:
        """Return some rows that the caller may change: those of an array in memory, or a copy from a file.

        No file stays open. Whoever changes the rows passes them to `write`, which does nothing if they are
        those of the array.
        """

    def write(self, name: str, start: int, rows: Array) -> None:
        """Replace the rows from `start` on of an array that exists; the dtype and width must be its own."""

    def create(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        """Create an array; its content is arbitrary. One of the same name is replaced."""

    def put(self, name: str, array: Array) -> None:
        """Store an array; one of the same name is replaced. A stage may do so: one shard for each name."""

    def rename(self, name: str, to: str) -> None:
        """Give an array another name; one that has it is replaced. Not inside a stage."""

    def remove(self, *names: str) -> None:
        """Remove arrays; names of none are left out."""

    def begin(self, updates: Collection[str]) -> None:
        """Prepare a stage that updates some arrays. For runners."""

    def end(self) -> None:
        """Make what the stage wrote readable for the next one. For runners."""


Stage: TypeAlias = Callable[[Arrays, int], Any]


class Runner(Protocol):
    """Runs stages."""

    @property
    def arrays(self) -> Arrays:
        """What the stages read and write."""

    def run(self, stage: Stage, shards: Iterable[int], *, updates: Collection[str] = ()) -> list[Any]:
        """Call ``stage(arrays, shard)`` for each shard, and return the results in the order of `shards`.

        Parameters
        ----------
        stage : callable
            A function of a module, or a `functools.partial` of one: it may be pickled.
        shards : iterable of int
        updates : collection of str
            Arrays of which each shard reads rows that it replaces. The shards together replace all rows.
        """


MakeRunner: TypeAlias = Callable[[], AbstractContextManager[Runner]]
"""Makes a runner without arrays. At its end, the arrays are gone."""


class MemoryArrays:
    """Arrays in the memory of this process."""

    def __init__(self) -> None:
        self._arrays: dict[str, Array] = {}

    def __getitem__(self, name: str) -> Array:
        return self._arrays[name]

    def rows(self, name: str, start: int, stop: int) -> Array:
        """See `Arrays.rows`."""
        return self._arrays[name][start:stop]

    def write(self, name: str, start: int, rows: Array) -> None:
        """See `Arrays.write`."""
        target = self._arrays[name][start : start + len(rows)]
        if target.ctypes.data != rows.ctypes.data:
            target[...] = rows

    def create(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        """See `Arrays.create`."""
        self._arrays[name] = np.empty(shape, dtype)

    def put(self, name: str, array: Array) -> None:
        """See `Arrays.put`; the array is not copied."""
        self._arrays[name] = array

    def rename(self, name: str, to: str) -> None:
        """See `Arrays.rename`."""
        self._arrays[to] = self._arrays.pop(name)

    def remove(self, *names: str) -> None:
        """See `Arrays.remove`."""
        for name in names:
            self._arrays.pop(name, None)

    def begin(self, updates: Collection[str]) -> None:
        """See `Arrays.begin`."""

    def end(self) -> None:
        """See `Arrays.end`."""


_MOST_OPEN = 64  # maps: each keeps a descriptor, of which a process has 256 on macOS
_HEADER = 4096  # bytes: rows that begin at a page of memory are written by one machine alone, mostly


_Head: TypeAlias = tuple[tuple[int, ...], np.dtype[Any], int]
"""Shape, dtype, and where the rows begin, in bytes."""


class FileArrays:
    """Arrays in the ``.npy`` files of a folder, which several processes may share, also on other machines.

    Rows are written by ordinary writes. Whole arrays are mapped into memory. The last `_MOST_OPEN` maps stay
    open for the next use, as does each one while a caller has its array. So callers may have few arrays at a
    time, and copy what they need of many by `rows`.

    Files are opened anew for each stage, and no two arrays ever have the
    same file. So what network file systems need is enough: what one process has written and closed, another
    one reads after it opens the file (close-to-open consistency).

    One process has the versions of all arrays, and creates and removes them. The `state` carries these to the
    others for a stage.

    Parameters
    ----------
    folder : Path
    state : tuple, optional
        In another process: the `state` of those of the first one.
    """

    def __init__(self, folder: Path, state: tuple[Mapping[str, int], Collection[str]] | None = None) -> None:
        versions, updates = ({}, ()) if state is None else state
        self._folder = folder
        self._is_first = state is None
        self._versions = dict(versions)
        self._updates = frozenset(updates)
        self._open: OrderedDict[str, Array] = OrderedDict()  # the last used one last
        self._heads: dict[str, _Head] = {}  # those of `rows`, which reads a little of many files
        self._lock = threading.Lock()

    @property
    def state(self) -> tuple[Mapping[str, int], Collection[str]]:
        """The versions of the arrays, and the names of those that the stage updates."""
        return dict(self._versions), self._updates

    def __getitem__(self, name: str) -> Array:
        with self._lock:
            array = self._open.get(name)
            if array is not None:
                self._open.move_to_end(name)
                return array
        with self._path(name).open("rb") as file:
            shape, dtype = _described(file)
            if 0 in shape:  # which cannot be mapped
                array = np.empty(shape, dtype)
            else:
                array = np.asarray(np.memmap(file, dtype, "r", file.tell(), shape))
        with self._lock:
            self._open[name] = array
            while len(self._open) > _MOST_OPEN:
                self._open.popitem(last=False)  # closed once no caller has it
        return array

    def rows(self, name: str, start: int, stop: int) -> Array:
        """See `Arrays.rows`."""
        path = self._path(name)
        with path.open("rb") as file:
            head = self._heads.get(path.name)
            if head is None:
                head = self._heads[path.name] = (*_described(file), file.tell())
            shape, dtype, first = head
            start, stop, _ = slice(start, stop).indices(shape[0])
            rows = np.empty((max(0, stop - start), *shape[1:]), dtype)
            file.seek(first + start * dtype.itemsize * math.prod(shape[1:]))
            if file.readinto(rows.reshape(-1).view(np.uint8).data) < rows.nbytes:
                raise OSError(errno.EIO, "the file ends early", str(path))
        return rows

    def write(self, name: str, start: int, rows: Array) -> None:
        """See `Arrays.write`."""
        path = self._path(name, self._version(name) + (name in self._updates))
        with path.open("rb") as file:
            shape, dtype = _described(file)
            first = file.tell()
        assert rows.dtype == dtype and rows.shape[1:] == shape[1:] and start + len(rows) <= shape[0]
        # Not for reading as well: a network file system might read whole pages then, and write them back.
        descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "wb") as file:
            file.seek(first + start * dtype.itemsize * int(np.prod(shape[1:])))
            file.write(np.ascontiguousarray(rows).data)

    def create(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        """See `Arrays.create`."""
        self.remove(name)
        self._make(self._path(name), shape, np.dtype(dtype))

    def put(self, name: str, array: Array) -> None:
        """See `Arrays.put`."""
        if self._is_first:
            self.remove(name)
        self._close(name)
        array = np.ascontiguousarray(array)
        with self._path(name).open("wb") as file:  # `numpy.save` gives no error number if the disk is full
            np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
            file.write(array.data)

    def rename(self, name: str, to: str) -> None:
        """See `Arrays.rename`."""
        self.remove(to)
        self._close(name)
        try:
            self._path(name).replace(self._path(to))
        except PermissionError:  # Windows: mapped
            shutil.copyfile(self._path(name), self._path(to))
        self.remove(name)

    def remove(self, *names: str) -> None:
        """See `Arrays.remove`."""
        for name in names:
            self._close(name)
            _unlink(self._path(name))
            self._versions[name] = self._version(name) + 1

    def begin(self, updates: Collection[str]) -> None:
        """See `Arrays.begin`."""
        self._open.clear()
        self._heads.clear()
        for name in updates:
            array = self[name]
            self._make(self._path(name, self._version(name) + 1), array.shape, array.dtype)
        self._updates = frozenset(updates)

    def end(self) -> None:
        """See `Arrays.end`."""
        self._open.clear()
        self._heads.clear()
        updated, self._updates = self._updates, frozenset()
        for name in updated:
            _unlink(self._path(name))
            self._versions[name] = self._version(name) + 1

    def _close(self, name: str) -> None:
        with self._lock:
            self._open.pop(name, None)
            self._heads.pop(self._path(name).name, None)

    def _version(self, name: str) -> int:
        return self._versions.get(name, 0)

    def _path(self, name: str, version: int | None = None) -> Path:
        return self._folder / f"{name}-{self._version(name) if version is None else version}.npy"

    @staticmethod
    def _make(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        about = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        head = np.lib.format.magic(1, 0) + struct.pack("<H", _HEADER - 10)
        with path.open("wb") as file:
            file.write(head + repr(about).encode("ascii").ljust(_HEADER - 11) + b"\n")
            file.truncate(_HEADER + dtype.itemsize * int(np.prod(shape)))  # sparse


def _described(file: BinaryIO) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Read the header of a file; its rows follow."""
    assert np.lib.format.read_magic(file) == (1, 0)  # numpy writes no other for plain arrays
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    return shape, dtype


def _unlink(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError, PermissionError):  # Windows: mapped; it goes with the folder
        path.unlink()


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

    def run(self, stage: Stage, shards: Iterable[int], *, updates: Collection[str] = ()) -> list[Any]:
        """See `Runner.run`."""
        results: dict[int, Any] = {}
        numbers = list(shards)

        def do(shard: int) -> None:
            results[shard] = stage(self._arrays, shard)

        self._arrays.begin(updates)
        self._workers.run(do, numbers)
        self._arrays.end()
        return [results[shard] for shard in numbers]
