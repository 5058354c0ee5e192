"""From arrays and catalog records to what a user calls a face and a photo."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from faceindex.api.results import Face
from faceindex.store import FaceTable, PhotoRecord, Store
from faceindex.types import F32

__all__ = ["Naming", "as_box", "face_rows"]


class Naming:
    """What photos are called: the root as the user gave it, and the path inside it.

    Parameters
    ----------
    store : Store
    images : iterable of int, optional
        Ids of the photos that will be asked for; None means all.
    """

    def __init__(self, store: Store, images: Iterable[int] | None = None) -> None:
        self._roots = {root.id: root for root in store.roots()}
        self.by_id = (
            {r.id: r for r in store.photos().values()} if images is None else store.photos_by_id(images)
        )
        self.records: list[PhotoRecord] = list(self.by_id.values())

    def name(self, record: PhotoRecord) -> str:
        """As the user would write it."""
        return os.path.normpath(os.path.join(self._roots[record.root_id].given, record.relpath))  # noqa: PTH118

    def path(self, record: PhotoRecord) -> str:
        """Absolute."""
        return os.path.join(self._roots[record.root_id].path, record.relpath)  # noqa: PTH118

    def folders(self) -> dict[str, set[str]]:
        """The names of the photos in each folder, by its absolute path."""
        found: dict[tuple[int, str], set[str]] = {}
        for record in self.records:
            folder, _, name = record.relpath.rpartition("/")
            found.setdefault((record.root_id, folder), set()).add(name)
        return {
            os.path.join(self._roots[root_id].path, folder): names  # noqa: PTH118
            for (root_id, folder), names in found.items()
        }


def face_rows(table: FaceTable, naming: Naming, which: Iterable[int]) -> Iterator[Face]:
    """The faces at positions `which` of a table."""
    for i in which:
        record = naming.by_id[int(table.photo[i])]
        cluster = int(table.cluster[i])
        yield Face(
            face=int(table.face[i]),
            photo=naming.name(record),
            path=naming.path(record),
            box=as_box(table.boxes[i]),
            score=float(table.scores[i]),
            cluster=None if cluster < 0 else cluster,
            similarity=None if cluster < 0 else float(table.similarity[i]),
        )


def as_box(box: F32) -> tuple[float, float, float, float]:
    """A row of boxes as plain numbers."""
    x1, y1, x2, y2 = (float(value) for value in box)
    return x1, y1, x2, y2
