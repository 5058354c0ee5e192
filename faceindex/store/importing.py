"""Read photos and their faces in batches, to find what other programs name."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from faceindex.store.records import Status
from faceindex.store.sqlite import corrupt

if TYPE_CHECKING:
    from faceindex.store.catalog import Catalog
    from faceindex.types import F32, I64

__all__ = ["ImportQueries"]

_BOX_BYTES = 16


class ImportQueries:
    """Reads for imports.

    Parameters
    ----------
    catalog : Catalog
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def paths(self) -> Iterator[tuple[int, str]]:
        """Yield the id and the absolute path of each photo that could be read."""
        roots = {int(id): os.fsdecode(path) for id, path in self._catalog.query("SELECT id, path FROM roots")}
        for id, root, relpath in self._catalog.query(
            "SELECT id, root_id, relpath FROM images WHERE status = ?", (Status.OK.value,)
        ):
            if root not in roots:
                raise corrupt(self._catalog.path, f"it has no root {root}, in which photos are")
            yield int(id), f"{roots[root].rstrip('/')}/{os.fsdecode(relpath)}"

    def faces_on(self, photos: Sequence[int], *, away: bool = False) -> tuple[I64, I64, F32]:
        """Return the faces on some photos.

        Parameters
        ----------
        photos : sequence of int
        away : bool
            These photos are away.

        Returns
        -------
        faces, photos : (n,) int64
            Ids, ascending by photo and face.
        boxes : (n, 4) float32
            In pixels of the upright photo.
        """
        import numpy as np

        rows = self._catalog.query_in(
            f"SELECT image_id, id, substr(geometry, 1, {_BOX_BYTES}) AS box"
            f" FROM {'away_faces' if away else 'faces'} WHERE image_id IN ({{}})",
            photos,
        )
        rows.sort(key=lambda row: row[:2])
        if any(len(box) != _BOX_BYTES for *_, box in rows):
            raise corrupt(self._catalog.path, "a face has no box")
        boxes = np.frombuffer(b"".join(box for *_, box in rows), "<f4").reshape(-1, 4).astype(np.float32)
        return (
            np.array([face for _, face, _ in rows], np.int64),
            np.array([photo for photo, *_ in rows], np.int64),
            boxes,
        )
