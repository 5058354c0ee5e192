"""A neighbour index in memory, behind the seam that Milvus is behind, with faults on demand."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from faceindex.errors import SearchUnavailable
from faceindex.store.records import HnswParams
from faceindex.types import F32, I64

ADDRESS = "milvus:http://fake:19530"


class FakeNeighbours:
    """Vectors by face. It stays while connections come and go, as a server does.

    Attributes
    ----------
    faces : dict
        What it has.
    fail_at : int or None
        The call, counted from now, that fails.
    log : list of str
        Calls that change something.
    """

    name = "The fake"

    def __init__(self, *, erases_by_rebuilding: bool = False) -> None:
        self.erases_by_rebuilding = erases_by_rebuilding
        self.faces: dict[int, F32] = {}
        self.size: int | None = None
        self.fail_at: int | None = None
        self.log: list[str] = []
        self.asked: list[int] = []
        self.latest: list[bool] = []
        self.wrong: dict[int, int] = {}  # a wrong id, by the id that it replaces in answers
        self.open = 0

    def connect(
        self, address: str, id: str, directory: Path, params: HnswParams, given: bool
    ) -> FakeNeighbours:
        assert address == ADDRESS
        assert len(id) == 32
        self._call()
        self.open += 1
        return self

    def _call(self, change: str | None = None) -> None:
        if self.fail_at is not None:
            self.fail_at -= 1
            if self.fail_at < 0:
                raise SearchUnavailable("The fake is away.", "Call it back.")
        if change is not None:
            self.log.append(change)

    def reach(self) -> None:
        self._call()

    def dimension(self) -> int | None:
        self._call()
        return self.size

    def create(self, dimension: int) -> None:
        self._call("create")
        self.size, self.faces = dimension, {}

    def drop(self) -> None:
        self._call("drop")
        self.size, self.faces = None, {}

    def count(self, first: int, end: int) -> int:
        self._call()
        return sum(first <= face < end for face in self.faces)

    def ids(self, first: int, end: int) -> I64:
        self._call()
        return np.array(sorted(face for face in self.faces if first <= face < end), np.int64)

    def vectors(self, ids: I64) -> tuple[I64, F32]:
        self._call()
        there = [int(face) for face in ids if int(face) in self.faces]
        return np.array(there, np.int64), np.array([self.faces[face] for face in there], np.float32)

    def upsert(self, ids: I64, vectors: F32) -> None:
        self._call("upsert")
        self.faces.update(zip(ids.tolist(), np.array(vectors), strict=True))

    def delete(self, ids: I64) -> None:
        self._call("delete")
        for face in ids.tolist():
            self.faces.pop(face, None)

    def delete_range(self, first: int, end: int) -> None:
        self.delete(self.ids(first, end))

    def settle(self) -> None:
        self._call()

    def finish(self, faces: int) -> None:
        self._call()

    def search(self, queries: F32, k: int, *, latest: bool = True) -> I64:
        self._call()
        self.latest.append(latest)
        self.asked.append(len(queries))
        found = np.full((len(queries), k), -1, np.int64)
        ids = np.array(sorted(self.faces), np.int64)
        if len(ids):
            near = np.argsort(-(queries @ np.array([self.faces[face] for face in ids.tolist()]).T), 1)[:, :k]
            found[:, : near.shape[1]] = ids[near]
        for face, other in self.wrong.items():
            found[found == face] = other
        return found

    def erase(self) -> str | None:
        self._call("erase")
        return "The fake may remember."

    def close(self) -> None:
        self.open -= 1
