"""What a page does with the bytes of an album and with its changes, in a few lines of numpy."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from faceindex import FaceIndex
from faceindex.api.album_state import AlbumState

__all__ = ["AlbumPage", "read_bytes", "read_columns"]


def read_bytes(data: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the header and the columns of ``faceindex/album/1``, as copies."""
    length = int.from_bytes(data[:4], "little")
    header = json.loads(data[4 : 4 + length])
    assert (4 + length) % 8 == 0
    return header, read_columns(header, data[4 + length :])


def read_columns(header: dict[str, Any], data: bytes) -> dict[str, Any]:
    """Return the columns of a header, as copies."""
    columns = {}
    for column in header["columns"]:
        assert column["offset"] % 8 == 0
        dtype = np.dtype(column["type"]).newbyteorder("<")
        values = np.frombuffer(data, dtype, column["length"], column["offset"])
        columns[column["name"]] = values.copy()
    return columns


class AlbumPage:
    """A page that keeps up with an index only by what it is sent.

    Parameters
    ----------
    index : FaceIndex
        Another connection than that which changes the index.
    """

    def __init__(self, index: FaceIndex) -> None:
        self.index = index
        self.state = index.album.load()
        self.reloads = 0
        self._read()

    def _read(self) -> None:
        self.header, self.columns = read_bytes(self.state.to_bytes())

    def follow(self) -> dict[str, Any] | None:
        """Take over all changes, and check that the result is what a new page reads."""
        before = self.header["generation"]
        if (changes := self.index.album.follow(self.state)) is not None:
            assert changes.since == before
            sent: dict[str, Any] = json.loads(json.dumps(changes.as_dict(self.state)))
            self.apply(sent)
            self.check()
            return sent
        return None

    def apply(self, changes: dict[str, Any]) -> None:
        """Do as the page does."""
        if changes["reload"]:
            self.reloads += 1
            self._read()
            return
        faces = changes["faces"]
        at = np.searchsorted(self.columns["face"], faces["face"])
        for name in ("cluster", "person", "label", "similarity"):
            self.columns[name][at] = faces[name]
        for name in ("generation", "decision", "clustered", "newer_faces", "undo", "undo_number"):
            self.header[name] = changes[name]
        for name in ("people", "cluster_person"):
            self.header[name] = changes.get(name, self.header[name])

    def check(self) -> None:
        """Compare the page and the followed state with what is read from the index now."""
        with FaceIndex.open(self.index.directory) as index:  # knows nothing of the past
            fresh = index.album.load()
            table, view = index._reader.table(), index._reader.people()
        header, columns = read_bytes(fresh.to_bytes())
        assert self.header == header
        for name, values in columns.items():
            assert np.array_equal(self.columns[name], values, equal_nan=name == "taken"), name
        for name in AlbumState.__slots__:
            here, there = getattr(self.state, name), getattr(fresh, name)
            if isinstance(there, np.ndarray):
                assert here.dtype == there.dtype, name
                assert np.array_equal(here, there, equal_nan=there.dtype.kind == "f"), name
            elif name != "history":
                assert here == there, name
        assert np.array_equal(self.state.face, table.face)
        assert np.array_equal(self.state.photos[self.state.photo], table.photo)
        assert np.array_equal(self.state.person, view.person)
        assert np.array_equal(self.state.label, view.label)
        assert self.state.cluster_person == view.of_cluster
        assert np.array_equal(self.state.similarity, table.similarity, equal_nan=True)
        assert np.array_equal(self.state.quality, table.quality)
