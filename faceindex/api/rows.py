"""From arrays and catalog records to what a user calls a face and a photo."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from faceindex.api.results import FaceRow
from faceindex.store import FaceTable, ImageRecord, Store
from faceindex.types import F32

__all__ = ["Naming", "as_box", "face_rows"]


class Naming:
    """What photos are called: the root as the user gave it, and the path inside it."""

    def __init__(self, store: Store) -> None:
        self._roots = {root.id: root for root in store.roots()}
        self.records: list[ImageRecord] = list(store.images().values())
        self.by_id = {record.id: record for record in self.records}

    def name(self, record: ImageRecord) -> str:
        """As the user would write it."""
        return os.path.normpath(os.path.join(self._roots[record.root_id].given, record.relpath))  # noqa: PTH118

    def path(self, record: ImageRecord) -> str:
        """Absolute."""
        return os.path.join(self._roots[record.root_id].path, record.relpath)  # noqa: PTH118


def face_rows(table: FaceTable, naming: Naming, which: Iterable[int]) -> Iterator[FaceRow]:
    """The faces at positions `which` of a table."""
    for i in which:
        record = naming.by_id[int(table.image[i])]
        cluster = int(table.cluster[i])
        yield FaceRow(
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
