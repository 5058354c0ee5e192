"""`FaceIndex.sheets`: contact sheets of faces, clusters and query photos as images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from faceindex import images
from faceindex.api.reader import Reader
from faceindex.api.results import Identification
from faceindex.errors import UsageError
from faceindex.types import I64, Image

if TYPE_CHECKING:
    from faceindex.export.thumbnails import ThumbnailRenderer

__all__ = ["ContactSheets"]

_COLUMNS = 8


class ContactSheets:
    """Draws faces side by side. Reads the photos; needs no network and changes nothing.

    Parameters
    ----------
    reader : Reader
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def faces(self, faces: Sequence[int], labels: Sequence[str] | None = None) -> Image:
        """Draw faces of the index, (h, w, 3) uint8.

        Parameters
        ----------
        faces : sequence of int
            Ids; at least one.
        labels : sequence of str, optional
            A line below each face.

        Raises
        ------
        ImageError
            If none of their photos can be read. A face whose photo cannot be read is grey.
        """
        from faceindex.export.thumbnails import contact_sheet

        return contact_sheet(self._renderer(), self._positions(faces).tolist(), _COLUMNS, labels)

    def cluster(self, cluster: int, *, most: int = 48) -> Image:
        """Draw the faces of a cluster, (h, w, 3) uint8, the most typical first, with their photo's names.

        Parameters
        ----------
        cluster : int
        most : int
            Greatest number of faces.

        Raises
        ------
        NotClustered
            If `FaceIndex.cluster` has not run.
        UsageError
            If the cluster does not exist.
        ImageError
            As `faces`.
        """
        self._reader.check_cluster(cluster)
        table, names = self._reader.faces_and_photos()
        positions = np.flatnonzero(table.cluster == cluster)
        best = positions[np.argsort(-table.similarity[positions], kind="stable")][:most]
        labels = [names.by_id[photo].relpath.rpartition("/")[2] for photo in table.photo[best].tolist()]
        return self.faces(table.face[best].tolist(), labels)

    def identification(self, result: Identification) -> Image:
        """Draw an identified photo, (h, w, 3) uint8: the photo with its faces numbered, then a row for each
        face: the face, its answer, and the nearest faces of the index with their clusters.

        Parameters
        ----------
        result : Identification
            Of a photo given by path; the photo is read again.

        Raises
        ------
        UsageError
            If no face was found on it.
        ImageError
            If the photo cannot be read.
        """
        from faceindex.export.thumbnails import MARGIN, SIDE, labelled_tiles, stack
        from faceindex.images.labels import draw_boxes
        from faceindex.images.thumbnails import cut_squares

        if not result.faces:
            raise UsageError(f"{result.photo} has no face to show.", "Try a photo with a larger face.")
        boxes = np.array([face.box for face in result.faces], np.float32)
        photo = images.decode(images.read(result.photo), result.photo)
        query_tiles = cut_squares(photo, boxes, SIDE, margin=MARGIN)
        nearest = sorted({near.face.face for face in result.faces for near in face.neighbours})
        tiles, _ = self._renderer().tiles(self._positions(nearest).tolist())
        columns = 1 + max(len(face.neighbours) for face in result.faces)
        rows = []
        for number, (face, query_tile) in enumerate(zip(result.faces, query_tiles, strict=True), 1):
            row = np.full((columns, SIDE, SIDE, 3), 255, np.uint8)
            row[0] = query_tile
            labels = [f"{number}: {_answer(face.cluster)}"]
            for column, near in enumerate(face.neighbours, 1):
                row[column] = tiles[np.searchsorted(nearest, near.face.face)]
                labels.append(f"{near.similarity:.3f} {_answer(near.face.cluster)}")
            rows.append(labelled_tiles(row, columns, [*labels, *[""] * (columns - len(labels))]))
        numbers = [str(number) for number in range(1, len(boxes) + 1)]
        return stack([draw_boxes(photo.image, boxes, numbers), *rows])

    def _renderer(self) -> ThumbnailRenderer:
        from faceindex.export.thumbnails import ThumbnailRenderer

        table, names = self._reader.faces_and_photos()
        return ThumbnailRenderer(table, names.by_id, names.path)

    def _positions(self, faces: Sequence[int]) -> I64:
        """Return the positions of faces in the table.

        Raises
        ------
        UsageError
            If a face is not in the index.
        """
        known = self._reader.table().face
        wanted = np.asarray(faces, np.int64)
        positions = np.searchsorted(known, wanted)
        missing = ~np.isin(wanted, known)
        if missing.any():
            raise UsageError(
                f"There is no face {wanted[missing][0]} in the index.", "`faceindex faces` lists the faces."
            )
        return positions.astype(np.int64)


def _answer(cluster: int | None) -> str:
    return "unknown" if cluster is None else f"cluster {cluster}"
